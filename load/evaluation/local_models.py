"""Open the configured models in this process, as the Embedder and the Reranker services do."""

from load.evaluation.retrieval import PairScorer
from rag import models
from rag.engines.cross_encoder import CrossEncoderScorer
from rag.engines.late_interaction import LateInteractionScorer
from rag.engines.sentence_transformer import SentenceEncoder


def open_encoder(model: str) -> SentenceEncoder:
    """Open the embedder.

    Raises: FileNotFoundError: the model is not on this machine.
    """
    return SentenceEncoder(models.locate(model), models.describe(model))


def open_scorer(model: str) -> PairScorer:
    """Open the reranker.

    Raises: FileNotFoundError: the model is not on this machine.
    """
    folder = models.locate(model)
    if models.is_cross_encoder(folder):
        return CrossEncoderScorer(folder, models.describe(model))
    return LateInteractionScorer(SentenceEncoder(folder, models.describe(model)))
