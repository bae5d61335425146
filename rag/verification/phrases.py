"""Recognise what a model says around an answer: that there is none, that it is glad to help, that the answer follows.

These are closed forms, English and Vietnamese. A document may hold most of them too, so they are applied only if no
passage supports the sentence well.
"""

import re
from typing import Final

_EN_SOURCES: Final = r"(?:sources?|documents?|context|passages?|text|excerpts?|materials?|information)"
_VI_SOURCES: Final = r"(?:tài liệu|nguồn|ngữ cảnh|đoạn|văn bản|thông tin|nội dung)"
_EN_TOLD: Final = r"(?:mentioned|specified|stated|provided|covered|addressed|discussed|included|available|given|found)"
_VI_TOLD: Final = r"(?:đề cập|nhắc|nêu|cung cấp|nói|ghi|trình bày|quy định|chứa)"
_DECLINE = re.compile(
    "|".join(
        (
            rf"\b{_EN_SOURCES}\b.{{0,40}}\b(?:(?:do|does|did)(?: not|n['’]t)|cannot|has no|have no|contains? no"
            rf"|provides? no"
            r"|(?:is|are)(?: not|n['’]t) (?:enough|sufficient|clear)|lacks?|makes? no)\b.{0,40}\b"
            r"(?:contain|mention|provide|include|say|specify|state|give|answer|information|address|cover|details?)",
            r"\b(?:i|we)\b.{0,30}\b(?:not|cannot|unable|(?:do|did|ca|could|was|were|have)n['’]t)\b.{0,30}"
            r"\b(?:answer|know|find|found|locate|determine|see any|have (?:any |enough )?(?:information|access"
            r"|details))\b",
            r"\b(?:unable|not able|not possible) to (?:answer|find|locate|determine)\b",
            r"\bthere (?:is|was|are|were)(?: no|(?: not|n['’]t) (?:any|enough)| insufficient)\b.{0,30}"
            r"\b(?:information|mention|details?|data|answer|evidence)\b",
            r"\bno (?:[\w-]+ ){0,3}(?:information|mention|details?|answer|data)\b.{0,60}"
            rf"\b(?:{_EN_TOLD}|in (?:the|these|this) (?:[\w-]+ ){{0,2}}{_EN_SOURCES})\b",
            rf"\b(?:is|are|was|were)(?: not|n['’]t) (?:\w+ ){{0,2}}{_EN_TOLD}\b.{{0,20}}"
            rf"\b(?:in|by|from) (?:the|these|this|any|your)? ?(?:[\w-]+ ){{0,2}}{_EN_SOURCES}\b",
            r"\b(?:cannot|can['’]t|can not|could not) be (?:answered|determined|found)\b",
            rf"\b{_VI_SOURCES}\b.{{0,30}}\b(?:không|chưa) (?:hề )?"
            rf"(?:(?:có|thấy|tìm thấy) (?:\w+ )?(?:thông tin|câu trả lời|dữ liệu|nội dung|đề cập|nhắc|nêu|chi tiết)"
            rf"|(?:được )?{_VI_TOLD}|bao gồm thông tin|đủ|đưa ra)\b",
            r"\btôi\b.{0,20}\b(?:không|chưa) (?:biết|tìm|thể (?:trả lời|tìm|xác định|cung cấp|đưa ra)"
            r"|có (?:đủ )?thông tin)\b",
            r"(?:\b(?:không|chưa)(?: thể)? (?:tìm thấy|tìm được|tìm ra|xác định được)"
            r"|\A\W*(?:(?:rất tiếc|xin lỗi|hiện|hiện tại|hiện nay)\W+)?(?:không|chưa) (?:thấy|có|có đủ"
            r"|đủ))\b.{0,25}"
            r"\b(?:thông tin|câu trả lời|dữ liệu|đề cập)\b",
            rf"\b(?:không|chưa) (?:được |thấy |hề )?{_VI_TOLD}\b.{{0,40}}\b{_VI_SOURCES}\b",
        )
    ),
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"\b(?:but|however|nhưng|tuy nhiên|song)\b,?(?: \S+){3}", re.IGNORECASE)

_CHATTER = re.compile(
    "|".join(
        (
            r"\b(?:feel free|(?:do not|don['’]t) hesitate|please)(?: to)? (?:ask|let me know|reach out"
            r"|contact me)\b",
            r"\blet me know (?:if|whether|how|what|should)\b",
            r"\bhope (?:this|that|it|the|you)\b.{0,40}\b(?:help|helps|helpful|useful|answers|clarifies|find)\b",
            r"\bi(?:['’]m| am|['’]d be| would be| will be|['’]ll be) (?:happy|glad|here|able"
            r"|pleased) to (?:help|assist)\b",
            r"\b(?:happy|glad) to help\b|\bthank you for (?:your|the|asking)\b|\b(?:great|good) question\b",
            r"\byou(?:['’]re| are) welcome\b|\A\W*(?:i['’]m |i am |we are )?(?:very )?sorry\b|\A\W*(?:my "
            r"|i )?apologi[sz]e?",
            r"\bplease (?:provide|share|give) (?:me |us )(?:with )?(?:more|additional|further|the)\b",
            r"\b(?:hãy|vui lòng|xin|cứ|đừng ngần ngại|đừng ngại)\b.{0,20}\b(?:cho tôi biết|cho mình biết"
            r"|hỏi thêm|hỏi tôi)\b",
            r"\bhy vọng\b.{0,40}\b(?:hữu ích|giúp|có ích|giải đáp)\b|\bcảm ơn (?:bạn|anh|chị|quý khách) đã\b",
            r"\b(?:tôi|mình)\b.{0,20}\b(?:sẵn sàng|sẵn lòng|rất vui|vui lòng)\b.{0,20}\b(?:giúp|hỗ trợ|trả lời)\b",
            r"\A\W*(?:rất tiếc|xin lỗi)\b",
        )
    ),
    re.IGNORECASE,
)
# A document may well say these.
_REFERRAL = re.compile(
    "|".join(
        (
            r"\bif you (?:have|need|want|require|['’]d like|would like)\b.{0,40}"
            r"\b(?:questions?|help|assistance|information|details|clarification)\b",
            r"\b(?:please|you (?:may|can|could|should|might)|i(?:['’]d| would)? (?:recommend|suggest"
            r"|advise))\b.{0,30}"
            r"\b(?:contact|consult|check|refer|reach|ask|look)(?:ing)?\b",
            r"\bplease (?:provide|share|give)\b",
            r"\bnếu (?:bạn|anh|chị|quý khách|anh/chị)\b.{0,40}\b(?:câu hỏi|thắc mắc|hỗ trợ|thông tin|giúp|hỏi)\b",
            r"\b(?:hãy|vui lòng|xin|cứ|đừng ngần ngại|đừng ngại|có thể)\b.{0,20}\b(?:hỏi|liên hệ|tham khảo"
            r"|cung cấp thêm)\b",
        )
    ),
    re.IGNORECASE,
)

_EN_GIVEN: Final = (
    rf"(?:the |these |this |your )?(?:[\w-]+ ){{0,3}}{_EN_SOURCES}(?: (?:above|below|provided|given|you provided))?"
)
_VI_CALLED: Final = r"(?:trên|dưới đây|này|đó|đã cho|được cung cấp|đã cung cấp|được cho|trong tài liệu)"
_VI_GIVEN: Final = rf"(?:các |những )?{_VI_SOURCES}(?: {_VI_CALLED}){{0,2}}"
_EN_BASED: Final = rf"(?:based (?:up)?on|according to|from|using|per) {_EN_GIVEN}"
_VI_BASED: Final = rf"(?:dựa (?:trên|vào|theo)|theo|căn cứ (?:vào)?) {_VI_GIVEN}"
_LEAD_IN = re.compile(
    rf"\W*(?:(?:sure|certainly|of course|okay|ok|chắc chắn rồi|tất nhiên|vâng"
    rf"|dạ)\b\W*)?(?:{_EN_BASED}\W+)?(?:{_VI_BASED}\W+)?"
    rf"(?:(?:here(?: is|['’]s| are)|below (?:is|are)|the following (?:is|are)|this is)"
    rf" (?:the|your|an?|my|some)? ?(?:[\w-]+ ){{0,2}}(?:answers?|response|summary|information|details|reply)"
    rf"|(?:sau đây|dưới đây|đây) là (?:câu trả lời|thông tin|phần trả lời|tóm tắt|nội dung|đáp án)(?: \w+){{0,2}})?"
    rf"\W*(?:{_EN_BASED})?(?:{_VI_BASED})?(?: (?:to|for) your question| cho câu hỏi(?: của bạn)?)?\W*",
    re.IGNORECASE,
)
_INTRODUCTION = re.compile(rf"\A\W*(?:{_EN_BASED}|{_VI_BASED})[^\S\n]*[,:]\s*", re.IGNORECASE)
# The remains of a JSON object that could not be unwrapped.
_OBJECT = re.compile(r"\s*[\[{]\s*(?:\{\s*)?\"[^\"\n]{1,40}\"\s*:|[^{\[]*\"\s*[\]}]+\s*\Z")


def declines(text: str) -> bool:
    """Return whether a sentence says that the sources hold no answer, without going on to what they do hold."""
    found = _DECLINE.search(text)
    return found is not None and _GOES_ON.search(text, found.end()) is None


def is_chatter(text: str) -> bool:
    """Return whether a sentence addresses the reader instead of the question."""
    return _CHATTER.search(text) is not None


def refers_elsewhere(text: str) -> bool:
    """Return whether a sentence sends the reader to somebody else, or asks for more information."""
    return _REFERRAL.search(text) is not None


def is_lead_in(text: str) -> bool:
    """Return whether a sentence only announces the answer, or is the remains of a wrapping."""
    return _LEAD_IN.fullmatch(text) is not None or _OBJECT.match(text) is not None


def without_introduction(text: str) -> str:
    """Return the sentence without an introduction such as "Based on the provided documents,"."""
    return _INTRODUCTION.sub("", text, count=1)
