"""Which members of a sweep the page's headline is about."""

from vlkd_steps.reporting.swept import chosen

MEMBERS = {
    name: {"variant": variant, "label": name, "values": {}}
    for variant, names in {"a": ("a_1", "a_2"), "b": ("b_1", "b_2")}.items()
    for name in names
}


def row(variant: str, mean: float, dataset: str = "hard", evaluation_set: str = "dev") -> dict[str, object]:
    return {"variant": variant, "dataset": dataset, "student": "s", "shot": "100", "evaluation_set": evaluation_set,
            "mean": mean}  # fmt: skip


def test_members_are_compared_on_what_all_of_them_have() -> None:
    rows = [row("a_1", 40.0), row("a_2", 30.0), row("a_2", 90.0, "easy"), row("b_1", 1.0), row("b_2", 2.0)]
    assert chosen(rows, MEMBERS) == {"a_1", "b_2"}


def test_all_members_stay_where_dev_cannot_tell() -> None:
    rows = [row("a_1", 40.0), row("a_2", 30.0), row("b_1", 1.0, "easy", "test"), row("b_2", 2.0, "easy", "test")]
    assert chosen(rows, MEMBERS) == {"a_1", "b_1", "b_2"}
    assert chosen([row("a_1", 40.0), row("a_2", 90.0, "easy")], MEMBERS) == {*MEMBERS}
