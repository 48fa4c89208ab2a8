"""The linear probe: logistic regression on standardised segment embeddings.

The usual measure of published embeddings, and the fairest quick one: it is convex, so it has one
solution, and cross-validation by recording inside the training side chooses its single parameter.
The paper's own classifier is in `classification`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
import threadpoolctl
from scipy import optimize, special

from audio_triplet.evaluation import grouped_splits, metrics


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
    """How the probe is fitted.

    Attributes:
      penalties: Inverse strengths of the L2 penalty to choose from (scikit-learn's C), ascending.
      folds: Folds of the training side's recordings for the choice.
      patience: The choice stops after this many weaker penalties without a better score.
      max_iterations: Of L-BFGS.
      choice_iterations: The same while the penalty is chosen; None: as many.
      seed: Of the folds.
    """

    penalties: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
    folds: int = 4
    patience: int = 2
    max_iterations: int = 300
    choice_iterations: int | None = None
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
    judged: np.ndarray | None = None,
) -> Probe:
    """Fits the probe; the same input gives the same probe.

    Where every segment has exactly one class it is one softmax, else one logistic regression for
    each class.

    Args:
      embeddings: float[segments, dim].
      labels: bool[segments, classes] (or 0/1).
      groups: One hashable per segment (its recording), never parted by the cross-validation; None:
        each segment its own.
      config: None for the defaults.
      judged: bool[segments], those whose scores choose the penalty; None: all.

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
    # The products are small, and there are thousands: where other work shares the cores, waiting
    # for a second thread costs more than it saves (log mel took ten times as long).
    with threadpoolctl.threadpool_limits(1):
        inputs, basis = _rotate((embeddings - mean) / scale)
        penalty, curve = _choose_penalty(inputs, labels, groups, single, config, judged)
        *_, (weights, bias) = _fit_path(inputs, labels, [penalty], single, config)
    return Probe(mean, scale, basis @ weights, bias, single, penalty, tuple(curve))


def _rotate(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inputs along their principal axes, where the problem is small and well scaled.

    The L2 penalty keeps the weights inside the span of the training rows, and does not change
    under rotation: in an orthonormal basis of that span the solution is the same.

    Returns:
      float32[segments, rank], and the basis float64[dim, rank].
    """
    wide = inputs.shape[1] > inputs.shape[0]
    values, vectors = np.linalg.eigh(inputs @ inputs.T if wide else inputs.T @ inputs)
    kept = values > 1e-10 * values[-1]
    basis = vectors[:, kept]
    if wide:
        basis = inputs.T @ (basis / np.sqrt(values[kept]))
    return (inputs @ basis).astype(np.float32), basis


def _choose_penalty(inputs, labels, groups, single, config, judged) -> tuple[float, list[float]]:
    """The penalty with the best cross-validated score, the stronger of equals."""
    folds = grouped_splits.stratified_folds(labels, groups, config.folds, config.seed)
    if not folds or len(config.penalties) == 1:
        return config.penalties[len(config.penalties) // 2], []
    quick = dataclasses.replace(
        config, max_iterations=config.choice_iterations or config.max_iterations
    )
    paths = [
        _fit_path(inputs[~held], labels[~held], config.penalties, single, quick) for held in folds
    ]
    if judged is not None:
        folds = [held & judged for held in folds]
    curve: list[float] = []
    for solutions in zip(*paths, strict=True):
        correct, total = 0.0, 0
        for held, (weights, bias) in zip(folds, solutions, strict=True):
            logits = inputs[held] @ weights + bias
            if single:
                correct += labels[held][np.arange(held.sum()), logits.argmax(axis=1)].sum()
                total += held.sum()
            else:
                precision = metrics.average_precision_per_class(labels[held], logits)
                correct += np.nansum(precision)
                total += np.isfinite(precision).sum()
        curve.append(float(correct / max(total, 1)))
        if len(curve) - 1 - int(np.argmax(curve)) >= config.patience:
            break
    return config.penalties[int(np.argmax(curve))], curve


def _fit_path(inputs, labels, penalties, single, config):
    """Weights float64[dim, classes] and bias [classes] for one penalty after the other.

    One softmax over the classes that occur, or one sigmoid per class; two classes of which each
    segment has one are a single sigmoid, as in scikit-learn.
    """
    occurs, always = labels.any(axis=0), labels.all(axis=0)
    softmax = single and occurs.sum() > 2
    fitted = np.flatnonzero(occurs if softmax else occurs & ~always)
    bias = np.where(occurs, np.where(always & ~single, np.inf, 0.0), -np.inf)
    if single and not softmax:
        fitted = fitted[1:]  # the first of two is what the second is not
    solution = np.zeros((inputs.shape[1] + 1, len(fitted)))
    for penalty in penalties:  # each starts where the stronger penalty before it ended
        if len(fitted):  # else every class that occurs is every segment's
            solution = _solve(inputs, labels[:, fitted], softmax, penalty, solution, config)
        weights, both = np.zeros((inputs.shape[1], labels.shape[1])), bias.copy()
        weights[:, fitted], both[fitted] = solution[:-1], solution[-1]
        yield weights, both


def _solve(inputs, targets, softmax, penalty, start, config) -> np.ndarray:
    """The minimum of the mean cross-entropy plus |weights|² / (2 C n), by L-BFGS.

    Along principal axes the curvature is nearly diagonal and spans many decades, so the search
    goes over weights divided by its root: 6,144 numbers of log mel then take tens of iterations
    and not the thousands that plain L-BFGS does.

    Args:
      inputs: float32[segments, dim].
      targets: bool[segments, classes].
      softmax: One softmax, or one sigmoid per class.
      penalty: Scikit-learn's C.
      start: float64[dim + 1, classes], weights and, last, bias.
      config: Gives the bound on iterations.

    Returns:
      As `start`.
    """
    ridge = 1.0 / (penalty * len(inputs))
    frequency = targets.mean(axis=0)
    curvature = np.mean(frequency * (1.0 - frequency))
    unit = 1.0 / np.sqrt(np.append(curvature * np.mean(inputs**2, axis=0) + ridge, curvature))
    unit = unit[:, None]

    def objective(flat):
        solution = flat.reshape(start.shape) * unit
        weights = solution[:-1]
        logits = (inputs @ weights.astype(np.float32)).astype(np.float64) + solution[-1]
        if softmax:
            most = logits.max(axis=1, keepdims=True)
            scores = np.exp(logits - most)
            total = scores.sum(axis=1, keepdims=True)
            scores /= total
            loss = np.log(total).sum() + most.sum()
        else:
            scores, loss = special.expit(logits), np.logaddexp(0.0, logits).sum()
        loss -= logits[targets].sum()
        apart = (scores - targets) / len(inputs)
        gradient = np.concatenate(
            [inputs.T @ apart.astype(np.float32) + ridge * weights, apart.sum(axis=0)[None]]
        )
        value = loss / len(inputs) + 0.5 * ridge * np.sum(weights**2)
        return value, (gradient * unit).ravel()

    # Stopping short of the optimum gives a weaker fit; that is no failure.
    found = optimize.minimize(
        objective,
        (start / unit).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": config.max_iterations, "gtol": 1e-5, "ftol": 1e-9},
    )
    return found.x.reshape(start.shape) * unit
