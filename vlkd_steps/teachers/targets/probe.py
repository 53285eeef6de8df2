"""A linear probe: multinomial logistic regression on soft labels, fitted until it has converged.

scikit-learn's takes one label an item, so an item with several answers would enter once for each. On features that are
not standardised its penalty is so weak that after 200 steps the second digit of a probability follows the rounding of
the features. Here they are standardised, the penalty gives the best log loss on held-out items (docs/papers.md, "The
probe, measured"), and torch's L-BFGS searches along the features' principal axes, where it reaches the minimum.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from vlkd_steps.core.step import log

C = 10.0
"""The inverse strength of the L2 penalty, as scikit-learn counts it, on features whose squares add up to 1 on average
(choice)."""
TOLERANCE = 1e-3
"""The norm of the objective's gradient, in the coordinates of the search, at which it ends. The weights of items are
then as near to those at the minimum, or nearer."""
MOST_STEPS = 600
RATES = (1.0, 0.5, 0.2)
"""The share of L-BFGS's step that is taken; the next one is tried where the search with one has not converged."""
BLOCK = 2048
"""Items whose logits are computed together."""
CONSTANT = 1e-4
"""A feature that varies by less, relative to its size, counts as constant: to standardise it would amplify rounding."""


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes:
        mean, scale: what is taken from a feature, and what the rest is divided by, float32 [F].
        weights: float32 [F, C], and `bias` [C], of such features.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Of each class, float32 [N, C], for features [N, F]."""
        import torch

        x, weights, bias = map(torch.from_numpy, ((features - self.mean) / self.scale, self.weights, self.bias))
        return np.asarray(torch.addmm(bias, x, weights).softmax(1).numpy())


def fit(features: np.ndarray, soft: sparse.csr_matrix) -> Probe:
    """The minimum of ``sum_i -sum_a t_ia log p_ia + |W|^2 / (2 C)``, with t the rows of `soft` divided by their sums.

    Args:
        features: float32 [N, F].
        soft: [N, C], two classes or more; each row and each column has a positive entry.

    A search that has not converged within `MOST_STEPS` steps is logged as a warning.
    """
    import torch  # late: reading targets needs none

    mean, scale = _standard(features)
    x, axes, strength = _principal(torch.from_numpy((features - mean) / scale))
    n, width = x.shape
    rows, columns, scores = sparse.find(soft)
    entries = (torch.from_numpy(rows).long(), torch.from_numpy(columns).long())
    target = scores / soft.sum(1).A1[rows]
    share = np.bincount(columns, target, minlength=soft.shape[1]) / n
    scores = torch.from_numpy(target.astype(np.float32))
    unit = torch.from_numpy(_unit(strength, share, n).astype(np.float32))
    at = torch.zeros(unit.shape, requires_grad=True)

    @torch.no_grad()
    def gradient() -> Any:
        both = at * unit
        excess = torch.addmm(both[width], x, both[:width]).softmax(1)
        excess[entries] -= scores
        at.grad = torch.empty_like(both)
        torch.mm(x.T, excess, out=at.grad[:width])
        at.grad[:width] += both[:width] / C
        at.grad[width] = excess.sum(0)
        at.grad *= unit
        return torch.zeros(())

    def search(rate: float) -> float:
        """Move `at`; the gradient's norm at its last step. It looks at gradients alone, without a search along lines:
        float32 resolves differences of the objective only far from the minimum."""
        with torch.no_grad():
            at.zero_()
            at[width] = torch.from_numpy(np.log(share).astype(np.float32)) / unit[width]  # the minimum without weights
        steps = torch.optim.LBFGS([at], lr=rate, max_iter=1, history_size=10, tolerance_grad=0, tolerance_change=0)
        steep = np.inf
        for _ in range(MOST_STEPS):
            steps.step(gradient)
            steep = float(at.grad.norm())  # type: ignore[union-attr]
            if not steep > TOLERANCE:
                break
        return steep

    for rate in RATES:
        steep = search(rate)
        if steep <= TOLERANCE:
            break
    else:
        log.warning(
            f"warning: a probe of {n} items has not converged in {MOST_STEPS} steps: the gradient is {steep:.1e}, "
            f"above {TOLERANCE:.0e}; weights made from it may depend on rounding"
        )
    solution = at.detach() * unit
    return Probe(mean, scale, (axes @ solution[:width]).numpy(), solution[width].numpy())


def _standard(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The features' means, and their standard deviations times the root of their number."""
    mean, deviation = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    deviation[deviation <= CONSTANT * np.hypot(mean, deviation)] = 1
    return mean.astype(np.float32), (deviation * np.sqrt(len(deviation))).astype(np.float32)


def _principal(x: Any) -> tuple[Any, Any, np.ndarray]:
    """Features [N, F] along their principal axes [F, K], and the sum of squares along each, float64 [K].

    The penalty is the same in these coordinates, and the weights across these axes are 0.
    """
    import torch

    n, width = x.shape
    if n < width:
        _, root, axes = torch.linalg.svd(x, full_matrices=False)
        strength, axes = root.square(), axes.T.contiguous()
    else:
        strength, axes = torch.linalg.eigh(x.T @ x)
    return x @ axes, axes, strength.clamp(min=0).double().numpy()


def _unit(strength: np.ndarray, share: np.ndarray, n: int) -> np.ndarray:
    """A step for each of the weights and biases [K + 1, C], by which the objective is about as steep along all of them.

    Its second derivative along a weight is about ``s (1 - s) l + 1 / C``, for a class of share s and an axis whose sum
    of squares is l; the step is one over its root. Answers of VQA have shares of 0.3 to 0.00001, and an image teacher's
    axes differ as much: without these units the search does not converge.
    """
    steep = share * (1 - share)
    return 1 / np.sqrt(np.concatenate([strength[:, None] * steep + 1 / C, n * steep[None]]))
