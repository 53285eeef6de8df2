"""The results as a table in the terminal."""

from pathlib import Path

import pytest
from synthetic_report import RESULTS

from vlkd_steps.cli import table
from vlkd_steps.reporting.table import interval, points, read, spread


def test_terminal_table_holds_the_numbers_and_where_to_look(
    config: dict, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert table.main(["scenes"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert max(map(len, out.splitlines())) <= 80
    for row in read(RESULTS / "gains.csv"):
        if row["evaluation_set"] == "test":
            assert table.plain(spread(row)) in out
            assert row["gain"] is None or table.plain(f"{points(row['gain'])} {interval(row)}") in out
    assert "results/scenes/report.html" in out
    assert "vlkd ui" in out


def test_terminal_table_breaks_many_shots_into_several(config: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        row for row in read(RESULTS / "gains.csv") if row["evaluation_set"] == "test" and row["dataset"] == "scenes_ve"
    ]
    many = [{**row, "shot": str(shot)} for shot in (1, 2, 3, 4) for row in rows if row["shot"] == "100"]
    assert [len(each.columns) - 1 for _, each in table.tables(many, 80)] == [2, 2]
    assert [len(each.columns) - 1 for _, each in table.tables(many, 120)] == [4]


def test_terminal_table_refuses_what_is_not_there(config: dict, capsys: pytest.CaptureFixture) -> None:
    assert table.main(["scenes", "--set", "tset"]) == 2
    assert "has no such evaluation set; it has dev, test, other_style" in capsys.readouterr().err
    assert table.main(["other"]) == 2
    assert "params.yaml is not in" in capsys.readouterr().err


def test_a_star_says_what_it_means_where_seeds_fall_into_groups(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results/mine/gains.csv"
    path.parent.mkdir(parents=True)
    columns = (
        "dataset,student,variant,method,shot,evaluation_set,metric,seeds,mean,sd,gain,gain_low,gain_high,p,grouped"
    )
    path.write_text(f"{columns}\nd,s,clip_td,clip_td,100,test,accuracy,1 2 3 4 5 6,50.0,9.0,9.0,,,0.03,1\n")
    assert table.main(["mine"]) == 0
    out = capsys.readouterr().out
    assert "* +9.0 (seeds in groups)" in out
    assert "* of seeds in groups: p is below 5 %" in out
    assert "interval excludes 0" not in out
