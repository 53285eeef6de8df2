import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlkd_steps.core.errors import UserError
from vlkd_steps.splits import changing_priors

KINDS = ["what color", "is there", "how many"]
questions = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from("abcdefgh"), st.sampled_from(["cat", "dog", "red bus", "tree"])),
    min_size=12,
    max_size=80,
)


def assign(items, share=0.5):
    groups = [(kind, answer) for kind, answer, _ in items]
    return groups, changing_priors.assign(groups, [f"{kind} {thing}?" for kind, _, thing in items], share)


@given(questions, st.randoms(use_true_random=False))
def test_groups_are_not_divided_test_keeps_its_share_and_the_order_leaves_no_trace(items, random):
    try:
        groups, part_of = assign(items)
    except UserError:
        return  # one group alone is more than the share
    assert set(part_of) == set(groups)
    assert set(part_of.values()) <= {"train", "test"}
    assert 0 < sum(part_of[group] == "test" for group in groups) <= len(groups) / 2
    random.shuffle(items)
    assert assign(items)[1] == part_of


def test_priors_of_a_question_type_differ():
    """Every answer of a type is on one side alone, and both sides have several answers of it."""
    items = [(kind, answer, f"thing {n}") for kind in KINDS for n, answer in enumerate("abcdefgh" * 3)]
    _, part_of = assign(items, 1 / 3)
    for kind in KINDS:
        sides = {part_of[kind, answer] for answer in "abcdefgh"}
        assert sides == {"train", "test"}


def test_training_covers_the_words_of_test():
    """After each group of test, the free group that shares most of its words goes to training."""
    items = [("what", f"answer {n}", f"word{n // 2}") for n in range(40)]
    _, part_of = assign(items, 0.5)
    for n in range(0, 40, 2):
        assert {part_of["what", f"answer {n}"], part_of["what", f"answer {n + 1}"]} != {"test"}


def test_a_share_of_every_group_is_exchanged():
    groups = [("what", answer) for answer in "ab" for _ in range(1000)]
    part_of = {("what", "a"): "train", ("what", "b"): "test"}
    parts = changing_priors.divide(range(2000), groups, part_of, 0.2)
    assert 170 < parts[:1000].count("test") < 230
    assert 170 < parts[1000:].count("train") < 230
    assert changing_priors.divide(range(2000), groups, part_of) == ["train"] * 1000 + ["test"] * 1000
    with pytest.raises(UserError, match="exchanged is 1; it must be 0 or more and below 1"):
        changing_priors.divide([1], groups[:1], part_of, 1)


def test_the_division_never_changes():
    """A change of these sides changes every published re-split: raise VERSION with it."""
    items = [(kind, answer, "cat") for kind in KINDS for answer in "abc"]
    _, part_of = assign(items, 1 / 3)
    assert changing_priors.VERSION == 1
    assert sorted(" ".join(group) for group, part in part_of.items() if part == "test") == GOLDEN


GOLDEN = ["how many b", "how many c", "what color a"]


@pytest.mark.parametrize(
    ("share", "message"),
    [(0.0, "test_share is 0.0; it must be between 0 and 1"), (0.05, "none of the 1 groups .* is small enough for a")],
)
def test_mistakes_are_explained(share, message):
    with pytest.raises(UserError, match=message):
        changing_priors.assign([("what", "cat")] * 10, ["what?"] * 10, share)
