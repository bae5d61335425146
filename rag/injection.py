"""Text that acts instead of being read: chat-template tokens and orders to the assistant.

Nobody can list all the ways of writing an order, and nothing here tries to: what protects an answer is that only
verified sentences leave. This is the small filter in front of it, for the forms that are unmistakable.
"""

import re
from typing import Final

# A tokenizer turns these into control tokens wherever they stand: ChatML, Llama, Mistral, Gemma, DeepSeek, Phi.
_CONTROL_TOKEN = re.compile(
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>|</?s>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS)\]|<</?SYS>>"
    r"|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|</?(?:think|tool_call|tool_response)>"
)

_EN_OLD = r"(?:all|any|the|these|those|your|my|previous|prior|above|preceding|earlier|foregoing|other|system|of)"
_EN_RULES = r"(?:instructions?|prompts?|directions?|directives?|guidelines|rules|context|sources|messages?|commands?)"
_VI_RULES = r"(?:hướng dẫn|chỉ dẫn|chỉ thị|mệnh lệnh|câu lệnh|lời nhắc|quy tắc|yêu cầu|ngữ cảnh|nguồn)"
_VI_OLD = r"(?:trước|trên|của bạn|hệ thống|ban đầu|đã cho|này|kia)"
_ORDER: Final = re.compile(
    "|".join(
        (
            rf"\b(?:ignore|disregard|forget|override|bypass)(?: {_EN_OLD}){{1,5}} {_EN_RULES}\b",
            rf"\b(?:bỏ qua|phớt lờ|quên|đừng (?:theo|tuân theo)|không (?:theo|tuân theo))\b"
            rf"[^.\n]{{0,20}}{_VI_RULES}[^.\n]{{0,12}}\b{_VI_OLD}\b",
            r"\byou are (?:now )?(?:an? |the )(?:[\w-]+ ){0,3}(?:assistant|ai|chatbot|language model|dan)\b",
            r"\bbạn (?:bây giờ |giờ đây )?là (?:một )?(?:trợ lý|chatbot|mô hình|ai)\b",
            r"\b(?:system|developer) (?:prompt|message|instructions?)\b",
            r"\b(?:lời nhắc|thông điệp|chỉ dẫn|tin nhắn|câu lệnh) hệ thống\b",
            r"\b(?:reveal|print|repeat|output|disclose|leak)\b[^.\n]{0,30}\b(?:prompt|instructions)\b",
            r"\b(?:answer|respond|reply)\b (?:only |always |exactly |instead )?(?:with|that|by saying) "
            r"(?:the (?:word|phrase|text)|[\"'“‘]|only\b|exactly\b)",
            r"\b(?:chỉ|luôn|hãy) (?:trả lời|đáp)(?: rằng| bằng| là)\b",
            r"\b(?:tell|inform) the user\b|\bnew instructions?:|\binstructions? to the (?:assistant|model|ai)\b",
            r"^\W*(?:system|assistant|developer|hệ thống|trợ lý)\s*:",
            r"</?(?:system|assistant|user|sources?|passages?|documents?|context|instructions?|prompt)\b[^<>\n]{0,40}>",
        )
    ),
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s+")


def has_control_token(text: str) -> bool:
    """Whether a chat template's own tokens stand in the text."""
    return _CONTROL_TOKEN.search(text) is not None


def break_control_tokens(text: str) -> str:
    """The text with a space after the first character of each control token, so that no tokenizer knows it."""
    while (broken := _CONTROL_TOKEN.sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)) != text:
        text = broken
    return text


def gives_orders(text: str) -> bool:
    """Whether the text orders the assistant about, or imitates its prompt or its chat turns."""
    return has_control_token(text) or _ORDER.search(_SPACE.sub(" ", text)) is not None
