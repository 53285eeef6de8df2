import numpy as np
import pytest
import torch

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import IndexedTensor
from vlkd_steps.methods import whitening
from vlkd_steps.methods.whitening import whitened


def table(rows: int = 400, width: int = 12, seed: int = 0) -> torch.Tensor:
    """Features that are correlated, of different sizes, and far from 0."""
    generator = np.random.default_rng(seed)
    mixed = generator.normal(size=(rows, width)) @ generator.normal(size=(width, width)) * np.geomspace(0.1, 10, width)
    return torch.tensor(mixed + 20 * generator.normal(size=width), dtype=torch.float32)


def of(target: torch.Tensor, kind: str = "pca", share: float = 1.0) -> np.ndarray:
    made = whitened({"image": target}, kind, share)["image"]
    assert isinstance(made, torch.Tensor)
    assert made.dtype == torch.float32
    return made.numpy()


def test_the_components_are_numpys() -> None:
    x = table().double().numpy()
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), range(12)])
    np.testing.assert_allclose(of(table()), (x - x.mean(0)) @ vectors / np.sqrt(values), atol=1e-5)


def test_the_covariance_of_the_training_split_is_the_identity() -> None:
    found = of(table())
    assert found.shape == (400, 12)
    np.testing.assert_allclose(np.cov(found.T, bias=True), np.eye(12), atol=1e-4)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-4)
    single = of(table(), "standardise")
    x = table().double().numpy()
    np.testing.assert_allclose(single, (x - x.mean(0)) / x.std(0), atol=1e-5)
    np.testing.assert_allclose(np.cov(single.T, bias=True).diagonal(), 1, atol=1e-4)


def test_components_do_not_depend_on_the_axes() -> None:
    turn = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(1)).double()).Q
    plain, turned = of(table()), of((table().double() @ turn).float())
    np.testing.assert_allclose(turned @ turned.T, plain @ plain.T, atol=1e-3)
    np.testing.assert_allclose(np.abs(turned), np.abs(plain), atol=1e-3)
    other = of((table().double() @ turn).float(), "standardise")
    assert np.abs(other @ other.T - of(table(), "standardise") @ of(table(), "standardise").T).max() > 1


def test_as_few_components_as_hold_the_share() -> None:
    values = np.linalg.eigvalsh(np.cov(table().double().numpy().T, bias=True))[::-1]
    shares = values.cumsum() / values.sum()
    for kept in (1, 4, 7):
        found = of(table(), share=float(shares[kept - 1]) - 1e-6)
        np.testing.assert_allclose(found, of(table())[:, :kept], atol=1e-5)


def test_what_does_not_vary_is_not_amplified() -> None:
    """Fewer rows than features, a constant feature, and one that repeats another."""
    x = torch.cat([table(6), torch.full((6, 1), 3.0), table(6)[:, :1]], 1)
    assert of(x).shape == (6, 5)  # the rank of six rows less their mean
    single = of(x, "standardise")
    assert np.abs(single[:, 12]).max() == 0
    np.testing.assert_array_equal(single[:, 13], single[:, 0])


def test_it_is_fitted_on_the_rows_that_items_use_once_each() -> None:
    x = table(50)
    unused = torch.cat([x, 1e6 * torch.ones(1, 12)])
    rows = torch.cat([torch.arange(50), torch.zeros(500, dtype=torch.int64), torch.tensor([-1])])
    made = whitened({"tokens": IndexedTensor(unused, rows)}, "pca", 1.0)["tokens"]
    assert isinstance(made, IndexedTensor)
    assert made.rows is rows
    np.testing.assert_array_equal(made.table[:50].numpy(), of(x))


def test_patches_are_rows_and_shared_tables_stay_shared() -> None:
    x = table()
    patches = whitened({"patches": IndexedTensor(x.reshape(100, 4, 12), torch.arange(100))}, "pca", 1.0)["patches"]
    assert isinstance(patches, IndexedTensor)
    np.testing.assert_array_equal(patches.table.flatten(0, 1).numpy(), of(x))
    v = IndexedTensor(x, torch.arange(400))
    made = whitened({"v": v, "image": v, "u": IndexedTensor(table(seed=1), v.rows)}, "pca", 1.0)
    assert made["v"].table is made["image"].table  # type: ignore[union-attr]
    assert made["u"].table is not made["v"].table  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["standardise", "pca"])
def test_it_is_the_same_every_time_and_block_by_block(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    whole = of(table(), kind)
    assert of(table(), kind).tobytes() == whole.tobytes()
    monkeypatch.setattr(whitening, "BLOCK", 64)
    np.testing.assert_allclose(of(table(), kind), whole, atol=1e-5)


@pytest.mark.parametrize("target", [torch.ones(5, 3), torch.zeros(5, 3), torch.ones(1, 3), torch.ones(0, 3)])
def test_a_constant_is_refused(target: torch.Tensor) -> None:
    with pytest.raises(UserError, match="whitening is 'pca', but the target 'image' is the same for all"):
        of(target)
