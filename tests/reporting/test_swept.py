"""Which members of a sweep the page's headline is about."""

from pathlib import Path

from vlkd_steps.reporting import table
from vlkd_steps.reporting.swept import chosen

MEMBERS = {
    name: {"variant": variant, "label": name, "values": {}}
    for variant, names in {"a": ("a_1", "a_2"), "b": ("b_1", "b_2")}.items()
    for name in names
}


def row(variant: str, mean: float, dataset: str = "hard", evaluation_set: str = "dev") -> dict[str, object]:
    return {"variant": variant, "dataset": dataset, "student": "s", "shot": "100", "evaluation_set": evaluation_set,
            "mean": mean, "main": True}  # fmt: skip


def test_members_are_compared_on_what_all_of_them_have() -> None:
    rows = [row("a_1", 40.0), row("a_2", 30.0), row("a_2", 90.0, "easy"), row("b_1", 1.0), row("b_2", 2.0)]
    assert chosen(rows, MEMBERS) == {"a_1", "b_2"}


def test_all_members_stay_where_dev_cannot_tell() -> None:
    rows = [row("a_1", 40.0), row("a_2", 30.0), row("b_1", 1.0, "easy", "test"), row("b_2", 2.0, "easy", "test")]
    assert chosen(rows, MEMBERS) == {"a_1", "b_1", "b_2"}
    assert chosen([row("a_1", 40.0), row("a_2", 90.0, "easy")], MEMBERS) == {*MEMBERS}


def test_only_the_main_metric_of_a_task_chooses(tmp_path: Path) -> None:
    """VCR has three: a_1 is the best in two of them, a_2 in the main one, by which `vlkd tune` chooses."""
    scores = {"a_1": (40, 90, 80), "a_2": (45, 50, 30)}
    lines = [
        f"scenes_vcr,s,{variant},100,dev,{metric},{mean}"
        for variant, means in scores.items()
        for metric, mean in zip(("q_a", "qa_r", "q_ar"), means, strict=True)
    ]
    path = tmp_path / "gains.csv"
    path.write_text("\n".join(["dataset,student,variant,shot,evaluation_set,metric,mean", *lines, ""]))
    members = {name: member for name, member in MEMBERS.items() if member["variant"] == "a"}
    assert chosen(table.read(path, {"scenes_vcr": "vcr"}), members) == {"a_2"}
