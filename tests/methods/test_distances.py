import numpy as np
import pytest
import torch

from vlkd_steps.methods.distances import DISTANCES, info_nce, layer_norm, products, relation
from vlkd_steps.methods.two_tower import cosines
from vlkd_steps.methods.vlkd.objective import itcl


def test_layer_norm_by_hand() -> None:
    normed = layer_norm(torch.tensor([[1.0, 3.0], [5.0, 5.0]]))
    torch.testing.assert_close(normed, torch.tensor([[-1.0, 1.0], [0.0, 0.0]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "expected"), [("l1", 1.5), ("mse", 2.5), ("cosine", 1 - 11 / (5**0.5 * 5))])
def test_distances_by_hand(name: str, expected: float) -> None:
    found = DISTANCES[name](torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]))
    if name != "cosine":  # |1-3|, |2-4| differ by 2 each; another pair for unequal parts
        found = DISTANCES[name](torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 4.0]]))
    torch.testing.assert_close(found, torch.tensor([expected]))


def test_relation_compares_cosines_between_centred_items() -> None:
    student = torch.tensor([[11.0, 0.0], [9.0, 0.0], [10.0, 3.0], [10.0, -3.0]])  # mean (10, 0): at right angles
    teacher = torch.tensor([[1.0, 0.0, 5.0], [0.0, 1.0, 5.0], [-1.0, 0.0, 5.0], [0.0, -1.0, 5.0]])  # mean (0, 0, 5)
    cosines = torch.tensor([[1.0, -1.0, 0.0, 0.0], [-1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0], [0.0, 0.0, -1.0, 1.0]])
    wanted = torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0], [-1.0, 0.0, 1.0, 0.0], [0.0, -1.0, 0.0, 1.0]])
    torch.testing.assert_close(relation(student, teacher), (cosines - wanted).abs().mean(1))
    turned = student[:, [1, 0]] * 7 + 3  # turned, stretched and shifted: the same arrangement
    torch.testing.assert_close(relation(turned, student), torch.zeros(4), atol=1e-6, rtol=0)


def test_rows_that_hardly_differ_have_no_arrangement_and_a_bounded_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    apart = torch.randn(8, 4, generator=generator)
    alike = (torch.ones(8, 4) + 1e-6 * torch.randn(8, 4, generator=generator)).requires_grad_()
    loss = relation(alike, apart).mean()
    loss.backward()
    assert alike.grad is not None
    assert alike.grad.norm() < 300
    constant = torch.full((8, 4), 33.0).mul(0.1)
    torch.testing.assert_close(relation(apart, constant), relation(apart, torch.zeros(8, 4)), atol=1e-3, rtol=0)
    assert torch.isfinite(relation(torch.zeros(1, 4), torch.zeros(1, 4))).all()


def contrast_in_numpy(student: np.ndarray, teacher: np.ndarray, same: np.ndarray, tau: float) -> float:
    a = student / np.linalg.norm(student, axis=1, keepdims=True)
    b = teacher / np.linalg.norm(teacher, axis=1, keepdims=True)
    logits = a @ b.T / tau
    losses = []
    for rows in (logits, logits.T):
        for i, row in enumerate(rows):
            kept = [row[j] for j in range(len(row)) if j == i or not same[i, j]]
            losses.append(np.log(np.exp(kept).sum()) - row[i])
    return float(np.mean(losses))


def test_info_nce_agrees_with_a_plain_sum() -> None:
    generator = np.random.default_rng(0)
    student, teacher = generator.normal(size=(5, 3)), generator.normal(size=(5, 3))
    same = np.zeros((5, 5), bool)
    same[0, 2] = same[2, 0] = same[3, 4] = same[4, 3] = True
    for masked in (np.eye(5, dtype=bool), same, same | np.eye(5, dtype=bool)):
        found = info_nce(torch.tensor(student), torch.tensor(teacher), torch.tensor(masked), 0.5)
        assert found.item() == pytest.approx(contrast_in_numpy(student, teacher, masked, 0.5), rel=1e-5)


def test_info_nce_of_a_batch_without_negatives_is_zero_and_has_no_gradient_that_is_not_a_number() -> None:
    student = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = info_nce(student, torch.ones(3, 4), torch.ones(3, 3, dtype=torch.bool), 0.07)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_items_are_compared_in_float32_where_the_step_is_computed_in_bf16() -> None:
    """At a temperature of 0.01 a rounded cosine would move the teacher's own probabilities by a tenth."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = (
        torch.nn.functional.normalize(torch.randn(16, 64, generator=generator) + 1, dim=-1) for _ in range(2)
    )
    same = torch.zeros(16, 16, dtype=torch.bool)

    def found() -> list[torch.Tensor]:
        values = info_nce(rows, columns, same, 0.01), itcl(rows, columns, 100.0), relation(rows, columns).mean()
        return [products(rows, columns) / 0.01, cosines(rows, columns) / 0.01, torch.stack(values)]

    whole = found()
    torch.testing.assert_close(whole[0], (rows.double() @ columns.double().T / 0.01).float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(found(), whole, atol=0, rtol=0)
