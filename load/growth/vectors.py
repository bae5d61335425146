"""Draw vectors with the geometry of sentence embeddings: a narrow cone, few intrinsic dimensions, clusters by topic.

Gaussian clusters were tried first and rejected: with the dimensions of real vectors they contain no near neighbours,
no matter how many vectors there are.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from rag.ports import Vectors

DIMENSION: Final = 384
CHUNKS_PER_TOPIC: Final = 20
_MAP_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Geometry:
    """A passage is a point in a latent space, drawn around its topic's, and its vector a smooth map of that point.

    Fitted to XQuAD under the local embedder: 150 passages of 30 articles in English, the same in Vietnamese, so much
    alike that the mean of both is taken, and 524 questions. Measured, and drawn at that size: cosine of two passages
    .768 -> .766 (spread .023 -> .024), of one article .835 -> .828; of a passage and its nearest .859 -> .869, its
    tenth .804 -> .804; of a question and its passage .876 -> .875, any .763 -> .767; share of questions whose passage
    is the nearest .93 -> .93; neighbours found in 0.4 of 15 lists, of passages .91 -> .90, of questions .90 -> .89.
    How the nearest neighbours get nearer with more passages was fitted to 1600 docstrings of Python packages.
    """

    mean_norm: float = 0.87
    # The latent space: its dimension, the variance of the topics, and the variance of passages around their topic.
    latent_dimension: int = 12
    topic_variance: float = 0.67
    detail_variance: float = 0.33
    # The distance at which two points are no longer correlated.
    length_scale: float = 1.7
    # The variance of the i-th axis falls as i ** -slope.
    axis_slope: float = 0.5
    # The share of the passage's vector in that of its question; the rest is about something else.
    question_share: float = 0.47


GEOMETRY: Final = Geometry()


class VectorStream:
    """Draws passages one after the other, in runs of one topic, without keeping them."""

    def __init__(self, seed: int, geometry: Geometry = GEOMETRY, *, chunks_per_topic: int = CHUNKS_PER_TOPIC) -> None:
        self._random = np.random.default_rng(seed)
        self._geometry = geometry
        self._chunks_per_topic = chunks_per_topic
        # All streams share one map.
        drawn = np.random.default_rng(_MAP_SEED)
        shape = (geometry.latent_dimension, DIMENSION)
        self._frequencies = (drawn.standard_normal(shape) / geometry.length_scale).astype(np.float32)
        self._phases = drawn.uniform(0, 2 * np.pi, DIMENSION).astype(np.float32)
        direction = drawn.standard_normal(DIMENSION)
        self._mean = (geometry.mean_norm * direction / np.linalg.norm(direction)).astype(np.float32)
        falling = np.arange(1, DIMENSION + 1) ** -geometry.axis_slope
        self._scales = np.sqrt((1 - geometry.mean_norm**2) * falling / falling.sum()).astype(np.float32)
        self._topic = self._draw(geometry.topic_variance, 1)
        self._left_of_topic = chunks_per_topic

    def draw_passages(self, count: int) -> Vectors:
        """Draw the next passages: float32, (count, DIMENSION), rows of unit length."""
        points = self._draw(self._geometry.detail_variance, count)
        start = 0
        while start < count:
            if not self._left_of_topic:
                self._topic = self._draw(self._geometry.topic_variance, 1)
                self._left_of_topic = self._chunks_per_topic
            end = min(count, start + self._left_of_topic)
            points[start:end] += self._topic
            self._left_of_topic -= end - start
            start = end
        # Random Fourier features: without the mean, the cosine of two is exp(-distance² / 2 length_scale²).
        # Source: Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NIPS 2007.
        features = np.sqrt(2, dtype=np.float32) * np.cos(points @ self._frequencies + self._phases)
        return _to_unit(self._mean + self._scales * features)

    def draw_questions(self, passages: Vectors) -> Vectors:
        """Draw a question for each passage, in the same form: a mixture of its passage and the stream's next one."""
        share = self._geometry.question_share
        others = self.draw_passages(len(passages))
        return _to_unit(self._mean + share * (passages - self._mean) + np.sqrt(1 - share**2) * (others - self._mean))

    def _draw(self, variance: float, count: int) -> Vectors:
        shape = (count, self._geometry.latent_dimension)
        points: Vectors = self._random.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(variance))
        return points


def _to_unit(rows: Vectors) -> Vectors:
    unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit
