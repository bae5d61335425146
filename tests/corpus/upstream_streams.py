# ruff: noqa: E501  # the lines of an event stream
"""Replies of real servers to one short question, in the formats of their documentation and code; the texts are ours."""

from collections.abc import Mapping
from typing import Final

SAID: Final = "Staff have 12 days [S1]."

# Each is a whole body of `text/event-stream` whose draft is `SAID` and whose usage is 9 and 7, or none.
WHOLE: Final[Mapping[str, str]] = {
    "vllm": """\
data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning_content":null},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"reasoning":"Let me see."},"logprobs":null,"finish_reason":null,"token_ids":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Staff have 12 days"},"logprobs":null,"finish_reason":null,"token_ids":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" [S1]."},"logprobs":null,"finish_reason":"stop","stop_reason":null,"token_ids":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":9,"total_tokens":16,"completion_tokens":7}}

data: [DONE]

""",
    "tgi": """\
data: {"object":"chat.completion.chunk","id":"","created":1,"model":"m","system_fingerprint":"3.0-sha","choices":[{"index":0,"delta":{"role":"assistant","content":"Staff have 12 days"},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"object":"chat.completion.chunk","id":"","created":1,"model":"m","system_fingerprint":"3.0-sha","choices":[{"index":0,"delta":{"role":"assistant","content":" [S1]."},"logprobs":null,"finish_reason":"eos_token"}],"usage":null}

data: {"object":"chat.completion.chunk","id":"","created":1,"model":"m","system_fingerprint":"3.0-sha","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}

data: [DONE]

""",
    "ollama": """\
data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":"<think>\\nLet me"},"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":" see.\\n</think>\\n\\nStaff have 12 days [S1]."},"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"fp_ollama","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}

data: [DONE]

""",
    "llama.cpp": """\
data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1,"id":"chatcmpl-1","model":"m","system_fingerprint":"b1","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Staff have 12 days [S1]."}}],"created":1,"id":"chatcmpl-1","model":"m","system_fingerprint":"b1","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"created":1,"id":"chatcmpl-1","model":"m","system_fingerprint":"b1","object":"chat.completion.chunk"}

data: {"choices":[],"created":1,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk","usage":{"completion_tokens":7,"prompt_tokens":9,"total_tokens":16},"timings":{"prompt_n":9,"predicted_n":7}}

data: [DONE]

""",
    "mistral": """\
data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Let me see."}]}]},"finish_reason":null}]}

data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":[{"type":"text","text":"Staff have"},{"type":"text","text":" 12 days"}]},"finish_reason":null}]}

data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" [S1]."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"total_tokens":16,"completion_tokens":7}}

data: [DONE]

""",
    "litellm": """\
data: {"id":"chatcmpl-1","created":1,"model":"m","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Staff have 12 days","role":"assistant"}}],"stream_options":{"include_usage":true}}

data: {"id":"chatcmpl-1","created":1,"model":"m","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" [S1]."}}]}

data: {"id":"chatcmpl-1","created":1,"model":"m","object":"chat.completion.chunk","choices":[{"finish_reason":"stop","index":0,"delta":{}}]}

data: {"id":"chatcmpl-1","created":1,"model":"m","object":"chat.completion.chunk","choices":[{"index":0,"delta":{}}],"usage":{"completion_tokens":7,"prompt_tokens":9,"total_tokens":16}}

data: [DONE]

""",
    "azure": """\
data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}

data: {"choices":[{"content_filter_results":{},"delta":{"content":"","refusal":null,"role":"assistant"},"finish_reason":null,"index":0,"logprobs":null}],"created":1,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk","usage":null}

data: {"choices":[{"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}},"delta":{"content":"Staff have 12 days [S1]."},"finish_reason":null,"index":0}],"created":1,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk","usage":null}

data: {"choices":[{"content_filter_results":{},"delta":{},"finish_reason":"stop","index":0}],"created":1,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk","usage":null}

data: {"choices":[],"created":1,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk","usage":{"completion_tokens":7,"prompt_tokens":9,"total_tokens":16}}

data: [DONE]

""",
    "anthropic": """\
data: {"id":"msg_1","choices":[{"index":0,"delta":{"role":"assistant","content":"Staff have 12 days"}}],"created":1,"model":"m","object":"chat.completion.chunk"}

data: {"id":"msg_1","choices":[{"index":0,"delta":{"content":" [S1]."}}],"created":1,"model":"m","object":"chat.completion.chunk"}

data: {"id":"msg_1","choices":[{"index":0,"finish_reason":"stop","delta":{}}],"created":1,"model":"m","object":"chat.completion.chunk"}

data: {"id":"msg_1","choices":[],"created":1,"model":"m","object":"chat.completion.chunk","usage":{"completion_tokens":7,"prompt_tokens":9,"total_tokens":16}}

data: [DONE]

""",
    "gemini": """\
data: {"choices":[{"delta":{"content":"Staff have 12 days","role":"assistant"},"index":0}],"created":1,"id":"x","model":"m","object":"chat.completion.chunk","usage":{"completion_tokens":3,"prompt_tokens":9,"total_tokens":12}}

data: {"choices":[{"delta":{"content":" [S1].","role":"assistant"},"finish_reason":"stop","index":0}],"created":1,"id":"x","model":"m","object":"chat.completion.chunk","usage":{"completion_tokens":7,"prompt_tokens":9,"total_tokens":16}}

data: [DONE]

""",
    "openrouter": """\
: OPENROUTER PROCESSING

: OPENROUTER PROCESSING

data: {"id":"gen-1","provider":"P","model":"m","object":"chat.completion.chunk","created":1,"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":"Let me see.","reasoning_details":[]},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}

data: {"id":"gen-1","provider":"P","model":"m","object":"chat.completion.chunk","created":1,"choices":[{"index":0,"delta":{"role":"assistant","content":"Staff have 12 days [S1]."},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}

data: {"id":"gen-1","provider":"P","model":"m","object":"chat.completion.chunk","created":1,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop","native_finish_reason":"end_turn","logprobs":null}]}

data: {"id":"gen-1","provider":"P","model":"m","object":"chat.completion.chunk","created":1,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}

data: [DONE]

""",
}

_BEGUN: Final = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"Staff have"}}]}\n\n'

_ROLE: Final = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
_STOP: Final = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
_DONE: Final = "data: [DONE]\n\n"
_COUNTED: Final = '"usage":{"prompt_tokens":9,"completion_tokens":1}'

# Each is a whole body of a model that ends before its first word: no failure, and no text.
SILENT: Final[Mapping[str, str]] = {
    "usage-after-the-end": _ROLE + _STOP + f'data: {{"choices":[],{_COUNTED}}}\n\n' + _DONE,
    "usage-with-the-end": _ROLE
    + f'data: {{"choices":[{{"delta":{{}},"finish_reason":"stop"}}],{_COUNTED}}}\n\n'
    + _DONE,
    "usage-before-the-end": _ROLE + f'data: {{"choices":[],{_COUNTED}}}\n\n' + _STOP + _DONE,
    "an-empty-text-without-a-role": (
        f'data: {{"choices":[{{"delta":{{"content":""}},"finish_reason":"stop"}}],{_COUNTED}}}\n\n' + _DONE
    ),
    "thoughts-alone": 'data: {"choices":[{"delta":{"reasoning_content":"Hm."}}]}\n\n' + _STOP + _DONE,
}

# Each is a whole body with status 200 that is no answer, and what the log is to hold of it.
FAILED: Final[Mapping[str, tuple[str, str]]] = {
    "openai": (
        'data: {"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}\n\n',
        "server_error: The server had an error",
    ),
    "text": ('data: {"error":"out of memory"}\n\n', "out of memory"),
    "named": ('event: error\ndata: {"message":"out of memory"}\n\n', "out of memory"),
    "named-text": ("event: error\ndata: out of memory\n\n", "out of memory"),
    "vllm-old": (
        'data: {"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}\n\n',
        "BadRequestError: 400: too long",
    ),
    "vllm-late": (
        _BEGUN + 'data: {"error":{"message":"dead","type":"InternalServerError","code":500}}\n\ndata: [DONE]\n\n',
        "InternalServerError: 500: dead",
    ),
    "anthropic": (
        'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
        "overloaded_error: Overloaded",
    ),
    "anthropic-unnamed": (
        'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
        "overloaded_error: Overloaded",
    ),
    "fastapi": ('data: {"detail":"Not Found"}\n\n', "Not Found"),
    "fastapi-list": ('data: {"detail":[{"type":"missing","msg":"Field required"}]}\n\n', "missing: Field required"),
    "gemini": (
        'data: [{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]\n\n',
        "503: UNAVAILABLE: overloaded",
    ),
    "tgi": ('data: {"error":"Input validation error","error_type":"validation"}\n\n', "Input validation error"),
    "openrouter": (
        _BEGUN
        + 'data: {"error":{"code":"server_error","message":"disconnected"},"choices":[{"index":0,"delta":{"content":""},'
        '"finish_reason":"error"}]}\n\n',
        "server_error: disconnected",
    ),
    "in-the-choice": (
        'data: {"choices":[{"index":0,"delta":{},"error":{"code":502,"message":"bad gateway"}}]}\n\n',
        "502: bad gateway",
    ),
    "plain-json": ('{"error":{"type":"invalid_request_error","message":"no"}}', "invalid_request_error: no"),
    "html": ("<html><h1>busy</h1></html>", "no JSON: text/event-stream"),
    "whole-completion": ('{"choices":[{"message":{"content":"Staff have 12 days."}}]}', "no reason given"),
    "empty": ("", "no JSON: text/event-stream"),
    "comments": (": ping\n\n: ping\n\n", "no JSON: text/event-stream"),
    "done-alone": ("data: [DONE]\n\n", "no delta"),
    "no-choices": ('data: {"choices":[]}\n\ndata: [DONE]\n\n', "no delta"),
    "an-end-alone": ('data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n', "no delta"),
    "an-end-that-is-counted": (
        'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1}}\n\n',
        "no delta",
    ),
    "role-alone": (_ROLE + _STOP + _DONE, "no delta"),
    "role-alone-unended": (_ROLE + _DONE, "no delta"),
    "role-and-nulls": (
        'data: {"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":[]}}]}\n\n' + _STOP + _DONE,
        "no delta",
    ),
    "role-and-empty-text": (
        _ROLE + 'data: {"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}\n\n' + _DONE,
        "no delta",
    ),
    "role-and-no-token-counted": (
        _ROLE + _STOP + 'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":0}}\n\n' + _DONE,
        "no delta",
    ),
    "cut": (_BEGUN, "the stream was cut"),
    "refusal": (_BEGUN + 'data: {"choices":[{"delta":{"refusal":"I cannot"}}]}\n\n', "refusal"),
    **{
        reason: (
            _BEGUN + f'data: {{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}\n\ndata: [DONE]\n\n',
            f"finish_reason {reason.lower()}",
        )
        for reason in ("content_filter", "refusal", "error", "SAFETY", "abort")
    },
}
