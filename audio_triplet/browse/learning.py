"""A small classifier of a label from the answers, its score on held-out recordings, its curve.

Yes and no come from the answers. Moments drawn at random from the archive count a little as no
[D]: most of an archive is not of the class, so that it can be begun by "yes" alone, and the fit
knows what the rest of the archive sounds like.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from audio_triplet.browse import logistic
from audio_triplet.browse.archive import Archive
from audio_triplet.browse.labels import Answer
from audio_triplet.classify.folds import assign_folds
from audio_triplet.errors import BrowseError

# Random moments that count as no, and what all of them count together, in answers.
BACKGROUND, BACKGROUND_COUNT = 1000, 10.0

_SAMPLE = 10_000  # moments that the deviations of features are taken from
_FOLDS = 5
_SEED = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Answers with their vectors.

    Attributes:
      vectors: float32[n, dim].
      yes: bool[n].
      recordings: int[n], of each, by the archive's numbers.
    """

    vectors: np.ndarray
    yes: np.ndarray
    recordings: np.ndarray

    @classmethod
    def of(cls, archive: Archive, answers: Sequence[Answer]) -> Examples:
        """The answers yes and no whose moments the index holds."""
        vectors, yes, recordings = [], [], []
        for answer in answers:
            if answer.value is None:
                continue
            try:
                numbers = archive.moments_in(answer.moment)
            except BrowseError:  # the index no longer holds the file
                continue
            mean = archive.vectors(numbers).mean(axis=0)
            vectors.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
            yes.append(answer.value)
            recordings.append(int(archive.recording_of[numbers[0]]))
        dim = archive.index.info.dim
        return cls(
            np.array(vectors, np.float32).reshape(-1, dim),
            np.array(yes, bool),
            np.array(recordings, int),
        )

    def __len__(self) -> int:
        """Number of answers."""
        return len(self.yes)

    def select(self, keep: np.ndarray) -> Examples:
        """Those of a mask or of numbers."""
        return Examples(self.vectors[keep], self.yes[keep], self.recordings[keep])


@dataclasses.dataclass(frozen=True, eq=False)
class Background:
    """What the archive sounds like.

    Attributes:
      vectors: float32[n, dim], random moments.
      recordings: int[n], theirs.
      scale: float32[dim], deviation of each feature.
    """

    vectors: np.ndarray
    recordings: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, archive: Archive) -> Background:
        """Drawn from an archive; the same each time."""
        valid = np.flatnonzero(archive.file_of >= 0)
        drawn = np.random.default_rng(_SEED).permutation(valid)[:_SAMPLE]
        vectors = archive.vectors(drawn)
        scale = np.maximum(vectors.std(axis=0), 1e-6)
        chosen = drawn[:BACKGROUND]
        return cls(vectors[:BACKGROUND], archive.recording_of[chosen], scale)


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

    Args:
      examples: With a yes at least.
      background: Of the archive.
    """
    # A recording with a yes is no background: more of it may be yes.
    other = ~np.isin(background.recordings, examples.recordings[examples.yes])
    strange = background.vectors[other]
    share = BACKGROUND_COUNT / max(1, len(strange))
    return logistic.fit(
        np.concatenate([examples.vectors, strange]),
        np.concatenate([examples.yes, np.zeros(len(strange), bool)]),
        np.concatenate([np.ones(len(examples)), np.full(len(strange), share)]),
        background.scale,
    )


def load_scoring() -> None:
    """Imports what `held_out` needs, which takes half a second."""
    from audio_triplet.classify import average_precision  # noqa: F401


def held_out_scores(
    examples: Examples, background: Background
) -> tuple[np.ndarray, np.ndarray] | None:
    """Scores each answer by a classifier that was fitted on other recordings.

    Returns:
      float32[n], logits, NaN where the others have no yes; int[n], the fold of each. None unless
      both yes and no are there in two recordings each.
    """
    yes, groups = examples.yes, examples.recordings
    if min(len(set(groups[yes])), len(set(groups[~yes]))) < 2:
        return None
    fold = assign_folds(np.column_stack([yes, ~yes]), groups, _FOLDS, _SEED)
    scores = np.full(len(yes), np.nan, np.float32)
    for number in range(fold.max() + 1):
        inside = fold == number
        if yes[~inside].any():
            # What is scored is no background either.
            apart = ~np.isin(background.recordings, groups[inside])
            without = Background(
                background.vectors[apart], background.recordings[apart], background.scale
            )
            learned = fit(examples.select(~inside), without)
            scores[inside] = learned.logits(examples.vectors[inside])
    return scores, fold


def held_out(examples: Examples, background: Background) -> HeldOut | None:
    """The score of classifiers on recordings that they were not fitted on.

    Returns:
      Average precision with its interval, as `classify fit` has it; None as `held_out_scores`, or
      where nothing is left to rank.
    """
    from audio_triplet.classify.average_precision import draw_recordings, mean_interval
    from audio_triplet.evaluation import metrics

    scored = held_out_scores(examples, background)
    if scored is None:
        return None
    scores, fold = scored
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
        score = held_out(examples.select(np.arange(count)), background)
        if score is not None:
            found.append((count, score))
    return found
