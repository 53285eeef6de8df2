"""Numbers that come from files are checked by whoever reads them."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from vlkd_steps import tasks
from vlkd_steps.core import checksums
from vlkd_steps.core.errors import UserError
from vlkd_steps.evaluation import tables
from vlkd_steps.evaluation.scores import check_scores
from vlkd_steps.evaluation.summary import plausible
from vlkd_steps.reporting import measured, table
from vlkd_steps.tasks import ACCURACY, Metric

GAINS = "dataset,variant,shot,evaluation_set,metric,seeds,n,mean,sd,gain,p"
SUMMARY = "dataset,variant,shot,seed,evaluation_set,metric,value,n,run_key"


def gains(folder: Path, mean: str = "50.0", sd: str = "1.0", n: str = "9") -> Path:
    path = folder / "gains.csv"
    path.write_text(f"{GAINS}\na,clip_td,100,test,accuracy,0 1,{n},{mean},{sd},,1e-07\n")
    return path


def test_a_whole_table_is_read_by_its_columns(tmp_path: Path) -> None:
    [row] = table.read(gains(tmp_path))
    assert (row["mean"], row["n"], row["gain"], row["shot"], row["seeds"]) == (50.0, 9, None, "100", "0 1")


@pytest.mark.parametrize("value", ["NaN", "inf", "-inf", "1e999", "-5", "1e300", "100.1", "many"])
def test_a_mean_that_is_no_percentage_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(UserError, match=r"gains\.csv, row 2: mean is .*make it again: snakemake"):
        table.read(gains(tmp_path, mean=value))


@pytest.mark.parametrize(("column", "value"), [("sd", "nan"), ("sd", "x"), ("n", "1.5"), ("n", "inf")])
def test_other_cells_must_be_numbers(tmp_path: Path, column: str, value: str) -> None:
    with pytest.raises(UserError, match=rf"row 2: {column} is '{value}', not a number"):
        table.read(gains(tmp_path, **{column: value}))


def test_a_damaged_table_is_a_message(tmp_path: Path) -> None:
    path = gains(tmp_path)
    path.write_bytes(b"a,b\n1,2,3\n")
    with pytest.raises(UserError, match=r"gains\.csv cannot be read"):
        tables.read(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"gains\.csv cannot be read"):
        tables.read(path)
    path.unlink()
    with pytest.raises(UserError, match=r"does not exist; it is made by the step `compare`: .* --config experiment="):
        tables.read(path)


def test_the_pages_measures_are_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "summary.csv"
    path.write_text(f"{SUMMARY}\na,clip_td,100,0,kept,infilling,NaN,9,k\n")
    with pytest.raises(UserError, match=r"summary\.csv, row 2: value is 'NaN', not a number"):
        measured.tables(path, [{"name": "a"}])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300, -5, "50", None, True, 10**400, [50]])
def test_a_metric_must_be_plausible(value: Any) -> None:
    with pytest.raises(UserError, match=r"m\.json: test\.accuracy is .*, not a number from 0 to 100"):
        plausible(value, Metric(ACCURACY), "m.json: test.accuracy")


def test_a_table_other_than_the_listed_one_is_named(tmp_path: Path) -> None:
    path = gains(tmp_path)
    checksums.write(path.with_name("compare.sha256"), [path])
    assert tables.read(path)["mean"].to_list() == [50.0]
    gains(tmp_path, mean="58.0")
    again = rf"snakemake --cores 1 -f {path} --config experiment={tmp_path.name}"
    with pytest.raises(UserError, match=rf"gains\.csv is damaged, or was changed after it was made.*{again}"):
        tables.read(path)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -1.0, None])
def test_scores_of_items_are_numbers(score: float | None) -> None:
    scores = pl.DataFrame({"instance_id": ["a", "b"], "score": pl.Series([1.0, score], dtype=pl.Float64)})
    with pytest.raises(UserError, match=r"x: the score of instance b is .*, not a number, 0 or more"):
        check_scores(scores, "x")
    check_scores(scores.head(1), "x")


@pytest.mark.parametrize(("ids", "scores", "fault"), [("aa", [0.5, 1.0], "two scores"), ("ba", [0.5, 1.5], "0 to 1")])
def test_an_instance_has_one_score_which_is_a_share_where_the_metric_is_a_percentage(
    ids: str, scores: list[float], fault: str
) -> None:
    table = pl.DataFrame({"instance_id": list(ids), "score": scores})
    with pytest.raises(UserError, match=f"x: .*instance a .*{fault}"):
        check_scores(table, "x", tasks.load("vqa"))


def test_a_score_of_captions_may_be_above_one() -> None:
    check_scores(pl.DataFrame({"instance_id": ["a"], "score": [3.5]}), "x", tasks.load("captioning"))
