import numpy as np

from vlkd_steps.core import arrays


def test_every_number_of_half_precision_is_numpys() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(2, -1, 64)
    found = arrays.single(every[:, ::3])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, every[:, ::3].astype(np.float32))


def test_other_numbers_are_converted_and_float32_is_not_copied() -> None:
    rows = np.ones((2, 3), np.float32)
    assert arrays.single(rows) is rows
    assert arrays.single(rows.astype(np.float64)).dtype == arrays.single(np.array([1, 2])).dtype == np.float32


def test_vectors_of_unit_length_and_zeros_that_stay() -> None:
    found = arrays.unit(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
