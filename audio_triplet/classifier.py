"""A classifier of one's own sounds, from a few labels, on the embeddings of an export.

    examples = Examples.of(embeddings)          # segments that have a label
    checked = cross_validate(examples, config)  # what it is worth on recordings it has not heard
    fitted = fit(examples, config)
    SoundClassifier(examples.classes, fitted.classifier, model.digest).save(folder)

How much it is regularised is chosen on recordings held out of what it is trained on, inside each
fold too, so the cross-validated score has seen nothing of what it scores. A class with one
recording can be learned, but not checked: it is left out of the score, and named.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import warnings
from collections.abc import Sequence

import numpy as np
import threadpoolctl

from audio_triplet.config import ClassifyConfig
from audio_triplet.embedding import SegmentEmbeddings, mean_by_segment
from audio_triplet.evaluation import classification, few_labels, metrics, probe
from audio_triplet.evaluation.metrics import Interval
from audio_triplet.manifest import CorpusError

WEIGHT_DECAYS = (0.01, 0.1, 1.0)
"""Of the hidden layer, tried on the held-out recordings [D]."""

PENALTY = 0.1
PENALTIES = (0.01, PENALTY, 1.0)
"""Inverse strengths of the linear probe's penalty, tried likewise [D]."""

_FILE = "sounds.json"
_BOOTSTRAP_REPEATS = 500


class ClassifierError(CorpusError):
    """Labels that nothing can be learned from, or a classifier that does not fit; says the mend."""


# --- what is learned from ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Labelled segments.

    Attributes:
      vectors: float32[patches, dim].
      segment: int[patches], the segment of each.
      labels: bool[segments, classes].
      groups: str[segments], recordings.
      classes: Names of the labels.
    """

    vectors: np.ndarray
    segment: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def of(
        cls, embeddings: SegmentEmbeddings, classes: Sequence[str] | None = None
    ) -> Examples:
        """The segments that have a label. One without is not taken for a counterexample.

        Args:
          embeddings: Of any segments.
          classes: Names of the labels, in order; all that occur if None.

        Raises:
          ClassifierError: Fewer than two classes: there is nothing to tell apart.
        """
        labelled = (embeddings.manifest.frame["labels"] != "").to_numpy()
        if not labelled.any():
            raise ClassifierError(
                f"{embeddings.manifest.name}: no segment has a label; fill the manifest's column "
                "`labels`, or sort the files into one folder per class"
            )
        chosen = embeddings.select(labelled)
        classes = tuple(classes or chosen.manifest.classes)
        if len(classes) < 2:
            raise ClassifierError(
                f"{embeddings.manifest.name}: {classes[0]!r} is the only class; label some other "
                "sounds too, as `other` for instance, for it to be told from"
            )
        return cls(
            chosen.patch, chosen.patch_segment, chosen.manifest.label_matrix(classes),
            chosen.manifest.frame["recording_id"].to_numpy(str), classes,
        )

    def __len__(self) -> int:
        """Number of segments."""
        return len(self.labels)

    def select(self, keep: np.ndarray) -> Examples:
        """The segments where bool[segments] `keep` is true."""
        number = np.cumsum(keep) - 1
        of_patch = keep[self.segment]
        return Examples(
            self.vectors[of_patch], number[self.segment[of_patch]], self.labels[keep],
            self.groups[keep], self.classes,
        )

    def recordings(self) -> np.ndarray:
        """int[classes]: how many recordings each class has."""
        return np.array([len(set(self.groups[column])) for column in self.labels.T])

    def is_single(self, config: ClassifyConfig) -> bool:
        """Whether each segment is of exactly one class.

        Raises:
          ClassifierError: It was asked for, and is not so.
        """
        single = bool((self.labels.sum(axis=1) == 1).all())
        if config.labelling == "single" and not single:
            raise ClassifierError(
                "labelling=single, but some segments have several labels; use multi, or auto"
            )
        return single and config.labelling != "multi"


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted classifier.

    Attributes:
      classifier: Maps embeddings to scores.
      regularised: By what and how much, in words.
    """

    classifier: classification.Classifier
    regularised: str


def fit(examples: Examples, config: ClassifyConfig, choose: bool = True) -> Fitted:
    """Fits a classifier on all examples.

    Without a hidden layer it is the linear probe on segments' means, which has one solution and
    takes a moment; with one it is the paper's classifier on patches.

    Args:
      examples: Segments of at least two classes.
      config: How.
      choose: Whether the strength of the penalty is chosen too.

    Returns:
      The classifier.
    """
    single = examples.is_single(config)
    settings = classification.ClassifierConfig(
        hidden_units=config.hidden_units, seed=config.seed, criterion="loss",
        loss="softmax" if single else "sigmoid",
    )
    # The probe makes a softmax of whatever has one class a segment.
    if not config.hidden_units and single == (examples.labels.sum(axis=1) == 1).all():
        return _fit_linear(examples, settings, choose)
    fitted = classification.fit_classifier(
        examples.vectors, examples.segment, examples.labels, examples.groups, settings,
        WEIGHT_DECAYS if choose else (),
    )
    decay = fitted.config.weight_decay
    return Fitted(fitted, f"weight decay {decay:g}, {fitted.rounds} rounds")


def _fit_linear(
    examples: Examples, settings: classification.ClassifierConfig, choose: bool
) -> Fitted:
    # The matrices are small: a second thread would wait more than it works.
    with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few labels a class: so it is meant
        found = probe.fit_probe(
            mean_by_segment(examples.vectors, examples.segment, len(examples)), examples.labels,
            examples.groups.tolist(),
            probe.ProbeConfig(PENALTIES if choose else (PENALTY,), seed=settings.seed),
        )
    # A class that no segment is of has minus infinity: its score is 0 either way.
    arrays = (found.mean, found.scale, found.weights, np.clip(found.bias, -30, 30))
    mean, scale, weights, bias = (array.astype(np.float32) for array in arrays)
    fitted = classification.Classifier(settings, mean, scale, (weights, bias), rounds=0)
    return Fitted(fitted, f"L2 penalty of inverse strength {found.penalty:g}")


# --- what it is worth ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Checked:
    """Scores of segments by classifiers that have not heard their recordings.

    Attributes:
      scores: float32[segments, classes], NaN where a class had no example to learn from.
      fold: int[segments].
      mean: Mean average precision of the classes that could be checked.
      interval: Of the mean: 95 %, the recordings drawn again.
      per_class: float64[classes], average precision, NaN for those that could not.
      accuracy: Share of segments whose highest score is their class; None unless each has one.
      accuracy_interval: Of the accuracy, likewise.
    """

    scores: np.ndarray
    fold: np.ndarray
    mean: float
    interval: Interval
    per_class: np.ndarray
    accuracy: float | None
    accuracy_interval: Interval | None


def cross_validate(
    examples: Examples, config: ClassifyConfig, choose: bool = True
) -> Checked | None:
    """Scores every segment by a classifier fitted on other recordings.

    Args:
      examples: Segments of at least two classes.
      config: How.
      choose: As in `fit`.

    Returns:
      The scores; None if no class has two recordings.
    """
    fold = assign_folds(examples.labels, examples.groups, config.folds, config.seed)
    scores = np.full(examples.labels.shape, np.nan, np.float32)
    for number in range(fold.max() + 1):
        inside = fold == number
        train = examples.select(~inside)
        learned = train.labels.any(axis=0)
        if learned.sum() >= 2:
            found = _predict(fit(train, config, choose), examples.select(inside))
            scores[inside] = np.where(learned, found, np.nan)
    return _checked(examples, scores, fold, config)


def _predict(fitted: Fitted, examples: Examples) -> np.ndarray:
    return fitted.classifier.predict_segments(examples.vectors, examples.segment, len(examples))


def _checked(
    examples: Examples, scores: np.ndarray, fold: np.ndarray, config: ClassifyConfig
) -> Checked | None:
    labels = examples.labels
    per_class = np.full(labels.shape[1], np.nan)
    for column in range(labels.shape[1]):
        known = ~np.isnan(scores[:, column])
        if labels[known, column].any() and not labels[known, column].all():
            per_class[column] = metrics.average_precision(
                labels[known, column], scores[known, column]
            )
    if np.isnan(per_class).all():
        return None
    _, codes = np.unique(examples.groups, return_inverse=True)
    drawn = _draw_recordings(codes.max() + 1, config.seed)[:, codes]
    accuracy = accuracy_interval = None
    if examples.is_single(config):
        # A sound of a class that was not there to be learned cannot come out right.
        fair = ~np.isnan(scores[labels])
        right = np.nan_to_num(scores, nan=-1.0).argmax(axis=1) == labels.argmax(axis=1)
        if fair.any():
            accuracy = float(right[fair].mean())
            total = drawn[:, fair].sum(axis=1)
            shares = (drawn[:, fair] * right[fair]).sum(axis=1)[total > 0] / total[total > 0]
            accuracy_interval = Interval(*np.quantile(shares, [0.025, 0.975]).tolist())
    return Checked(
        scores, fold, metrics.mean_over_classes(per_class),
        _map_interval(labels, scores, per_class, drawn), per_class, accuracy, accuracy_interval,
    )


def assign_folds(labels: np.ndarray, groups: Sequence, folds: int, seed: int) -> np.ndarray:
    """Divides recordings into folds so that every class is in as many of them as can be.

    Classes take turns, the rarest first; each of its recordings goes where the class, and then
    everything, is rarest.

    Args:
      labels: bool[segments, classes].
      groups: One hashable a segment, its recording.
      folds: How many; fewer if there are fewer recordings.
      seed: Of the order of recordings.

    Returns:
      int[segments].
    """
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    count = codes.max() + 1
    folds = min(folds, count)
    carries = np.zeros((count, labels.shape[1]), bool)
    np.logical_or.at(carries, codes, labels)
    size = np.bincount(codes)
    rng = np.random.default_rng([seed, 2])
    fold_of = np.full(count, -1)
    of_class, of_all = np.zeros((folds, labels.shape[1])), np.zeros(folds)
    for column in np.argsort(carries.sum(axis=0), kind="stable"):
        for group in rng.permutation(np.flatnonzero(carries[:, column] & (fold_of < 0))):
            fold = np.lexsort([of_all, of_class[:, column]])[0]
            fold_of[group] = fold
            of_class[fold] += carries[group]
            of_all[fold] += size[group]
    return fold_of[codes]


def _draw_recordings(recordings: int, seed: int) -> np.ndarray:
    """int[repeats, recordings]: how often each is in a bootstrap sample."""
    rng = np.random.default_rng([seed, 3])
    share = np.full(recordings, 1 / recordings)
    return rng.multinomial(recordings, share, size=_BOOTSTRAP_REPEATS)


def _map_interval(
    labels: np.ndarray, scores: np.ndarray, per_class: np.ndarray, drawn: np.ndarray
) -> Interval:
    """95 % of the mean average precisions of samples of recordings, around the one observed.

    A recording drawn twice ties with itself, which lifts average precision; that is taken off.

    Args:
      labels: bool[segments, classes].
      scores: float[segments, classes].
      per_class: float[classes], NaN for those to leave out.
      drawn: int[repeats, segments], how often each segment is in a sample.
    """
    found = np.full((len(drawn), labels.shape[1]), np.nan)
    for column in np.flatnonzero(~np.isnan(per_class)):
        known = np.flatnonzero(~np.isnan(scores[:, column]))
        found[:, column] = weighted_average_precision(
            labels[known, column], scores[known, column], drawn[:, known]
        )
    scored = ~np.isnan(found)
    means = np.nansum(found, axis=1)[scored.any(axis=1)] / scored.sum(axis=1)[scored.any(axis=1)]
    lifted = means.mean() - metrics.mean_over_classes(per_class)
    return Interval(*np.clip(np.quantile(means, [0.025, 0.975]) - lifted, 0, 1).tolist())


def weighted_average_precision(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Average precision of a ranking in which each item counts as often as its weight says.

    Args:
      targets: bool[n].
      scores: float[n]; ties enter the ranking together.
      weights: number[repeats, n].

    Returns:
      float64[repeats], NaN where no target has weight.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = -scores[order]
    last = np.searchsorted(ordered, ordered, side="right") - 1  # of each one's tie
    weights = weights[:, order].astype(np.float64)
    gains = weights * targets[order]
    hits, total = np.cumsum(gains, axis=1)[:, last], np.cumsum(weights, axis=1)[:, last]
    precision = np.divide(hits, total, out=np.zeros_like(hits), where=total > 0)
    positives = gains.sum(axis=1)
    result = np.full(len(weights), np.nan)
    some = positives > 0
    result[some] = (gains * precision).sum(axis=1)[some] / positives[some]
    return result


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """A point of a learning curve.

    Attributes:
      per_class: Labelled segments a class.
      means: Mean average precision with each draw of them.
    """

    per_class: int
    means: tuple[float, ...]


def learning_curve(
    examples: Examples,
    config: ClassifyConfig,
    counts: Sequence[int] = (1, 2, 5, 10, 20),
    draws: int = 2,
) -> list[CurvePoint]:
    """What fewer labels would have been worth, on the folds of `cross_validate`.

    Args:
      examples: Segments of at least two classes.
      config: How.
      counts: Labelled segments a class; those beyond what the classes have are left out.
      draws: Repeats, each with labelled segments of its own.

    Returns:
      A point for each count.
    """
    fold = assign_folds(examples.labels, examples.groups, config.folds, config.seed)
    most = int(np.median(examples.labels.sum(axis=0)))
    points = []
    for count in (count for count in counts if count < most):
        means = []
        for draw in range(draws):
            scores = np.full(examples.labels.shape, np.nan, np.float32)
            for number in range(fold.max() + 1):
                inside = fold == number
                train = examples.select(~inside)
                few = few_labels.draw(train.labels, train.groups, count, config.seed + draw)
                keep = np.zeros(len(train), bool)
                keep[few.segments] = True
                train = train.select(keep)
                learned = train.labels.any(axis=0)
                if learned.sum() >= 2:
                    found = _predict(fit(train, config, False), examples.select(inside))
                    scores[inside] = np.where(learned, found, np.nan)
            checked = _checked(examples, scores, fold, config)
            if checked is not None:
                means.append(checked.mean)
        if means:
            points.append(CurvePoint(count, tuple(means)))
    return points


# --- what to label next --------------------------------------------------------------------------


def margins(scores: np.ndarray) -> np.ndarray:
    """How sure a classifier is of each segment: its best class's lead over the second.

    Args:
      scores: float[segments, classes], at least two classes.

    Returns:
      float[segments], 0 for a tie.
    """
    best = np.partition(scores, -2, axis=1)[:, -2:]
    return best[:, 1] - best[:, 0]


def suggest(scores: np.ndarray, groups: Sequence, count: int) -> np.ndarray:
    """The segments to label next, the least sure first (margin sampling).

    A second segment of a recording comes only when every recording has given one: two moments of
    one recording teach little more than one [D].

    Args:
      scores: float[segments, classes].
      groups: One hashable a segment, its recording.
      count: How many, at most.

    Returns:
      int[count or fewer].
    """
    order = np.argsort(margins(scores), kind="stable")
    turns, seen = np.zeros(len(order), int), {}
    for place, segment in enumerate(order):
        turns[place] = seen.get(groups[segment], 0)
        seen[groups[segment]] = turns[place] + 1
    return order[np.argsort(turns, kind="stable")][:count]


# --- on disk -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class SoundClassifier:
    """A fitted classifier, and which embeddings it is for.

    Attributes:
      classes: Names of the labels.
      classifier: Maps embeddings to scores.
      model_digest: `export.Model.digest` of the model whose embeddings it was fitted on.
      told: What else is known: how it was fitted, on what, what it scored.
    """

    classes: tuple[str, ...]
    classifier: classification.Classifier
    model_digest: str
    told: dict = dataclasses.field(default_factory=dict)

    def check_model(self, model) -> None:
        """Refuses the embeddings of another model.

        Raises:
          ClassifierError: `model` (an `export.Model`) is not the one it was fitted on.
        """
        if model.digest != self.model_digest:
            raise ClassifierError(
                f"{model.path}: is not the model that the classifier was fitted on "
                f"({self.told.get('model', 'unknown')}); give that one, or fit again"
            )

    def save(self, folder: str) -> None:
        """Writes it into a folder of its own, whole or not at all; no pickle is in it."""
        temporary = f"{os.path.normpath(folder)}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        self.classifier.save(temporary)
        content = {"classes": self.classes, "model_digest": self.model_digest} | self.told
        with open(os.path.join(temporary, _FILE), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, ensure_ascii=False)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)

    @classmethod
    def load(cls, folder: str) -> SoundClassifier:
        """Reads what `save` wrote.

        Raises:
          ClassifierError: It is not there, or damaged.
        """
        path = os.path.join(folder, _FILE)
        try:
            with open(path, encoding="utf-8") as file:
                told = json.load(file)
            classes, digest = tuple(told.pop("classes")), told.pop("model_digest")
            fitted = classification.Classifier.load(folder)
            if len(fitted.weights[-1]) != len(classes):
                raise ValueError("classes and weights differ in number")
        except FileNotFoundError as error:
            raise ClassifierError(
                f"{path}: no such file; give the folder `classifier` that fit wrote"
            ) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise ClassifierError(f"{path}: is damaged ({error}); fit again") from error
        return cls(classes, fitted, digest, told)
