"""VCR's files against its leaderboard CSV."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from official_files import write_lines

from vlkd_steps.cli import score
from vlkd_steps.evaluation import vcr_leaderboard


def item(number: int, answer: int = 0, rationale: int = 0) -> dict[str, Any]:
    return {"annot_id": f"val-{number}", "answer_label": answer, "rationale_label": rationale}


def run(tmp_path: Path, annotations: list[Any], ids: list[str], scores: np.ndarray | None = None) -> int:
    vcr_leaderboard.write(tmp_path / "l.csv", ids, np.ones((len(ids), 5, 4)) if scores is None else scores)
    path = write_lines(tmp_path / "val.jsonl", annotations)
    arguments = ["--annotations", str(path), "--predictions", str(tmp_path / "l.csv")]
    return score.main(["vcr", *arguments, "--out", str(tmp_path / "m.json")])


def test_the_order_of_rows_is_free_and_the_numbers_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    scores = generator.random((200, 5, 4))
    gold = generator.integers(0, 4, (200, 2)).tolist()
    order = generator.permutation(200)
    annotations = [item(n, *gold[n]) for n in range(200)]
    assert run(tmp_path, annotations, [f"val-{n}" for n in order], scores[order]) == 0
    right = [
        (max(range(4), key=each[0].__getitem__) == a, max(range(4), key=each[1 + a].__getitem__) == r)
        for each, (a, r) in zip(scores.tolist(), gold, strict=True)
    ]
    found = json.loads((tmp_path / "m.json").read_text())
    assert found["q_a"] == sum(answer for answer, _ in right) / 2
    assert found["qa_r"] == sum(rationale for _, rationale in right) / 2
    assert found["q_ar"] == sum(answer and rationale for answer, rationale in right) / 2
    assert (found["task"], found["annotations"]) == ("vcr", 200)


@pytest.mark.parametrize(
    ("annotations", "ids", "message"),
    [
        ([item(0), item(1)], ["val-0"], '1 of 2 annotations have no result; first: "val-1"'),
        ([item(0)], ["val-0", "val-1"], '1 results are for other annotations; first: "val-1"'),
        ([item(0), item(0)], ["val-0"], 'val.jsonl: 1 annotations are duplicated; first: "val-0" in line 2'),
        ([item(0, 4)], ["val-0"], "line 1.answer_label: is 4, not one of 0 to 3"),
        ([{"annot_id": "test-0"}], ["test-0"], "line 1: has no answer_label; VCR's test labels are held by its leader"),
        ([{"answer_label": 0}], ["val-0"], "line 1.annot_id: is missing"),
        ([], ["val-0"], "val.jsonl: holds no annotation"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, annotations: list[Any], ids: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert run(tmp_path, annotations, ids) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m.json").exists()
