from pathlib import Path

import pytest

from vlkd_steps.core import layout
from vlkd_steps.reporting import teaching, training
from vlkd_steps.tracking.journal import Journal


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(student: str, variant: str, seed: int, observed: dict[int, dict[str, float]]) -> dict[str, object]:
    """A run that wrote its loss at every step from 1 to 4, and at some what it saw of the teacher."""
    with Journal(layout.journal(layout.run("e", "toys", student, variant, "100", seed))) as journal:
        journal.append("start", run_key=f"{student}{variant}{seed}", attempt=1, tags={}, params={})
        for step in range(1, 5):
            journal.append("metrics", step=step, metrics={"loss/task": float(step), **observed.get(step, {})})
        journal.append("end", status="FINISHED")
    return {"dataset": "toys", "student": student, "variant": variant, "shot": "100", "seed": seed}


def test_means_over_seeds_at_the_first_and_the_last_look() -> None:
    runs = [
        run("vilt_toy", "finetune", 1, {}),
        run("vilt_toy", "clip_td", 1, {
            2: {"chosen_tokens": 2.0, "gradient_ratio": 1.0, "distance/image": 0.5},
            3: {"chosen_tokens": 9.0, "gradient_ratio": 9.0, "distance/image": 9.0},
            4: {"chosen_tokens": 2.0, "gradient_ratio": 0.01, "distance/image": 0.3},
        }),
        run("vilt_toy", "clip_td", 2, {
            2: {"chosen_tokens": 2.0, "gradient_ratio": 2.0, "distance/image": 0.7},
            4: {"chosen_tokens": 2.0, "gradient_ratio": 0.03, "distance/image": 0.4},
        }),
        run("vilt_toy", "naive_kd", 1, {4: {"gradient_ratio": 3.0}}),
    ]  # fmt: skip
    assert teaching.tables(training.logged("e", runs)[0]) == [
        {
            "place": "toys",
            "columns": ["gradient ratio", "distance, image", "tokens an item"],
            "rows": [
                ("100", "clip_td", ["1.5 → 0.02", "0.6 → 0.35", "2"]),
                ("100", "naive_kd", ["3", "", ""]),
            ],
        }
    ]


def test_two_students_of_a_data_set_are_not_mixed() -> None:
    runs = [run(student, "mad", 1, {4: {"gradient_ratio": 1.0}}) for student in ("uniter_toy", "vilt_toy")]
    assert [table["place"] for table in teaching.tables(training.logged("e", runs)[0])] == [
        "toys uniter_toy",
        "toys vilt_toy",
    ]
    loss = training.curves(training.logged("e", runs)[0])["loss"]
    assert list(loss) == [("toys uniter_toy", "100"), ("toys vilt_toy", "100")]
    assert loss["toys vilt_toy", "100"]["mad"][4] == [4.0]


def test_runs_without_a_teacher_or_a_journal_make_no_table() -> None:
    alone = run("vilt_toy", "finetune", 1, {})
    assert teaching.tables(training.logged("e", [alone, {**alone, "seed": 2}])[0]) == []
