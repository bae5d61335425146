"""Recognise text that acts instead of being read: control tokens of chat templates, and orders to the assistant.

Nobody can list all the ways of writing an order, and this file does not try to: an answer is protected because only
verified sentences are sent. This is a small filter in front of that, for unmistakable forms.
"""

import re
import unicodedata
from typing import Final

# Tokenizers turn these into control tokens anywhere in a text: ChatML, Llama, Mistral, Gemma, DeepSeek, Phi.
_CONTROL_TOKEN = re.compile(
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>|</?s>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS)\]|<</?SYS>>"
    r"|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|</?(?:think|tool_call|tool_response)>"
)

# Text written only to be taken for the prompt, a chat turn, a tool call or a source of the service.
_TAG: Final = r"</?(?:system|assistant|user|sources?|passages?|documents?|context|instructions?|prompt)\b[^<>\n]{0,40}>"
_FENCE: Final = re.compile(r"</(?:sources?|passages?|documents?|context)\b[^<>\n]{0,40}>", re.IGNORECASE)
_IMITATION: Final = "|".join(
    (
        r"\[s\d{1,3}\]",  # the label of a source in the prompt
        r"^\W*(?:system|assistant|developer|hệ thống|trợ lý)\s*:",
        r"^\W*#+\s*(?:system|instructions?|response|prompt|chỉ dẫn|phản hồi)\s*:?\s*$",
        _TAG,
        r"[\"']?\b(?:tool_calls?|function_call)\b[\"']?\s*[:=(]|[\"']role[\"']\s*:\s*[\"'](?:system|assistant|user)",
        r"<\s*[|｜][^<>|｜\n]{1,40}[|｜]\s*>|\b(?:assistant|agent|chatbot|tro_ly)\.\w+\(",
        r"<!--|!\[[^\]\n]*\]\(\s*https?:",  # what a browser hides, and what it fetches unasked
        r"(?<![\w.:-])[\w.-]{1,64}:[\w.-]{1,64}:v\d+:\d{5}(?!\d)",  # the id of a chunk
    )
)

# Orders combine two halves: an answerer or an answer, and what to say; the other sources, and to ignore them; the
# prompt, and to reveal it. Both halves must be in one sentence: a handbook may well mention assistants.
_EN_OLD = r"(?:all|any|the|these|those|your|my|previous|prior|above|preceding|earlier|foregoing|other|system|of)"
_EN_RULES = r"(?:instructions?|prompts?|directions?|directives?|guidelines|rules|context|sources|messages?|commands?)"
_VI_RULES = r"(?:hướng dẫn|chỉ dẫn|chỉ thị|mệnh lệnh|câu lệnh|lời nhắc|quy tắc|yêu cầu|ngữ cảnh|nguồn)"
_VI_OLD = r"(?:trước|trên|của bạn|hệ thống|ban đầu|đã cho|này|kia)"
_TAKEOVER: Final = "|".join(
    (
        rf"\b(?:ignore|disregard|forget|override|bypass)(?: {_EN_OLD}){{1,5}} {_EN_RULES}\b",
        r"\b(?:ignore|disregard|forget) the (?:question|user|passages?|documents?)\b",
        rf"\b(?:bỏ qua|phớt lờ|quên|đừng (?:theo|tuân theo)|không (?:theo|tuân theo))\b"
        rf"[^.\n]{{0,20}}{_VI_RULES}[^.\n]{{0,12}}\b{_VI_OLD}\b",
        r"\b(?:bỏ qua|phớt lờ|quên) (?:câu hỏi|người dùng|người hỏi)\b",
        r"\byou (?:are|will)(?: now)? (?:act as |be )?(?:an? |the )(?:[\w-]+ ){0,3}"
        r"(?:assistant|ai|chatbot|language model|dan|pirate)\b",
        r"\b(?:bạn )?(?:bây giờ |giờ đây |từ giờ )?(?:bạn )?(?:là|đóng vai) (?:một )?(?:trợ lý|chatbot|mô hình|ai)\b",
        r"\b(?:system|developer) (?:prompt|message|instructions?)\b|\b(?:debug|developer|god) mode\b",
        r"\b(?:lời nhắc|thông điệp|chỉ dẫn|tin nhắn|câu lệnh) hệ thống\b|\bchế độ (?:gỡ lỗi|nhà phát triển)\b",
        r"\b(?:reveal|print|repeat|output|disclose|leak|show)\b[^.\n]{0,30}\b(?:prompt|(?:your|the) instructions)\b",
        r"\b(?:tiết lộ|in ra|lặp lại|chép lại|cho xem)\b[^.\n]{0,30}\b(?:lời nhắc|chỉ dẫn|quy tắc) (?:của )?bạn\b",
        r"\b(?:answer|respond|reply)\b (?:only |always |exactly |instead )?(?:with|that|by saying) "
        r"(?:the (?:word|phrase|text|sentence)|[\"'“‘]|only\b|exactly\b)",
        r"\b(?:chỉ|luôn|hãy) (?:trả lời|đáp)(?: rằng| bằng| là)\b",
        r"\b(?:this|the following) (?:passage|document|source|page) (?:overrides|supersedes) (?:every|all|any) other"
        r"|\b(?:đoạn|tài liệu|nguồn|trang) này (?:thay thế|ghi đè|phủ định) (?:mọi|tất cả)\b",
        r"\btell the user\b|\bnew (?:instructions?|task):|\binstructions? (?:to|for) the (?:assistant|model|ai)\b",
    )
)
_EN_SAY = (
    r"(?:say|says|state|reply|respond|answer|tell|recommend|include|quote|cite|copy|repeat|mention|begin|end|praise"
    r"|gives? the|output|reveal|treat|pretend)"
)
_VI_SAY = (
    r"(?:nói|đáp|trả lời|dẫn|trích|chép|kèm|khen|giới thiệu|nhắc|mở đầu|kết thúc|viết|coi|in ra|tiết lộ|báo|cho biết)"
)
_TO_AN_ANSWERER: Final = "|".join(
    (
        r"\b(?:(?-i:AI)|bots?|chat ?bots?|llms?|(?:language|ai) models?|summari[sz]ers?"
        r"|(?:virtual|clever|dear) (?:assistants?|readers?|agents?)|assistants? (?:that|who|which|must)"
        r"|(?:automated|machine) readers?|systems? (?:that )?answer\w*|whoever answers)"
        rf"\b[^\n]{{0,80}}\b{_EN_SAY}\b",
        r"\b(?:your|the (?:correct|final|only)) (?:answers?|repl(?:y|ies)|responses?|summary)\b[^\n]{0,40}"
        r"\b(?:is always|(?:must|should|shall|has to) (?:say|state|be that|begin|end|include|contain|recommend))\b",
        rf"\b(?:if|when(?:ever)?) (?:you are |the assistant is |anyone |someone |a user )?(?:asked|asks)\b[^\n]{{0,80}}"
        rf"\b{_EN_SAY}\b",
        rf"\b(?:before|when|while) (?:you )?(?:answer|reply|respond|summari[sz])\w*\b[^\n]{{0,80}}\b{_EN_SAY}\b",
        rf"\b{_EN_SAY}\b[^\n]{{0,30}}\b(?:anyone who asks|whoever asks|the person asking)\b",
        r"\b(?:mô hình ngôn ngữ|chatbot|trợ lý (?:ảo|ai|thông minh)|máy đọc|bộ tóm tắt|hệ thống trả lời"
        r"|(?:gửi|chào|hỡi) ai)\b"
        rf"[^\n]{{0,80}}\b{_VI_SAY}\b",
        rf"\b(?:khi|nếu|ai)(?: \w+){{0,2}} hỏi\b[^\n]{{0,60}}\b(?:hãy|phải|chỉ|luôn|xin|cứ) {_VI_SAY}\b",
        rf"\b(?:khi|trước khi) (?:trả lời|tóm tắt|soạn câu trả lời)\b[^\n]{{0,60}}\b(?:hãy|phải|chỉ|luôn) {_VI_SAY}\b",
        r"\bcâu trả lời (?:của bạn|đúng|cuối cùng|duy nhất)\b[^\n]{0,40}\b(?:phải|luôn|chỉ)\b",
        r"\b(?:all|any|every) other (?:documents?|sources?|passages?)\b[^\n]{0,40}"
        r"\b(?:ignored?|disregard|fake|wrong|outdated|obsolete|no longer)\b",
        r"\b(?:ignore|disregard|do not use|don't use) (?:all |any |every |the )?(?:other|remaining) "
        r"(?:documents?|sources?|passages?)\b",
        r"\bdisregard the (?:sentences?|lines?|text|passages?|figures?) (?:above\b|in the other)",
        r"\b(?:bỏ qua|phớt lờ|không dùng|đừng dùng) (?:mọi |tất cả |các |những )?(?:tài liệu|nguồn|đoạn|câu) "
        r"(?:khác|kia|còn lại|ở trên|trên)\b",
    )
)
_IMITATES: Final = re.compile(_IMITATION, re.IGNORECASE | re.MULTILINE)
_TAKES_OVER: Final = re.compile(_TAKEOVER, re.IGNORECASE)
_ORDERS: Final = re.compile(_TO_AN_ANSWERER, re.IGNORECASE)
# Zero-width, direction and filler characters: they hide words and markers from rules, but not from tokenizers.
UNSEEN: Final[dict[int, None]] = dict.fromkeys(
    (
        *(0xAD, 0x34F, 0x61C, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)),
        *(0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10), *range(0xFFF9, 0xFFFC)),
        *range(0xE0000, 0xE01F0),
    )
)
_SPACE = re.compile(r"\s+")


def has_control_token(text: str) -> bool:
    """Return whether the text holds control tokens of a chat template."""
    return _CONTROL_TOKEN.search(text) is not None


def break_control_tokens(text: str) -> str:
    """Return the text with a space inside each control token, so that no tokenizer recognises it."""
    while (broken := _CONTROL_TOKEN.sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)) != text:
        text = broken
    return text


def takes_over(text: str) -> bool:
    """Return whether the text orders the assistant to drop its task; the rest of its paragraph is not to be trusted."""
    seen = _as_read(text)
    return has_control_token(seen) or _TAKES_OVER.search(_SPACE.sub(" ", seen)) is not None


def gives_orders(text: str) -> bool:
    """Return whether the text gives orders to the assistant, or imitates a prompt, source, chat turn or tool call."""
    if takes_over(text):
        return True
    seen = _as_read(text)
    return _ORDERS.search(_SPACE.sub(" ", seen)) is not None or _IMITATES.search(seen) is not None


def imitates_fence(text: str) -> bool:
    """Return whether the text pretends that the sources end here; nothing after it is a source then."""
    return _FENCE.search(_as_read(text)) is not None


def _as_read(text: str) -> str:
    """Return the text as a tokenizer reads it: compatibility forms composed, invisible characters removed."""
    return unicodedata.normalize("NFKC", text.translate(UNSEEN))
