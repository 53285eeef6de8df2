"""Names of experiments and folders of runs on the command line stay within the project."""

from pathlib import Path

import pytest

from vlkd_steps.cli import claims, doctor, leaderboard, plan, run, table, track, verify
from vlkd_steps.graph import sync


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", ".", "", "x" * 101, "x\n"])
@pytest.mark.parametrize(
    ("main", "before", "after"),
    [
        (table.main, [], []),
        (track.main, [], []),
        (plan.main, ["--experiment"], []),
        (claims.main, [], []),
        (run.main, [], ["-n"]),
    ],
)
def test_what_is_no_name_of_an_experiment_is_refused(
    main, before, after, name: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*before, name, *after]) == 2
    said = capsys.readouterr().err
    assert f"{name!r} is not a valid name; write letters, digits and _" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["../x", "/etc", "models/../../x"])
@pytest.mark.parametrize(("main", "more"), [(verify.main, []), (leaderboard.main, ["--out", "x.csv"])])
def test_a_folder_outside_is_refused(main, more, path: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([path, *more]) == 2
    assert f"{path} is outside this folder" in capsys.readouterr().err


def test_a_misspelt_experiment_is_answered_with_the_nearest_one(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results/scenes").mkdir(parents=True)
    Path("results/scenes/gains.csv").touch()
    assert table.main(["scenez"]) == 2
    assert "results/scenez/gains.csv does not exist; did you mean 'scenes'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (table.main, ["scenes"]),
        (track.main, ["scenes"]),
        (plan.main, []),
        (claims.main, []),
        (run.main, []),
        (doctor.main, []),
        (sync.main, []),
    ],
)
def test_outside_any_project_one_is_asked_for(main, arguments, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert f"is not in {tmp_path}; run this in a project's folder, or make one: vlkd init FOLDER" in said


def test_a_table_of_no_experiment_is_not_to_be_made(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("experiment: scenes\n")
    assert table.main(["zzz"]) == 2
    said = capsys.readouterr().err
    assert "there is no experiment 'zzz'; valid are: " in said
    assert "snakemake" not in said
    assert table.main(["scenes"]) == 2
    assert "snakemake --cores 1 -f results/scenes/gains.csv" in capsys.readouterr().err


def test_a_table_without_rows_is_named(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results/scenes").mkdir(parents=True)
    Path("results/scenes/gains.csv").write_text("dataset,student,variant,shot,evaluation_set,metric,mean\n")
    assert table.main(["scenes"]) == 2
    said = capsys.readouterr().err
    assert "results/scenes/gains.csv has no rows; make it again: snakemake" in said
    assert "--config experiment=scenes" in said
