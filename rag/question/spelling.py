"""Correct the words of a question by the words of the index that is searched.

People type in a hurry: `nv dc nghi may ngay`, `refnd policy`. Shorthand is expanded. Diacritics are restored by the
word pairs of the chunks that the question finds without them. A word that no chunk holds is replaced by one that is one
typing error away. Only words of the documents, and the usual words of questions, are used.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from typing import Final

from rag.ports import ChunkIndex
from rag.question.lexicon import Lexicon
from rag.question.shorthand import SHORTHAND_EN, SHORTHAND_VI
from rag.text.language import Language, fold, words

# The number of chunks whose word pairs decide between spellings.
_WITNESSES: Final = 30
# One observed pair of words counts for more than many chunks with the single word.
_PAIR_WEIGHT: Final = 3.0
# With fewer, the text was typed without diacritics: two in three Vietnamese syllables have them.
_TYPED_WITH_DIACRITICS: Final = 0.3
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

# Usual words of questions, which documents seldom hold: they are known without any document.
_ASKING_VI: Final = """
    bao nhiêu, bao lâu, bao giờ, khi nào, lúc nào, ở đâu, tại đâu, đi đâu, mất bao lâu, mấy ngày, mấy giờ, mấy
    tháng, mấy năm, thế nào, như thế nào, ra sao, làm sao, vì sao, tại sao, là gì, là ai, cái gì, những gì, gồm
    những gì, cần những gì, phải làm gì, làm thế nào, được không, có được không, có phải không, có được, hay
    không, không được, có phải, bằng cách nào, cách nào, trường hợp nào, loại nào, ngày nào, người nào, cho ai,
    gặp ai, do ai, ai là, của ai, hồ sơ, giấy tờ, thủ tục, số điện thoại, liên hệ, địa chỉ, quy định, mức phạt,
    bị phạt, phạt bao nhiêu, giá bao nhiêu, bao nhiêu tiền, bao nhiêu ngày, bao nhiêu tháng, bao nhiêu năm, bao
    nhiêu phần trăm, tối đa bao nhiêu, là bao nhiêu, tôi muốn, mình muốn, muốn hỏi, cho hỏi, cho tôi hỏi, tôi có
    thể, có thể, nếu tôi, khi tôi, thì sao, thì phải, thì có, thì được, thì bị, trước khi, sau khi, trong bao
    lâu, trong thời gian, mỗi tháng, một tháng, một năm, mỗi năm, hàng tháng, hàng năm, một ngày, mỗi ngày, một
    lần, mấy lần, có mấy, gồm mấy, được nghỉ, được hưởng, được mấy, bị mất, làm mất, nhân viên, công ty, khách
    hàng, sản phẩm, đơn hàng, tài khoản, mật khẩu, bảo hành, đổi trả, hoàn tiền, giao hàng, phí, thời gian, thời
    hạn, điều kiện, nghỉ phép, nghỉ việc, thử việc, hợp đồng, tiền lương, trả lương, làm thêm giờ, vào lúc, ai
    trả, trả phí, nộp cho ai, gửi cho ai, nộp ở đâu, đăng ký, từ bao nhiêu, đến mấy giờ, từ mấy giờ, và ai, với
    ai, tôi, mình, ở, của, những, các, và, một, hai, con, đến, về, trong, ngoài, tôi phải, mình phải, cần, nên,
    rồi, chưa, vẫn, cũng, đang, sẽ, đã, thêm, nữa, khác, đây, đó, này, nào, ai, gì
"""
_ASKED_COUNT: Final = 3  # as if this many chunks held each of these words, and each pair of them
_ASKED_PHRASES: Final = [phrase.split() for phrase in _ASKING_VI.replace("\n", " ").split(",")]
_ASKED_PAIRS: Final = Counter({pair: _ASKED_COUNT for phrase in _ASKED_PHRASES for pair in pairwise(phrase)})
_ASKED_AS: Final[Mapping[str, Collection[str]]] = {
    # Sorted: of two that fit alike the first is taken, and the order of a set is another one in each process.
    fold(word): sorted({each for phrase in _ASKED_PHRASES for each in phrase if fold(each) == fold(word)})
    for word in {word for phrase in _ASKED_PHRASES for word in phrase}
}


async def mend(text: str, language: Language, lexicon: Lexicon) -> str:
    """Return the text, whose words the lexicon has learned, in the spelling of the index.

    Raises: IndexUnavailable.
    """
    shorthand = SHORTHAND_VI if language == "vi" else SHORTHAND_EN
    text = _replace(text, lambda word: shorthand.get(word) if not _is_known(word, lexicon) else None)
    if language == "vi":
        text = await _restore(text, lexicon)
    await lexicon.learn(text)  # asks nothing: by now it has learned all that these words may be
    near = await _find_near(text, lexicon)
    return _replace(text, lambda word: _most_frequent(near.get(word, {})))


def _replace(text: str, choose: Callable[[str], str | None]) -> str:
    """Return the text with each word replaced for which `choose` returns another; an initial capital is kept."""

    def exchange(found: re.Match[str]) -> str:
        word = found.group()
        other = choose(word.casefold())
        if other is None:
            return word
        return other[0].upper() + other[1:] if word[0].isupper() else other

    return _WORD.sub(exchange, text)


def _is_known(word: str, lexicon: Lexicon) -> bool:
    return bool(lexicon.spellings(word).get(word))


async def _find_near(text: str, lexicon: Lexicon) -> Mapping[str, Mapping[str, int]]:
    """Return what is one typing error away from each unknown word without diacritics."""
    typed = dict.fromkeys(found.group().casefold() for found in _WORD.finditer(text))
    unknown = [word for word in typed if word.isascii() and word not in _ASKED_AS and not lexicon.spellings(word)]
    return await lexicon.index.near(unknown) if unknown else {}


def _most_frequent(counts: Mapping[str, int]) -> str | None:
    return max(sorted(counts), key=lambda word: counts[word], default=None)


async def _restore(text: str, lexicon: Lexicon) -> str:
    """Return the text with the diacritics of the documents, if it was typed without."""
    await lexicon.learn(text)
    typed = [found.group().casefold() for found in _WORD.finditer(text)]
    if sum(not word.isascii() for word in typed) >= _TYPED_WITH_DIACRITICS * len(typed):
        return fold(text) if _are_typed_without(typed, lexicon) else text
    choices = [_spellings(word, lexicon) for word in typed]
    if all(len(each) == 1 for each in choices):
        likeliest = [next(iter(each)) for each in choices]
    else:
        likeliest = _likeliest(choices, _ASKED_PAIRS + await _count_pairs(choices, lexicon.index))
    restored = iter(likeliest)
    return _replace(text, lambda word: other if (other := next(restored)) != word else None)


def _spellings(word: str, lexicon: Lexicon) -> dict[str, int]:
    """Return what the word may stand for, with chunk counts; only itself if it has diacritics or is unknown."""
    if not word.isascii():
        return {word: 1}
    known = Counter(lexicon.spellings(word))
    known.update(dict.fromkeys(_ASKED_AS.get(word, ()), _ASKED_COUNT))
    return known or {word: 0}


def _are_typed_without(typed: Sequence[str], lexicon: Lexicon) -> bool:
    """Return whether the documents that hold these words were themselves typed without diacritics."""
    accented = [word for word in typed if not word.isascii()]
    spellings = [(word, lexicon.spellings(word)) for word in accented]
    return sum(fold(word) in found and word not in found for word, found in spellings) > len(accented) / 2


async def _count_pairs(choices: Sequence[Collection[str]], index: ChunkIndex) -> Counter[tuple[str, str]]:
    """Count the pairs of adjacent words in the chunks that all choices together find."""
    found = await index.search_lexical(" ".join(word for each in choices for word in each), _WITNESSES)
    pairs: Counter[tuple[str, str]] = Counter()
    for stored in await index.fetch([chunk_id for chunk_id, _ in found]):
        pairs.update(pairwise(words(stored.chunk.text)))
    return pairs


def _likeliest(choices: Sequence[Mapping[str, int]], pairs: Mapping[tuple[str, str], int]) -> list[str]:
    """Return the sequence of words, one from each choice, that fits the pairs and the counts best (Viterbi)."""
    best: dict[str, tuple[float, list[str]]] = {"": (0.0, [])}
    for each in choices:
        best = {
            word: max(
                (
                    (score + _PAIR_WEIGHT * math.log1p(pairs.get((before, word), 0)) + math.log1p(count), [*row, word])
                    for before, (score, row) in best.items()
                ),
                key=lambda scored: scored[0],
            )
            for word, count in each.items()
        }
    return max(best.values(), key=lambda scored: scored[0])[1] if best else []


def stands_for_other(word: str, lexicon: Lexicon) -> bool:
    """Return whether a word without diacritics more often stands for one with them."""
    counts = _spellings(word, lexicon)
    return sum(counts[other] for other in counts if other != word) > counts.get(word, 0)
