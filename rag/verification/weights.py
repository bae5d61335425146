"""Keep the weights of the words that one answer is checked by: an index is asked for each once, before its use."""

from collections.abc import Awaitable, Callable, Sequence

AskIdf = Callable[[Sequence[str]], Awaitable[list[float]]]


class WordWeights:
    """A `rag.verification.support.Idf` of the words that were learned."""

    def __init__(self, ask: AskIdf) -> None:
        """`ask` returns the inverse document frequency of each word, as `rag.ports.ChunkIndex.idf`."""
        self._ask = ask
        self._known: dict[str, float] = {}

    def __call__(self, words: Sequence[str]) -> list[float]:
        return [self._known[word] for word in words]

    async def learn(self, words: Sequence[str]) -> None:
        """Ask for the weights of those words that are not known yet; raises what asking raises."""
        new = [word for word in dict.fromkeys(words) if word not in self._known]
        if new:
            self._known |= zip(new, await self._ask(new), strict=True)
