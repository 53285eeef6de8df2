import pytest

from vlkd_steps.evaluation import summary


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("gain", -0.00001, "0.0000"),
        ("gain", 1.5, "1.5000"),
        ("p", 1.23456e-7, "1.235e-07"),
        ("n", 4, "4"),
        ("p", None, ""),
    ],
)
def test_cells_are_written_one_way(column: str, value: object, expected: str) -> None:
    assert summary.cell(column, value) == expected
