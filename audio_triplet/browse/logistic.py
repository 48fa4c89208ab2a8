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
    """

    weights: np.ndarray
    bias: float

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """float32[n] from float[n, dim]; positive is yes."""
        product = vectors.astype(np.float32, copy=False) @ self.weights.astype(np.float32)
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
) -> Logistic:
    """Minimises Σ count · log-loss + ‖weights · scale‖² / (2 · penalty); the bias is free.

    That is scikit-learn's `LogisticRegression(C=penalty)` on `vectors / scale`.

    Args:
      vectors: float[n, dim].
      yes: bool[n], of both kinds.
      counts: float[n], how often each counts.
      scale: float[dim], deviation of each feature in the archive.
      penalty: Inverse strength.

    Returns:
      The one minimum.
    """
    inputs = np.column_stack([vectors / scale, np.ones(len(vectors))]).astype(np.float64)
    targets, counts = yes.astype(np.float64), counts.astype(np.float64)
    ridge = np.full(inputs.shape[1], 1 / penalty)
    ridge[-1] = 1e-9
    parameters = np.zeros(inputs.shape[1])
    share = np.clip((counts @ targets) / counts.sum(), 1e-6, 1 - 1e-6)
    parameters[-1] = np.log(share / (1 - share))
    loss = _loss(inputs, targets, counts, ridge, parameters)
    for _ in range(_MOST_STEPS):
        odds = 0.5 * (1 + np.tanh(0.5 * (inputs @ parameters)))
        gradient = inputs.T @ (counts * (odds - targets)) + ridge * parameters
        curvature = inputs.T @ (inputs * (counts * odds * (1 - odds))[:, None])
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
    return Logistic(parameters[:-1] / scale, float(parameters[-1]))


def _loss(
    inputs: np.ndarray,
    targets: np.ndarray,
    counts: np.ndarray,
    ridge: np.ndarray,
    parameters: np.ndarray,
) -> float:
    logits = inputs @ parameters
    losses = np.logaddexp(0, logits) - targets * logits
    return float(counts @ losses + 0.5 * (ridge * parameters**2).sum())
