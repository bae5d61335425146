"""Drafts an answer within its deadline, and lets go of the generator at once when nobody reads on."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from rag.limits import Deadline
from rag.ports import TextGenerator, TokenCounter
from rag.types import Delta, Message, TokenUsage


@dataclass(slots=True)
class Draft:
    """What one generation has given so far."""

    messages: Sequence[Message]
    finish_reason: str | None = None
    _texts: list[str] = field(default_factory=list)
    _usage: TokenUsage | None = None

    def add(self, delta: Delta) -> None:
        self._texts.append(delta.text)
        self.finish_reason = delta.finish_reason or self.finish_reason
        self._usage = delta.usage or self._usage

    def usage(self, counter: TokenCounter) -> TokenUsage:
        """As the generator reported it, or counted here: it reports none when it is stopped early or fails."""
        if self._usage is not None:
            return self._usage
        prompt_tokens = sum(counter.count(message.content) for message in self.messages)
        return TokenUsage(prompt_tokens, counter.count("".join(self._texts)))


async def stream_draft(
    messages: Sequence[Message], *, generator: TextGenerator, max_tokens: int, deadline: Deadline, trace_id: str
) -> AsyncGenerator[Delta, None]:
    """The draft as it comes; closing this iterator ends the generation upstream.

    Raises: DeadlineExceeded, UpstreamError, UpstreamRateLimited.
    """
    async with AsyncExitStack() as stack:
        async with deadline.enforced():
            deltas = await stack.enter_async_context(
                generator.stream(messages, max_tokens=max_tokens, timeout_s=deadline.left_s(), trace_id=trace_id)
            )
        # The deadline is set anew around each wait: a timeout around a `yield` would cancel whoever reads.
        while True:
            async with deadline.enforced():
                delta = await anext(deltas, None)
            if delta is None:
                return
            yield delta
