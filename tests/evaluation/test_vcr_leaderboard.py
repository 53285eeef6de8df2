"""The leaderboard CSV: what is written is the official layout, and is read back."""

from pathlib import Path

import numpy as np
import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.evaluation import vcr_leaderboard

HEADER = (
    "annot_id,answer_0,answer_1,answer_2,answer_3,"
    + ",".join(f"rationale_conditioned_on_a{a}_{choice}" for a in range(4) for choice in range(4))
    + "\n"
)
NUMBERS = ",".join(map(str, range(20)))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "leaderboard.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_layout_is_the_official_one(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    vcr_leaderboard.write(path, ["val-0", "val-1"], np.arange(40.0).reshape(2, 5, 4))
    assert path.read_text().startswith(HEADER + "val-0,0.0,1.0,2.0,3.0,4.0,")
    assert path.read_text().count("\n") == 3


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).normal(size=(7, 5, 4))
    ids = [f"val-{n}" for n in range(7)]
    vcr_leaderboard.write(tmp_path / "l.csv", ids, scores)
    found_ids, found = vcr_leaderboard.read(tmp_path / "l.csv")
    assert found_ids == ids
    assert np.array_equal(found, scores)


def test_columns_go_by_their_names(tmp_path: Path) -> None:
    names = HEADER.strip().split(",")
    row = dict(zip(names, ["val-0", *map(str, range(20))], strict=True))
    names.reverse()
    path = written(tmp_path, ",".join(names) + "\n" + ",".join(row[name] for name in names) + "\n")
    ids, scores = vcr_leaderboard.read(path)
    assert ids == ["val-0"]
    assert scores.ravel().tolist() == list(range(20))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the header: lacks 'annot_id' and 20 more"),
        (HEADER.replace("answer_2,", ""), "the header: lacks 'answer_2'; the official columns are"),
        (HEADER.replace("annot_id", "annot_id,score"), "the header: has unknown 'score'"),
        (HEADER.replace("answer_1", "answer_1,answer_1"), "the header: repeats 'answer_1'"),
        (HEADER, "holds no predictions"),
        (HEADER + f"a,{NUMBERS}\n\nb,{NUMBERS},1\n", "line 4: has 22 cells, the header has 21"),
        (HEADER + f"a,{NUMBERS}\na,{NUMBERS}\n", "line 3: a stands already in line 2"),
        (HEADER + f"a,{NUMBERS.replace('7', 'x')}\n", "line 2: rationale_conditioned_on_a0_3 is 'x7?', not a finite"),
        (HEADER + f"a,{NUMBERS.replace('19', '1_9')}\n", "line 2: rationale_conditioned_on_a3_3 is '1_9', not a"),
        (HEADER + f"a,{NUMBERS.replace('19', chr(0x661))}\n", "line 2: rationale_conditioned_on_a3_3 is '.', not a"),
        (HEADER + f"a,{NUMBERS.replace('19', '1e999')}\n", "line 2: rationale_conditioned_on_a3_3 is '1e999', not a"),
        (HEADER + f"a,{NUMBERS.replace('19', 'nan')}\n", "line 2: rationale_conditioned_on_a3_3 is 'nan', not a"),
    ],
)
def test_what_is_not_in_the_layout_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        vcr_leaderboard.read(written(tmp_path, text))


@pytest.mark.parametrize("scores", [np.zeros((1, 4, 4)), np.full((1, 5, 4), np.nan)])
def test_only_whole_finite_scores_are_written(tmp_path: Path, scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"scores are|not finite"):
        vcr_leaderboard.write(tmp_path / "l.csv", ["a"], scores)
    assert not (tmp_path / "l.csv").exists()
