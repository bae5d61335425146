"""Draft an answer within its deadline while another task checks it, and stop the generator once nobody reads on.

A task of its own reads the draft: the next sentence is drafted while the last one is checked and sent, and a delta
costs no more than its own parsing.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

from rag.drafting.thoughts import ThoughtFilter
from rag.errors import RagError
from rag.limits import Deadline
from rag.ports import TextGenerator, TokenCounter
from rag.types import Delta, DraftSentence, Message, TokenUsage

# The most tokens that a chat template adds to a message.
_TEMPLATE_TOKENS: Final = 100
# No tokenizer averages this many characters per token: a server that goes on ignores its `max_tokens`.
_CHARS_PER_TOKEN_MAX: Final = 16
# The usage may follow the last text; it is not worth waiting longer than this.
_USAGE_TIMEOUT_S: Final = 1.0
# Bounds the queue: only a server that ignores `max_tokens` fills it, while the client does not read.
_AHEAD_SENTENCES: Final = 32
# Finish reasons for a reached bound at OpenAI, Anthropic, Gemini and Mistral, in lower case.
_CUT_REASONS: Final = frozenset({"length", "max_tokens", "max_output_tokens", "max_length", "model_length"})


class Parser(Protocol):
    """Turns deltas into sentences."""

    def feed(self, text: str) -> Sequence[DraftSentence]: ...

    def close(self) -> Sequence[DraftSentence]: ...


class Draft:
    """The sentences of one generation as they are completed, and what is known of it so far.

    Thoughts are not sentences of the draft. If their end arrives without their beginning, everything before it was
    thoughts, and the sentences not yet taken from here are withdrawn. Holding back every draft until its end would cost
    everybody the stream, for the sake of misconfigured servers.
    """

    def __init__(self, messages: Sequence[Message], parser: Parser, *, max_tokens: int) -> None:
        self.messages: Final = messages
        self._parser = parser
        self._thoughts = ThoughtFilter()
        self.max_tokens: Final = max_tokens
        self._sentences: asyncio.Queue[DraftSentence | None] = asyncio.Queue(_AHEAD_SENTENCES)
        self._error: Exception | None = None
        self._is_whole = False
        self.was_taken = False  # the generator has begun to work on it
        self._texts: list[str] = []
        self._usage: TokenUsage | None = None
        self._finish_reason: str | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the generator reached its bound."""
        return self._finish_reason is not None and self._finish_reason.lower() in _CUT_REASONS

    def usage(self, counter: TokenCounter) -> TokenUsage:
        """Return the usage reported by the generator, else a count: it reports none if stopped early or failed."""
        if self._usage is not None and self._is_possible(self._usage):
            return self._usage
        prompt_tokens = sum(counter.count(message.content) for message in self.messages)
        return TokenUsage(prompt_tokens, counter.count("".join(self._texts)))

    def _is_possible(self, usage: TokenUsage) -> bool:
        """Return whether the usage is possible (no token is shorter than a byte): a lie could use up the quota."""
        prompt_bytes = sum(len(message.content.encode()) + _TEMPLATE_TOKENS for message in self.messages)
        return usage.prompt_tokens <= prompt_bytes and usage.completion_tokens <= self.max_tokens

    async def next(self) -> DraftSentence | None:
        """Return the next sentence, or None after the last one; not to be called after that.

        Raises: DeadlineExceeded, UpstreamError, UpstreamRateLimited.
        """
        sentence = await self._sentences.get()
        if sentence is None and self._error is not None:
            raise self._error
        return sentence

    async def read(self, deltas: AsyncIterator[Delta], *, keeps_cut_tail: bool) -> None:
        """Read the deltas to their end.

        Unless `keeps_cut_tail`, a draft that is cut ends with its last whole sentence.
        """
        left_chars, has_begun = self.max_tokens * _CHARS_PER_TOKEN_MAX, False
        async for delta in deltas:
            self._take(delta)
            for sentence in self._parse(delta.text):
                has_begun = True
                await self._sentences.put(sentence)
            left_chars -= len(delta.text) + len(delta.thought)
            if left_chars < 0:
                self._finish_reason = "length"
            if self._finish_reason is not None:
                break
        if not (self.is_cut and has_begun and not keeps_cut_tail):
            for sentence in self._parser.feed(self._thoughts.close()):
                await self._sentences.put(sentence)
            for sentence in self._parser.close():
                await self._sentences.put(sentence)
        self._is_whole = True
        if left_chars >= 0:
            await self._read_usage(deltas)

    def _parse(self, text: str) -> Sequence[DraftSentence]:
        speech = self._thoughts.feed(text)
        if speech.is_anew:
            self._parser.close()  # discards the sentence that it holds
            while not self._sentences.empty():
                self._sentences.get_nowait()
        return self._parser.feed(speech.text)

    async def _read_usage(self, deltas: AsyncIterator[Delta]) -> None:
        """Read the usage after the end of the text, if it comes soon: the answer is complete without it."""
        with suppress(RagError, TimeoutError):
            async with asyncio.timeout(_USAGE_TIMEOUT_S):
                async for delta in deltas:
                    self._take(Delta(usage=delta.usage))

    def _take(self, delta: Delta) -> None:
        self._texts += (delta.thought, delta.text)  # thoughts are paid for too
        self._finish_reason = delta.finish_reason or self._finish_reason
        self._usage = delta.usage or self._usage

    async def end(self, error: Exception | None) -> None:
        """Pass the end or the failure to the reader; a failure after the end of the text is ignored."""
        self._error = None if self._is_whole else error
        await self._sentences.put(None)


@asynccontextmanager
async def drafting(
    draft: Draft,
    *,
    generator: TextGenerator,
    keeps_cut_tail: bool,
    deadline: Deadline,
    trace_id: str,
) -> AsyncIterator[None]:
    """Fill the draft while the block runs; leaving it ends the generation upstream."""

    async def fill() -> None:
        try:
            async with (
                deadline.enforced(),
                generator.stream(
                    draft.messages, max_tokens=draft.max_tokens, timeout_s=deadline.left_s(), trace_id=trace_id
                ) as deltas,
            ):
                draft.was_taken = True
                await draft.read(deltas, keeps_cut_tail=keeps_cut_tail)
        except Exception as error:  # noqa: BLE001  # raised again where the draft is read
            await draft.end(error)
        else:
            await draft.end(None)

    filling = asyncio.create_task(fill())
    try:
        yield
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
