"""The linear probe: logistic regression on standardised segment embeddings.

What published figures of embeddings are usually made by, and the fairest quick look at one: convex,
so that it has one solution, and a single number to choose, which cross-validation by recording
inside the training side chooses. The paper's own classifier is in `classification`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Hashable, Sequence

import numpy as np
import threadpoolctl
from scipy import special

from audio_triplet.evaluation import metrics

_FEW_NUMBERS = 1_000_000


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
    """How the probe is fitted.

    Attributes:
      penalties: Inverse strengths of the L2 penalty to choose from (scikit-learn's C), ascending.
      folds: Parts of the training side's recordings for the choice.
      patience: The choice stops after this many weaker penalties without a better score.
      max_iterations: Of L-BFGS.
      seed: Of the folds.
    """

    penalties: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
    folds: int = 4
    patience: int = 2
    max_iterations: int = 300
    seed: int = 0

    def __post_init__(self):
        if not self.penalties or min(self.penalties) <= 0:
            raise ValueError("ProbeConfig: penalties must be positive, and one at least")
        if list(self.penalties) != sorted(set(self.penalties)):
            raise ValueError("ProbeConfig: penalties must ascend")
        if self.folds < 2 or self.patience < 1 or self.max_iterations < 1:
            raise ValueError("ProbeConfig: folds must be 2 or more, the other numbers 1 or more")


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
    """A fitted probe.

    Attributes:
      mean: float64[dim], subtracted from an embedding.
      scale: float64[dim], divides it.
      weights: float64[dim, classes].
      bias: float64[classes]; minus infinity for a class without a training segment.
      single_label: Whether the scores of a segment sum to one (softmax), or each class has a
        sigmoid of its own.
      penalty: The inverse strength that was chosen.
      cross_validated: Its score for each penalty tried, accuracy or, for several labels, mAP; empty
        where there were too few recordings for a choice.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    single_label: bool
    penalty: float
    cross_validated: tuple[float, ...] = ()

    def predict(self, embeddings) -> np.ndarray:
        """float64[segments, classes] in [0, 1] from float[segments, dim]."""
        inputs = (np.asarray(embeddings, np.float64) - self.mean) / self.scale
        logits = inputs @ self.weights + self.bias
        return special.softmax(logits, axis=1) if self.single_label else special.expit(logits)


def fit_probe(
    embeddings,
    labels,
    groups: Sequence[Hashable] | None = None,
    config: ProbeConfig | None = None,
) -> Probe:
    """Fits the probe; the same input gives the same probe.

    Where every segment has exactly one class it is one softmax, else a logistic regression a class.

    Args:
      embeddings: float[segments, dim].
      labels: bool[segments, classes] (or 0/1).
      groups: One hashable a segment (its recording), never parted by the cross-validation; None:
        each segment its own.
      config: None for the defaults.

    Returns:
      A `Probe`, fitted on everything given.

    Raises:
      ValueError: For embeddings that are not finite, shapes that do not fit together, or fewer
        than two classes with a segment.
    """
    config = config or ProbeConfig()
    embeddings = np.asarray(embeddings, np.float64)
    labels = metrics.as_labels(labels)
    if embeddings.ndim != 2 or len(embeddings) != len(labels):
        raise ValueError(f"embeddings {embeddings.shape} and labels {labels.shape} do not fit")
    if not np.isfinite(embeddings).all():
        raise ValueError("embeddings must be finite")
    if labels.any(axis=0).sum() < 2:
        raise ValueError("a probe needs segments of at least two classes")
    mean, scale = embeddings.mean(axis=0), embeddings.std(axis=0)
    # A feature that never changes says nothing: leave it at 0 rather than blow it up.
    scale = np.where(scale <= 1e-6 * np.maximum(1e-6, np.abs(mean)), 1.0, scale)
    single = bool((labels.sum(axis=1) == 1).all())
    solve = _softmax_path if single else _sigmoid_path
    # A product this small is done before a second thread has woken up, and there are thousands.
    threads = 1 if embeddings.size < _FEW_NUMBERS else None
    with threadpoolctl.threadpool_limits(threads):
        inputs, basis = _rotated((embeddings - mean) / scale)
        penalty, curve = _chosen(inputs, labels, groups, single, config)
        *_, (weights, bias) = solve(inputs, labels, [penalty], config)
    if basis is not None:
        weights = basis @ weights
    return Probe(mean, scale, weights, bias, single, penalty, tuple(curve))


def _rotated(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Fewer dimensions with the same solution, where there are more dimensions than segments.

    The L2 penalty keeps the weights inside the span of the training rows, and does not change
    under rotation: in an orthonormal basis of that span the problem is the same, and small.

    Returns:
      float32[segments, rank], and the basis float64[dim, rank], None where nothing was rotated.
    """
    if inputs.shape[1] <= inputs.shape[0]:
        return inputs.astype(np.float32), None
    values, vectors = np.linalg.eigh(inputs @ inputs.T)
    kept = values > 1e-10 * values[-1]
    basis = inputs.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    return (inputs @ basis).astype(np.float32), basis


def _chosen(inputs, labels, groups, single, config) -> tuple[float, list[float]]:
    """The penalty with the best cross-validated score, the stronger of equals."""
    folds = _folds(labels, groups, config)
    if not folds or len(config.penalties) == 1:
        return config.penalties[len(config.penalties) // 2], []
    solve = _softmax_path if single else _sigmoid_path
    paths = [solve(inputs[~held], labels[~held], config.penalties, config) for held in folds]
    curve: list[float] = []
    for solutions in zip(*paths, strict=True):
        right, total = 0.0, 0
        for held, (weights, bias) in zip(folds, solutions, strict=True):
            logits = inputs[held] @ weights + bias
            if single:
                right += labels[held][np.arange(held.sum()), logits.argmax(axis=1)].sum()
                total += held.sum()
            else:
                precision = metrics.average_precision_per_class(labels[held], logits)
                right += np.nansum(precision)
                total += np.isfinite(precision).sum()
        curve.append(float(right / max(total, 1)))
        if len(curve) - 1 - int(np.argmax(curve)) >= config.patience:
            break
    return config.penalties[int(np.argmax(curve))], curve


def _folds(labels, groups, config) -> list[np.ndarray]:
    """Held-out segments of each part, bool[segments]: whole groups, classes spread evenly."""
    from sklearn import model_selection

    groups = list(range(len(labels)) if groups is None else groups)
    if len(groups) != len(labels):
        raise ValueError(f"{len(labels)} rows of labels but {len(groups)} groups")
    known: dict[Hashable, int] = {}
    codes = np.array([known.setdefault(group, len(known)) for group in groups])
    # No more parts than the largest class has segments: the splitter refuses that.
    first = labels.argmax(axis=1)
    parts = min(config.folds, len(known), int(np.bincount(first).max()))
    if parts < 2:
        return []
    splitter = model_selection.StratifiedGroupKFold(parts, shuffle=True, random_state=config.seed)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes with fewer segments than there are parts
        for _, places in splitter.split(codes, first, codes):
            held = np.zeros(len(labels), bool)
            held[places] = True
            if held.any() and labels[~held].any(axis=0).sum() >= 2:
                found.append(held)
    return found


def _softmax_path(inputs, labels, penalties, config):
    """Weights [dim, classes] and bias [classes] for one penalty after the other."""
    present = np.flatnonzero(labels.any(axis=0))
    model = _regression(config)
    for penalty in penalties:  # each begins where the stronger penalty before it ended
        coefficients, intercept = _solved(model, inputs, labels.argmax(axis=1), penalty)
        if len(present) == 2:  # scikit-learn has one vector then, for the second class
            coefficients = np.concatenate([0 * coefficients, coefficients])
            intercept = np.concatenate([[0.0], intercept])
        weights = np.zeros((inputs.shape[1], labels.shape[1]))
        bias = np.full(labels.shape[1], -np.inf)
        weights[:, present], bias[present] = coefficients.T, intercept
        yield weights, bias


def _sigmoid_path(inputs, labels, penalties, config):
    """As `_softmax_path`, each class against the rest."""
    models = [_regression(config) for _ in range(labels.shape[1])]
    for penalty in penalties:
        weights = np.zeros((inputs.shape[1], labels.shape[1]))
        bias = np.full(labels.shape[1], -np.inf)
        for column, model in enumerate(models):
            inside = labels[:, column]
            if inside.all():
                bias[column] = np.inf
            elif inside.any():
                weights[:, column], bias[column] = (
                    part[0] for part in _solved(model, inputs, inside, penalty)
                )
        yield weights, bias


def _regression(config: ProbeConfig):
    from sklearn import linear_model

    return linear_model.LogisticRegression(
        max_iter=config.max_iterations, tol=1e-4, warm_start=True
    )


def _solved(model, inputs, targets, penalty) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import exceptions

    with warnings.catch_warnings():  # short of the optimum is a weaker fit, no failure
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        model.set_params(C=penalty).fit(inputs, targets)
    return model.coef_.copy(), model.intercept_.copy()
