from typing import Any

import pytest

from vlkd_steps.cli.table import _cell
from vlkd_steps.reporting import claims_page, page, table
from vlkd_steps.reporting.table import training


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gain": 1.0, "gain_low": -0.04, "gain_high": 2.06}, "[0.0, 2.1]"),
        ({"gain": 1.0, "seeds": "10"}, "(one seed)"),
        ({"gain": 0.0}, "(no spread)"),
        ({"gain": 3.0, "images": 1}, "(one image)"),
        ({}, ""),
    ],
)
def test_an_interval_or_why_there_is_none(changes: dict[str, Any], expected: str) -> None:
    assert table.interval({"gain": None, "gain_low": None, "seeds": "10 11 12", **changes}) == expected


@pytest.mark.parametrize(
    ("learned", "seeds", "expected"),
    [
        (2, "10 11 12", "learned 2 of 3 seeds"),
        (0, "10", "learned 0 of 1 seed"),
        (3, "10 11 12", ""),
        (None, "10 11", ""),
    ],
)
def test_how_many_seeds_learned_is_said_where_not_all_did(learned: int | None, seeds: str, expected: str) -> None:
    row = {"learned": learned, "seeds": seeds, "mean": 34.0, "sd": 1.0, "gain": 2.0, "gain_low": -1.0, "gain_high": 5.0}
    assert table.learned(row) == expected
    ending = f"\n{expected}" if expected else ""
    assert _cell(row).plain == f"34.0 +- 1.0\n+2.0 [-1.0, 5.0]{ending}"
    assert _cell(row | {"gain": None}).plain == f"34.0 +- 1.0{ending}"


def test_results_of_an_earlier_version_say_nothing_of_learning() -> None:
    assert table.learned({"seeds": "1 2"}) == ""


def test_what_is_no_percentage_is_called_by_its_name() -> None:
    assert table.scale({"metric": "CIDEr"}) == "CIDEr"
    assert table.scale({"metric": "accuracy"}) == "accuracy, %"
    assert table.scale({}) == "accuracy, %"  # results of an earlier version


@pytest.mark.parametrize(
    ("shot", "expected"),
    [("300", "300 training captions"), ("10pct", "10 % of the training captions"), ("full", "all training captions")],
)
def test_a_shot_in_words(shot: str, expected: str) -> None:
    assert training(shot, "captions") == expected


@pytest.mark.parametrize(
    ("p", "in_claims", "on_page"),
    [
        (0.0496, "0.0496", "0.0496"),
        (0.049996, "0.049996", "0.049996"),
        (0.0504, "0.05", "0.050"),
        (0.05, "0.05", "0.050"),
        (0.0123, "0.012", "0.012"),
        (1.3e-06, "1.3e-06", "< 0.001"),
        (1.0, "1", "1.00"),
    ],
)
def test_a_p_value_stays_on_its_side_of_5_percent(p: float, in_claims: str, on_page: str) -> None:
    assert (claims_page._p(p), page.p_value(p)) == (in_claims, on_page)
