"""Logistic regression of one class, small and quick, by Newton's method. NumPy alone."""

from __future__ import annotations

import dataclasses

import numpy as np

# The inverse strength of the penalty, on standardised features: as `classify fit` begins [D].
PENALTY = 0.1

_MOST_STEPS = 50
_CONVERGED = 1e-8  # of the step, relative to the weights


@dataclasses.dataclass(frozen=True, eq=False)
class Logistic:
    """A fitted classifier of yes and no.

    Attributes:
      weights: float64[dim], of the vectors as they are.
      bias: Added to the product.
      more: float64[k], of the features that only some vectors have, see `fit`.
    """

    weights: np.ndarray
    bias: float
    more: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))

    def logits(self, vectors: np.ndarray, more: np.ndarray | None = None) -> np.ndarray:
        """float32[n] from float[n, dim] and, if they have more, float[n, k]; positive is yes."""
        product = vectors.astype(np.float32, copy=False) @ self.weights.astype(np.float32)
        if more is not None:
            product = product + more.astype(np.float32) @ self.more.astype(np.float32)
        return product + np.float32(self.bias)


def probability(logits: np.ndarray) -> np.ndarray:
    """float32 of the same shape, 0 … 1."""
    return (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)


def fit(
    vectors: np.ndarray,
    yes: np.ndarray,
    counts: np.ndarray,
    scale: np.ndarray,
    penalty: float = PENALTY,
    more: np.ndarray | None = None,
    more_scale: np.ndarray | None = None,
) -> Logistic:
    """Minimises Σ count · log-loss + ‖weights · scale‖² / (2 · penalty); the bias is free.

    That is scikit-learn's `LogisticRegression(C=penalty)` on `vectors / scale`. Features that only
    the first few vectors have, and that are 0 for all others, cost little.

    Args:
      vectors: float[n, dim].
      yes: bool[n], of both kinds.
      counts: float[n], how often each counts.
      scale: float[dim], deviation of each feature in the archive.
      penalty: Inverse strength.
      more: float[m, k], more features of the first m vectors; None: there are none.
      more_scale: float[k], theirs.

    Returns:
      The one minimum.
    """
    if more is None or more_scale is None:
        more, more_scale = np.zeros((0, 0)), np.zeros(0)
    inputs = _Inputs(
        np.column_stack([np.ones(len(vectors)), vectors / scale]).astype(np.float64),
        (more / more_scale).astype(np.float64),
    )
    targets, counts = yes.astype(np.float64), counts.astype(np.float64)
    ridge = np.full(inputs.count, 1 / penalty)
    ridge[0] = 1e-9
    parameters = np.zeros(inputs.count)
    share = np.clip((counts @ targets) / counts.sum(), 1e-6, 1 - 1e-6)
    parameters[0] = np.log(share / (1 - share))
    loss = _loss(inputs, targets, counts, ridge, parameters)
    for _ in range(_MOST_STEPS):
        odds = 0.5 * (1 + np.tanh(0.5 * inputs.product(parameters)))
        gradient = inputs.transposed(counts * (odds - targets)) + ridge * parameters
        curvature = inputs.squared(counts * odds * (1 - odds))
        curvature[np.diag_indices_from(curvature)] += ridge
        step = np.linalg.solve(curvature, gradient)
        length = 1.0
        while True:  # halved until the loss falls
            candidate = parameters - length * step
            new = _loss(inputs, targets, counts, ridge, candidate)
            if new <= loss or length < 1e-6:
                break
            length /= 2
        parameters, loss = candidate, min(new, loss)
        if np.linalg.norm(length * step) <= _CONVERGED * (1 + np.linalg.norm(parameters)):
            break
    known = 1 + len(scale)
    return Logistic(
        parameters[1:known] / scale, float(parameters[0]), parameters[known:] / more_scale
    )


class _Inputs:
    """A matrix of which the last columns are 0 but for the first rows.

    Attributes:
      count: How many columns it has.
    """

    def __init__(self, every: np.ndarray, more: np.ndarray):
        """The columns of all rows, float64[n, a], and those of the first rows, float64[m, b]."""
        self._every, self._more = every, more
        self.count = every.shape[1] + more.shape[1]

    def product(self, parameters: np.ndarray) -> np.ndarray:
        """float64[n], by a vector from the right."""
        columns, rows = self._every.shape[1], len(self._more)
        found = self._every @ parameters[:columns]
        found[:rows] += self._more @ parameters[columns:]
        return found

    def transposed(self, values: np.ndarray) -> np.ndarray:
        """float64[count], by a vector from the left."""
        return np.concatenate([values @ self._every, values[: len(self._more)] @ self._more])

    def squared(self, weights: np.ndarray) -> np.ndarray:
        """float64[count, count], the sum of rows times themselves, each with a weight."""
        columns, rows = self._every.shape[1], len(self._more)
        weighted = self._more * weights[:rows, None]
        found = np.empty((self.count, self.count))
        found[:columns, :columns] = self._every.T @ (self._every * weights[:, None])
        found[:columns, columns:] = self._every[:rows].T @ weighted
        found[columns:, :columns] = found[:columns, columns:].T
        found[columns:, columns:] = self._more.T @ weighted
        return found


def _loss(
    inputs: _Inputs,
    targets: np.ndarray,
    counts: np.ndarray,
    ridge: np.ndarray,
    parameters: np.ndarray,
) -> float:
    logits = inputs.product(parameters)
    losses = np.logaddexp(0, logits) - targets * logits
    return float(counts @ losses + 0.5 * (ridge * parameters**2).sum())
