"""SNLI-VE's files against a list of labels."""

import json
from pathlib import Path
from typing import Any

import pytest
from official_files import pair, write_json, write_lines

from vlkd_steps.cli import score
from vlkd_steps.core import records


def run(tmp_path: Path, annotations: Path, results: list[tuple[str, Any]]) -> int:
    listed = [{"pairID": name, "label": label} for name, label in results]
    arguments = ["--annotations", str(annotations), "--results", str(write_json(tmp_path / "R.json", listed))]
    return score.main(["snli_ve", *arguments, "--out", str(tmp_path / "m.json")])


def pairs(tmp_path: Path, *labels: str) -> Path:
    return write_lines(tmp_path / "dev.jsonl", [pair(f"p{n}", "1", gold, "It is.") for n, gold in enumerate(labels)])


def test_accuracy_confusion_and_pairs_without_consensus(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = pairs(tmp_path, "neutral", "-", "entailment", "neutral", "-")
    given = [("p0", "neutral"), ("p1", "neutral"), ("p2", "contradiction"), ("p3", "entailment")]
    assert run(tmp_path, path, given) == 0
    found = json.loads((tmp_path / "m.json").read_text())
    assert (found["overall"], found["macro"]) == (33.33, 25.0)
    assert found["per_label"] == {"entailment": 0.0, "neutral": 50.0}
    assert found["confusion"] == {
        "entailment": {"contradiction": 1, "entailment": 0, "neutral": 0},
        "neutral": {"contradiction": 0, "entailment": 1, "neutral": 1},
    }
    assert (found["pairs"], found["without_consensus"]) == (3, 2)
    assert "3 pairs; 2 without consensus (gold_label '-') left out" in capsys.readouterr().out


def test_the_mean_over_classes_is_rounded_once(tmp_path: Path) -> None:
    path = pairs(tmp_path, "neutral", *["entailment"] * 3)
    assert run(tmp_path, path, [("p0", "entailment"), ("p1", "entailment"), ("p2", "neutral"), ("p3", "neutral")]) == 0
    assert json.loads((tmp_path / "m.json").read_text())["macro"] == 16.67  # half of a third, not of 33.33


def test_real_pairs(tmp_path: Path, shared_data: Path) -> None:
    path = shared_data / "format_fixtures" / "snli_ve_sample_pairs.jsonl"
    gold = [(record["pairID"], record["gold_label"]) for _, record in records.lines(path)]
    assert run(tmp_path, path, gold) == 0
    assert json.loads((tmp_path / "m.json").read_text())["overall"] == 100.0
    wrong = [(name, "neutral" if label != "neutral" else "entailment") for name, label in gold]
    assert run(tmp_path, path, wrong[:4] + gold[4:]) == 0
    assert json.loads((tmp_path / "m.json").read_text())["overall"] == 75.0


@pytest.mark.parametrize(
    ("labels", "results", "message"),
    [
        (["neutral"] * 3, [("p0", "neutral")], '2 of 3 pairs have no result; first: "p1"'),
        (["neutral"], [("p0", "neutral"), ("x", "neutral")], '1 results are for other pairs; first: "x"'),
        (["neutral"], [("p0", "maybe")], '1 labels are none of contradiction, entailment, neutral; first: "maybe" for'),
        (["neutral"], [("p0", 2)], "1 of 1 results are malformed; first: [0].label is 2, not a string"),
        (["yes"], [], 'line 1.gold_label: is "yes", not one of'),
        (["-"], [], "dev.jsonl: holds no labelled pair"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, labels: list[str], results: list[Any], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert run(tmp_path, pairs(tmp_path, *labels), results) == 2
    assert message in capsys.readouterr().err


def test_repeated_pairs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_lines(tmp_path / "dev.jsonl", [pair("p0", "1", "neutral", "It is.")] * 3)
    assert run(tmp_path, path, [("p0", "neutral")]) == 2
    assert 'dev.jsonl: 2 pairs are duplicated; first: "p0" in line 2' in capsys.readouterr().err
