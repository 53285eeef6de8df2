"""The page of claims, and which experiments and claims are on it."""

import csv
import json
from pathlib import Path

import pytest
from claimed_scores import claim, falling, preset, run, write
from claimed_scores import here as here

from vlkd_steps.cli import claims
from vlkd_steps.core import layout
from vlkd_steps.graph import phase_manifest


def gains_csv(experiment: str = "mine") -> None:
    rows = [
        "dataset,student,variant,method,teacher,shot,evaluation_set,metric,seeds,n,images,mean,sd,reference_mean,gain,"
        "gain_low,gain_high,p,p_holm,bootstrap_low,bootstrap_high",
        "scenes_ve,vilt_scenes,finetune,finetune,,100,test,accuracy,1 2,40,40,40.0,0.1,,,,,,,,",
        "scenes_ve,vilt_scenes,clip_td,clip_td,clip_scenes,100,test,accuracy,1 2,40,40,49,0.1,40,9,8,10,.1,.1,8,10",
    ]
    (layout.results(experiment) / "gains.csv").write_text("\n".join(rows) + "\n")


def test_the_page_has_the_primary_table_first_and_the_runs_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    lines = {"note": "what is\nknown of it", "text": "naive_kd\n> finetune"}
    preset({"other": claim("naive_kd", dataset=["scenes_ve"], shot=[100], **lines),
            "low": claim(level="primary", dataset=["scenes_ve"], shot=[100], stated={"entailment": 6.6})})  # fmt: skip
    write(falling, {"scenes_ve": ["test"]}, ["finetune", "naive_kd", "clip_td"], ["100"])
    gains_csv()
    assert claims.main(["--write", "docs/results.md"]) == 0, capsys.readouterr().err  # finds the experiment itself
    text = Path("docs/results.md").read_text()
    overview, details = text.split("## Details")
    assert "`vlkd claims mine --write docs/results.md`" in overview
    assert "1 rows: 1 held." in overview
    [row] = [line for line in overview.splitlines() if line.startswith("| clip_td")]
    assert row.startswith("| clip_td > finetune | scenes_ve | +9.0 [")
    assert row.endswith("| **held** |")
    [row] = [line for line in details.splitlines() if line.startswith("| clip_td > finetune (primary)")]
    assert "| scenes_ve vilt_scenes test | 100 | 5 | +9.0 [" in row
    assert "| +22.5 % | +6.6 % |" in row
    assert "\n- naive_kd > finetune: what is known of it\n" in details
    assert "\n| naive_kd > finetune (secondary) |" in details  # a line each
    assert "| clip_td | 100 | 49.0 ± 0.1, +9.0 [8.0, 10.0] |" in details
    keys = list(csv.DictReader(Path("docs/results.runs.csv").read_text().splitlines()))
    assert [row["claim"] for row in keys] == ["low", "other"]
    assert len(keys[0]["run_keys"].split()) == 10
    first = Path("docs/results.md").read_bytes()
    assert claims.main(["mine", "--write", "docs/results.md"]) == 0
    assert Path("docs/results.md").read_bytes() == first
    Path("docs/results.md").write_text("# My notes\n")
    assert claims.main(["mine", "--write", "docs/results.md"]) == 2
    assert "docs/results.md was not made by vlkd claims" in capsys.readouterr().err
    assert Path("docs/results.md").read_text() == "# My notes\n"


def test_a_page_can_be_written_beside_json(capsys: pytest.CaptureFixture[str]) -> None:
    preset({"low": claim(level="primary", dataset=["scenes_ve"], shot=[100])})
    write(falling, {"scenes_ve": ["test"]}, ["finetune", "clip_td"], ["100"])
    gains_csv()
    assert claims.main(["mine", "--json", "--write", "page.md"]) == 0
    shown = capsys.readouterr()
    assert [row["claim"] for row in json.loads(shown.out)] == ["low"]
    assert "page.md" in shown.err


def test_results_of_another_configuration_are_named_on_stderr_and_on_the_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    preset({"low": claim(level="primary", dataset=["scenes_ve"], shot=[100])})
    write(falling, {"scenes_ve": ["test"]}, ["finetune", "naive_kd", "clip_td"], ["100"])
    gains_csv()
    note = "note: mine: these values may be of an earlier run: manifests/mine/"  # no graph made them
    assert claims.main(["mine", "--write", "page.md"]) == 0
    assert note in capsys.readouterr().err
    assert "Note on mine: these values may be of an earlier run: manifests/mine/" in Path("page.md").read_text()
    monkeypatch.setattr(phase_manifest, "outdated", lambda c: "")
    assert claims.main(["mine", "--write", "page.md"]) == 0
    assert "earlier run" not in capsys.readouterr().err + Path("page.md").read_text()


def test_results_whose_preset_is_gone_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    preset({"low": claim(dataset=["scenes_ve"], shot=[100])})
    for experiment in ("mine", "old"):
        write(falling, {"scenes_ve": ["test"]}, ["finetune", "clip_td"], ["100"], experiment=experiment)
    assert claims.main(["--json"]) == 0
    shown = capsys.readouterr()
    assert [row["experiment"] for row in json.loads(shown.out)] == ["mine"]
    assert "left out: old\n" in shown.err
    assert claims.main(["old"]) == 2


def test_two_experiments_with_one_primary_claim(capsys: pytest.CaptureFixture[str]) -> None:
    mine = {"low": claim(level="primary", shot=[100])}
    preset(mine)
    preset({"renamed": mine["low"]}, "again")
    for name in ("mine", "again"):
        write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], ["100"], experiment=name)
    assert claims.main(["mine", "again"]) == 2
    said = capsys.readouterr().err
    assert "mine and again both have the primary claim clip_td > finetune on scenes_vqa test (low, renamed)" in said


def test_a_primary_claim_at_other_shots_is_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    few, many = (claim(level="primary", shot=[shot]) for shot in (100, 1000))
    preset({"few": few, "many": many})
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], ["100", "1000"])
    assert [row["shots"] for row in run(capsys)] == [["100"], ["1000"]]


@pytest.mark.parametrize("target", ["", "folder", "page.txt", "mine.md", "other.md"])
def test_a_page_that_cannot_be_written_is_refused_before_anything_is(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    preset({"low": claim(level="primary", shot=[100])})
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], ["100"])
    Path("folder").mkdir()
    for foreign in ("mine.md", "other.runs.csv"):
        Path(foreign).write_text("a user's own")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert claims.main(["mine", "--write", target]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_an_experiment_without_results_or_claims(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text((root / "params.yaml").read_text())
    assert claims.main(["scenes_full"]) == 2
    said = capsys.readouterr().err
    assert "results/scenes_full/summary.csv does not exist; run: snakemake --cores all --config experiment=" in said
    assert claims.main(["scenes"]) == 2
    assert "experiment scenes has no claims" in capsys.readouterr().err
    assert claims.main([]) == 2
    assert "no experiment with claims has results" in capsys.readouterr().err
