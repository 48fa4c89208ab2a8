"""A small classifier of a label from the answers, its score on held-out recordings, its curve.

Yes and no come from the answers. Moments drawn at random from the archive count a little as no
[D]: most of an archive is not of the class, so that it can be begun by "yes" alone, and the fit
knows what the rest of the archive sounds like.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audio_triplet.browse import logistic
from audio_triplet.browse.archive import Archive
from audio_triplet.browse.labels import Answer
from audio_triplet.classify.folds import assign_folds
from audio_triplet.config import ClassifyConfig
from audio_triplet.embeddings import description
from audio_triplet.embeddings.embedding_set import mean_by_segment
from audio_triplet.errors import BrowseError

if TYPE_CHECKING:
    from audio_triplet.classify.calibration import Calibration

# Random moments that count as no, and what all of them count together, in answers.
BACKGROUND, BACKGROUND_COUNT = 1000, 10.0

_WEIGHT = 1 + description.WINDOW_PATCHES  # of an answer in `description.to_learn_from`
_SAMPLE = 10_000  # moments that the deviations of features are taken from
_FOLDS = 5
_SEED = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Answers with their vectors.

    Attributes:
      vectors: float32[m, dim], of each answer one or more, in the order of time.
      owner: int64[m], the answer of each, ascending.
      yes: bool[n].
      recordings: int[n], of each, by the archive's numbers.
      energy: float32[m], mean mel energy per cell of each vector; NaN where it is not known.
    """

    vectors: np.ndarray
    owner: np.ndarray
    yes: np.ndarray
    recordings: np.ndarray
    energy: np.ndarray

    @classmethod
    def of(cls, archive: Archive, answers: Sequence[Answer]) -> Examples:
        """The answers yes and no whose moments the index holds."""
        found: list[np.ndarray] = []
        yes, recordings = [], []
        for answer in answers:
            if answer.value is None:
                continue
            try:
                numbers = archive.moments_in(answer.moment)
            except BrowseError:  # the index no longer holds the file
                continue
            found.append(side_by_side(archive, numbers))
            yes.append(answer.value)
            recordings.append(int(archive.recording_of[numbers[0]]))
        taken = np.concatenate([np.zeros(0, int), *found])
        return cls(
            archive.vectors(taken),
            np.repeat(np.arange(len(found)), [len(of) for of in found]),
            np.array(yes, bool),
            np.array(recordings, int),
            archive.energy[taken],
        )

    @classmethod
    def of_moments(cls, vectors: np.ndarray, yes: np.ndarray, recordings: np.ndarray) -> Examples:
        """Answers of one vector each: float32[n, dim], bool[n], int[n]."""
        return cls(vectors, np.arange(len(yes)), yes, recordings, np.full(len(yes), np.nan))

    def __len__(self) -> int:
        """Number of answers."""
        return len(self.yes)

    @property
    def are_described(self) -> bool:
        """Whether an answer has several vectors: then they are learned from by description."""
        return len(self.vectors) > len(self)

    def select(self, keep: np.ndarray) -> Examples:
        """Those of bool[n]."""
        inside = keep[self.owner]
        owner = (np.cumsum(keep) - 1)[self.owner[inside]]
        return Examples(
            self.vectors[inside], owner, self.yes[keep], self.recordings[keep], self.energy[inside]
        )


def side_by_side(archive: Archive, numbers: np.ndarray) -> np.ndarray:
    """Of the moments of a span those that do not overlap, as `classify fit` would cut it."""
    step = max(1, round(description.DEFAULT_HOP_SECONDS / archive.index.info.hop_seconds))
    return numbers[::step]


@dataclasses.dataclass(frozen=True, eq=False)
class Background:
    """What the archive sounds like.

    Attributes:
      vectors: float32[n, dim], random moments.
      recordings: int[n], theirs.
      scale: float32[dim], deviation of each feature.
      unsteady: float32[dim], deviation of what each feature deviates by within five moments.
    """

    vectors: np.ndarray
    recordings: np.ndarray
    scale: np.ndarray
    unsteady: np.ndarray

    @classmethod
    def of(cls, archive: Archive) -> Background:
        """Drawn from an archive; the same each time."""
        valid = np.flatnonzero(archive.file_of >= 0)
        drawn = np.random.default_rng(_SEED).permutation(valid)[:_SAMPLE]
        vectors = archive.vectors(drawn)
        scale = np.maximum(vectors.std(axis=0), 1e-6)
        chosen = drawn[:BACKGROUND]
        windows = chosen[:, None] + np.arange(description.WINDOW_PATCHES)
        windows = windows[windows[:, -1] < len(archive)]
        files = archive.file_of[windows]
        windows = windows[(files == files[:, :1]).all(axis=1)]
        unsteady = scale
        if len(windows) > 1:
            parts = archive.vectors(windows.ravel()).reshape(*windows.shape, -1)
            unsteady = np.maximum(parts.std(axis=1).std(axis=0), 1e-6)
        return cls(vectors[:BACKGROUND], archive.recording_of[chosen], scale, unsteady)

    def without(self, recordings: np.ndarray) -> Background:
        """The same without some recordings."""
        other = ~np.isin(self.recordings, recordings)
        return dataclasses.replace(
            self, vectors=self.vectors[other], recordings=self.recordings[other]
        )


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The score of classifiers on recordings that they did not learn from.

    Attributes:
      average_precision: Of the answers, ranked by those scores.
      interval: 95 %, the recordings drawn again.
      folds: How many classifiers.
      recordings: With an answer.
      prevalence: Share of yes, which chance would have.
    """

    average_precision: float
    interval: tuple[float, float]
    folds: int
    recordings: int
    prevalence: float


def fit(examples: Examples, background: Background) -> logistic.Logistic:
    """Fits a classifier.

    It is linear in a description of each answer (`embeddings.description`) if an answer has several
    vectors, else in its vector. A description is written as half the sum of mean and maximum, half
    their difference, and the deviation: of a single vector the first is the vector and the others
    are 0, so that moments are scored as quickly as ever.

    Args:
      examples: With a yes at least.
      background: Of the archive.
    """
    # A recording with a yes is no background: more of it may be yes.
    strange = background.without(examples.recordings[examples.yes]).vectors
    share = BACKGROUND_COUNT / max(1, len(strange))
    if not examples.are_described:
        return logistic.fit(
            np.concatenate([examples.vectors, strange]),
            np.concatenate([examples.yes, np.zeros(len(strange), bool)]),
            np.concatenate([np.ones(len(examples)), np.full(len(strange), share)]),
            background.scale,
        )
    given = description.to_learn_from(
        examples.vectors, examples.owner, len(examples), examples.energy
    )
    middle, more = _halves(given.rows)
    # Mean and maximum have a weight each: of the sum of two that are equal the penalty is half.
    root = np.sqrt(0.5)
    return logistic.fit(
        np.concatenate([middle, strange]),
        np.concatenate([examples.yes[given.owner], np.zeros(len(strange), bool)]),
        np.concatenate([given.weights / _WEIGHT, np.full(len(strange), share)]),
        root * background.scale,
        more=more[: len(examples)],
        more_scale=np.concatenate([root * background.scale, background.unsteady]),
    )


def _halves(described: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Descriptions as float32[n, dim], half of mean plus maximum, and float32[n, 2 · dim]."""
    mean, deviation, most = np.split(described, description.PARTS, axis=1)
    return (most + mean) / 2, np.concatenate([(most - mean) / 2, deviation], axis=1)


def _logits(classifier: logistic.Logistic, examples: Examples) -> np.ndarray:
    """float32[n], of answers."""
    if not len(classifier.more):
        return classifier.logits(mean_by_segment(examples.vectors, examples.owner, len(examples)))
    described = description.describe(
        examples.vectors, examples.owner, len(examples), energy=examples.energy
    )
    return classifier.logits(*_halves(described))


def load_scoring() -> None:
    """Imports what `held_out` and `meaning` need, which takes half a second."""
    from audio_triplet.classify import average_precision, calibration  # noqa: F401


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """Scores by classifiers that were fitted on other recordings.

    Attributes:
      answers: float32[n], logits of answers, NaN where the others have no yes.
      moments: float32[m], likewise of each vector of the answers.
      fold: int[n], the part that an answer's recording is in.
    """

    answers: np.ndarray
    moments: np.ndarray
    fold: np.ndarray


def held_out_scores(examples: Examples, background: Background) -> Scored | None:
    """Scores each answer by a classifier that was fitted on other recordings.

    Returns:
      None unless both yes and no are there in two recordings each.
    """
    yes, groups = examples.yes, examples.recordings
    if min(len(set(groups[yes])), len(set(groups[~yes]))) < 2:
        return None
    fold = assign_folds(np.column_stack([yes, ~yes]), groups, _FOLDS, _SEED)
    scores = np.full(len(yes), np.nan, np.float32)
    of_moments = np.full(len(examples.vectors), np.nan, np.float32)
    for number in range(fold.max() + 1):
        inside = fold == number
        if yes[~inside].any():
            # What is scored is no background either.
            learned = fit(examples.select(~inside), background.without(groups[inside]))
            scored = examples.select(inside)
            scores[inside] = _logits(learned, scored)
            of_moments[inside[examples.owner]] = learned.logits(scored.vectors)
    return Scored(scores, of_moments, fold)


def meaning(
    examples: Examples, scored: Scored | None, precision: float = ClassifyConfig.precision
) -> Calibration | None:
    """What the probabilities of moments mean, as `classify fit` learns it; of one class.

    Args:
      examples: The answers.
      scored: Theirs.
      precision: What the threshold is to reach.

    Returns:
      None where there are no scores to learn from.
    """
    from audio_triplet.classify.calibration import Calibration

    if scored is None:
        return None
    owner = examples.owner
    return Calibration.fit(
        logistic.probability(scored.moments)[:, None],
        examples.yes[owner][:, None],
        examples.recordings[owner],
        scored.fold[owner],
        precision,
    )


def held_out(examples: Examples, scored: Scored | None) -> HeldOut | None:
    """The score of classifiers on recordings that they were not fitted on.

    Args:
      examples: The answers.
      scored: Theirs.

    Returns:
      Average precision with its interval, as `classify fit` has it; None as `held_out_scores`, or
      where nothing is left to rank.
    """
    from audio_triplet.classify.average_precision import draw_recordings, mean_interval
    from audio_triplet.evaluation import metrics

    if scored is None:
        return None
    scores, fold = scored.answers, scored.fold
    yes, groups = examples.yes, examples.recordings
    known = ~np.isnan(scores)
    if not yes[known].any() or yes[known].all():
        return None
    found = metrics.average_precision(yes[known], scores[known])
    _, codes = np.unique(groups, return_inverse=True)
    drawn = draw_recordings(codes.max() + 1, _SEED)[:, codes]
    low, high = mean_interval(yes[:, None], scores[:, None], np.array([found]), drawn)
    return HeldOut(
        found, (low, high), int(fold.max()) + 1, int(codes.max()) + 1, float(yes[known].mean())
    )


def learning_curve(examples: Examples, background: Background) -> list[tuple[int, HeldOut]]:
    """`held_out` as it was after so many answers: after 5, 10, …, and after all.

    Args:
      examples: In the order they were answered.
      background: Of the archive.

    Returns:
      (answers, score); those that have a score.
    """
    steps = [5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 1000]
    counts = [step for step in steps if step < len(examples)] + [len(examples)]
    found = []
    for count in counts:
        first = examples.select(np.arange(len(examples)) < count)
        score = held_out(first, held_out_scores(first, background))
        if score is not None:
            found.append((count, score))
    return found
