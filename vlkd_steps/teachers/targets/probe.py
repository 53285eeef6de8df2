"""A linear probe: multinomial logistic regression on soft labels, fitted until it has converged.

scikit-learn's takes one label an item, so an item with several answers would enter once for each; and its stopping rule
left probabilities that were not reproducible to the second digit. Here the objective takes soft labels as a sparse
matrix and L-BFGS (scipy) minimises it on standardised features.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse

C = 1.0
"""The inverse strength of the L2 penalty on standardised features, as scikit-learn counts it (choice)."""
TOLERANCE = 1e-4
"""The largest entry of the mean objective's gradient at the solution."""
MOST_STEPS = 2000
BLOCK = 2048
"""Items whose logits are computed together."""


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes:
        mean, scale: of the training features, [F].
        weights: [F, C], and `bias` [C], of standardised features.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Of each class, float32 [N, C], for features [N, F]."""
        logits = ((features - self.mean) / self.scale) @ self.weights + self.bias
        return _softmax(logits)[0]


def fit(features: np.ndarray, soft: sparse.csr_matrix) -> Probe:
    """The minimum of ``sum_i -sum_a t_ia log p_ia + |W|^2 / (2 C)``, with t the rows of `soft` divided by their sums.

    Args:
        features: float32 [N, F].
        soft: [N, C], each row with a positive entry.

    Warns:
        RuntimeWarning: it has not converged within `MOST_STEPS` steps.
    """
    n, width = features.shape
    classes = soft.shape[1]
    mean, scale = features.mean(0), features.std(0)
    scale[scale == 0] = 1
    x = ((features - mean) / scale).astype(np.float64)
    rows, columns, scores = sparse.find(soft)
    target = scores / soft.sum(1).A1[rows]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean over items and its gradient. In float32 the search along a line fails near the minimum."""
        both = flat.reshape(width + 1, classes)
        logits = x @ both[:width] + both[width]
        probability, log_sum = _softmax(logits)
        loss = log_sum.sum() - (target * logits[rows, columns]).sum()
        probability[rows, columns] -= target
        gradient = np.empty_like(both)
        gradient[:width] = x.T @ probability
        gradient[width] = probability.sum(0)
        gradient[:width] += both[:width] / C
        penalty = float(np.vdot(both[:width], both[:width])) / (2 * C)
        return (loss + penalty) / n, gradient.ravel() / n

    found = optimize.minimize(
        objective,
        np.zeros((width + 1) * classes),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": TOLERANCE, "ftol": 0.0, "maxiter": MOST_STEPS, "maxfun": 2 * MOST_STEPS},
    )
    steepest = float(np.abs(found.jac).max())
    if steepest > TOLERANCE:
        warnings.warn(
            f"the probe of the confidence weights stopped after {found.nit} steps at a gradient of {steepest:.1e}, "
            f"above {TOLERANCE:.0e}: {found.message}",
            RuntimeWarning,
            stacklevel=2,
        )
    solution = found.x.reshape(width + 1, classes).astype(np.float32)
    return Probe(mean, scale, solution[:width], solution[width])


def _softmax(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row, and the logarithm of the sum of exponentials [N]."""
    most = logits.max(1, keepdims=True)
    exponential = np.exp(logits - most)
    total = exponential.sum(1, keepdims=True)
    exponential /= total
    return exponential, (most + np.log(total))[:, 0]
