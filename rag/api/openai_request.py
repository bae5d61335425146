"""Read a chat in OpenAI's form as one query: its tenant, question, earlier turns and bound."""

from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from rag.errors import InvalidRequest, UnknownModel
from schemas.errors import FieldError
from schemas.openai import ChatMessage, ChatRequest
from schemas.request import HISTORY_MAX_CHARS, HISTORY_MAX_TURNS, OUTPUT_TOKENS_MAX, OUTPUT_TOKENS_MIN, QueryRequest

MODEL_NAME: Final = "rag"
_DEFAULT_TENANT: Final[str] = QueryRequest.model_fields["tenant_id"].default
_SEPARATOR: Final = ":"


def name_model(tenant_id: str) -> str:
    """Return the name of the model that answers from this tenant's documents."""
    return MODEL_NAME if tenant_id == _DEFAULT_TENANT else f"{MODEL_NAME}{_SEPARATOR}{tenant_id}"


def to_query(request: ChatRequest) -> QueryRequest:
    """Return the query that a chat stands for.

    Raises:
        UnknownModel: no tenant could have this model.
        InvalidRequest: no message is by the user, or the last one is no question.
    """
    tenant_id = _read_model(request.model)
    at = _find_question(request.messages)
    values = {
        "question": request.messages[at].content,
        "tenant_id": tenant_id,
        "history": take_history(request.messages[:at]),
    }
    try:
        return QueryRequest.model_validate({**values, **_bound_output(request)})
    except ValidationError as error:
        if any(each["loc"] == ("tenant_id",) for each in error.errors()):
            raise UnknownModel from None
        reasons = [each["msg"] for each in error.errors(include_url=False, include_context=False, include_input=False)]
        # `from None`: the cause would carry the question into a log.
        raise InvalidRequest([FieldError(path=f"messages.{at}.content", reason=each) for each in reasons]) from None


def take_history(earlier: Sequence[ChatMessage]) -> list[dict[str, str]]:
    """Return the turns before the question, oldest first: the latest ones that fit, without a gap between them.

    System and developer messages are no turns, nor is one without text.
    """
    turns: list[dict[str, str]] = []
    left_chars = HISTORY_MAX_CHARS
    for message in reversed(earlier):
        content = (message.content or "").strip()
        if message.role not in ("user", "assistant") or not content:
            continue
        left_chars -= len(content)
        if left_chars < 0 or len(turns) == HISTORY_MAX_TURNS:
            break
        turns.append({"role": message.role, "content": content})
    return turns[::-1]


def _read_model(model: str) -> str:
    """Return the tenant whose documents are meant; it may be no tenant's id."""
    name, separator, tenant_id = model.partition(_SEPARATOR)
    if name != MODEL_NAME:
        raise UnknownModel
    return tenant_id if separator else _DEFAULT_TENANT


def _find_question(messages: Sequence[ChatMessage]) -> int:
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].role == "user":
            return at
    raise InvalidRequest([FieldError(path="messages", reason="must hold a message by the user")])


def _bound_output(request: ChatRequest) -> dict[str, int]:
    asked = [each for each in (request.max_tokens, request.max_completion_tokens) if each is not None]
    return {"max_output_tokens": min(max(min(asked), OUTPUT_TOKENS_MIN), OUTPUT_TOKENS_MAX)} if asked else {}
