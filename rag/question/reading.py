"""Read the question for search, ranking and checking; the generator gets it as it was asked.

It is spelled as in the documents (`rag.question.spelling`), whatever the keyboard, capitals and tone placement. Small
talk, which asks nothing of any document, is recognised.
"""

import re
from dataclasses import dataclass
from typing import Final

from rag.ports import ChunkIndex
from rag.question.lexicon import Lexicon
from rag.question.shorthand import is_shorthand
from rag.question.spelling import mend, stands_for_other
from rag.text.language import Language, detect_language, normalize, words

_CAPITALS_FROM: Final = 12  # letters; `VAT?` is an abbreviation, a whole sentence in capitals is caps lock
# A question of at least this many words, with this share shaped like Vietnamese syllables, may lack its diacritics.
_TELLING_WORDS: Final = 3
_SHAPED_SHARE: Final = 0.8
_VI_SYLLABLE = re.compile(
    r"(?:b|ch?|d|gh?|gi|h|kh?|l|m|n|ngh?|nh|ph?|qu|r|s|t|th|tr|v|x)?[aeiouy]{1,3}(?:ch?|m|ng?|nh|p|t)?"
)
# The phrases of small talk; longer ones first.
_SMALL_TALK: Final = re.compile(
    r"(?:hi|hello|hey|hiya|howdy|yo|good (?:morning|afternoon|evening|day|night)|greetings|dear|there|everyone|team|all"
    r"|thank you|thanks?|thx|cheers|many|so much|very much|a lot|again|for (?:your|the|all(?: the)?) help"
    r"|ok(?:ay)?|great|nice|cool|perfect|awesome|got it|goodbye|bye|see you(?: later| soon)?|have a (?:nice|good) day"
    r"|(?:who|what) are you|what(?:'s| is) your name|what can you do|how are you(?: doing)?(?: today)?"
    r"|are you (?:an? )?(?:bot|robot|human|ai|real)|can you help(?: me)?|nice to meet you|you(?:'re| are) welcome"
    r"|(?:xin )?chào(?: (?:buổi (?:sáng|chiều|tối)|ngày mới|mọi người|cả nhà|admin|bot))?|alo"
    r"|(?:xin )?chao(?: (?:buoi (?:sang|chieu|toi)|moi nguoi))?|(?:xin )?(?:cảm|cám|cam) ơn|(?:xin )?cam on"
    r"|(?:bạn|em) (?:là ai|tên (?:là )?gì|có khỏe không|làm được (?:những )?gì|có thể giúp (?:tôi|mình)(?: không)?)"
    r"|ban (?:la ai|ten (?:la )?gi|co khoe khong)|bạn|ban|em|anh|chị|ad|shop|nhiều|nhieu|rất|nhé|nhe|nha|ạ|nhá|lắm"
    r"|tạm biệt|tam biet|hẹn gặp lại|vâng|dạ|ừ|được rồi|tốt)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A question as it is searched for; `is_small_talk` if it asks nothing of any document.

    `language` is that of the question as it was asked. `standalone` is the text if it was a follow-up and was
    completed, else None; its language, `searched_in`, differs if the new name was put into an earlier question in
    another language.
    """

    text: str
    language: Language
    is_small_talk: bool = False
    standalone: str | None = None
    completed_in: Language | None = None

    @property
    def searched_in(self) -> Language:
        return self.completed_in or self.language


async def read_question(question: str, index: ChunkIndex, *, spoken: Language | None = None) -> Reading:
    """Read a question in the spelling of this index; `spoken` is the language of the question before it.

    Raises: IndexUnavailable.
    """
    return await read_with(Lexicon(index), question, spoken=spoken)


async def read_with(lexicon: Lexicon, question: str, *, spoken: Language | None = None) -> Reading:
    """As `read_question`, with what was learned before of the words of the index."""
    text = normalize(" ".join(question.split()))
    text = _lower_capitals(text)
    await lexicon.learn(text)
    language = _language_of(text, lexicon, spoken)
    if is_small_talk(text):
        return Reading(text, language, is_small_talk=True)
    return Reading(await mend(text, language, lexicon), language)


def is_small_talk(text: str) -> bool:
    """Return whether the text is only greetings, thanks or questions about the assistant."""
    rest, found = text, True
    while found:
        rest = rest.strip(" \n,.!?…:;~")
        phrase = _SMALL_TALK.match(rest)
        found, rest = phrase is not None, rest[phrase.end() :] if phrase else rest
    return not words(rest)


def _lower_capitals(text: str) -> str:
    letters = [char for char in text if char.isalpha()]
    is_shouted = len(letters) >= _CAPITALS_FROM and all(char.isupper() for char in letters)
    return text.lower() if is_shouted else text


def _language_of(text: str, lexicon: Lexicon, spoken: Language | None) -> Language:
    """Detect the language; ASCII text is Vietnamese if the index writes most of its words with diacritics."""
    language = detect_language(text)
    typed = [word for word in words(text) if word.isalpha()]
    if language == "vi" or not all(word.isascii() for word in typed):
        return language
    shaped = sum(_VI_SYLLABLE.fullmatch(word) is not None or is_shorthand(word) for word in typed)
    if language == "other" and spoken:
        return spoken  # `con` is a word of many languages
    telling = 1 if spoken == "vi" else _TELLING_WORDS
    if len(typed) < telling or shaped < _SHAPED_SHARE * len(typed):
        return language
    vietnamese = sum(is_shorthand(word) or stands_for_other(word, lexicon) for word in typed)
    return "vi" if 2 * vietnamese > len(typed) else language
