"""The rule sets, golden case by golden case: what the authors' published files do, oversights included."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlkd_steps.core.errors import UserError
from vlkd_steps.splits import vcr_rules
from vlkd_steps.splits.vcr_rules import plural, singular

OBJECTS = ["person", "person", "person", "cup"]


def record(question, right, wrong, label=0):
    """Four choices, the right one at `label`; the rationales are the answers turned round."""
    choices = [wrong, wrong, wrong]
    choices.insert(label, right)
    return {
        "annot_id": "val-0",
        "objects": OBJECTS,
        "question": question,
        "answer_choices": choices,
        "answer_label": label,
        "rationale_choices": choices[::-1],
        "rationale_label": 3 - label,
        "answer_orig": "as it was",
    }


def changed(rule, question, right, wrong):
    made = rule(record(question, right, wrong, label=1))
    assert made is not None
    assert made["answer_choices"] == made["rationale_choices"][::-1]
    assert made["answer_orig"] == "as it was"
    return made["answer_choices"][1], made["answer_choices"][0]


Q = ["What", "is", [0], "doing", "?"]


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ([[0], "eats", "."], ["He", "eats", "."]),
        ([[0], "eats", "her", "cake"], ["She", "eats", "her", "cake"]),
        (["Now", [0], "eats", "her", "cake"], ["Now", "she", "eats", "her", "cake"]),
        ([[0], "saw", "her", "and", "his", "Hers"], ["She", "saw", "her", "and", "his", "Hers"]),
        ([[1], "eats"], ["He", "eats"]),  # any one person's tag, not the question's alone
        (["He", "eats"], ["He", "eats"]),  # handled, but nothing to replace
        ([[0], "and", [1], "eat"], [[0], "and", [1], "eat"]),  # two persons
        ([[0], "says", "he", "eats"], [[0], "says", "he", "eats"]),  # a person and a pronoun
        ([[0, 0], "eats"], [[0, 0], "eats"]),  # counts as one person, but is not [0]
        ([[0, 3], "meet"], [[0, 3], "meet"]),
        ([[3], "falls"], [[3], "falls"]),
    ],
)
def test_singular_right_choices(right, expected):
    assert changed(singular, Q, right, ["x"])[0] == expected


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ([[1], "eats", [3], "."], [[0], "eats", [3], "."]),
        (["He", "says", "he", "eats", "his", "cake"], [[0], "says", [0], "eats", "his", "cake"]),
        (["HE", "eats"], ["HE", "eats"]),  # counted in any case, replaced in two
        (["He", "and", "she", "eat"], ["He", "and", "she", "eat"]),  # two pronouns
        ([[0], "eats"], [[0], "eats"]),
        ([[1, 1], "eats"], [[1, 1], "eats"]),
        (["They", "eat"], ["They", "eat"]),
    ],
)
def test_singular_wrong_choices(wrong, expected):
    assert changed(singular, Q, ["x"], wrong)[1] == expected


def test_singular_uses_the_question_when_the_choice_is_undecided():
    assert changed(singular, ["Why", "does", [0], "hold", "her", "cup"], [[0], "eats"], ["x"])[0][0] == "She"
    assert changed(singular, ["Why", "her", "or", "his", [0]], [[0], "eats"], ["x"])[0][0] == "He"


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        (Q, True),
        (["Does", [0], "know", [0]], True),
        (["Does", [0, 3], "fall"], True),  # one person and an object
        (["Do", [0], "and", [1], "talk"], False),
        (["Do", [0, 1], "talk"], False),
        (["Where", "is", [3]], False),
    ],
)
def test_singular_keeps_questions_about_one_person(question, kept):
    assert (singular(record(question, ["x"], ["y"])) is not None) is kept


P = ["What", "do", [1, 0], "share", "?"]


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ([[0, 1], "eat"], ["They", "eat"]),
        (["Now", [0, 2], "eat"], ["Now", "they", "eat"]),
        ([[1, 0], "eat"], [[1, 0], "eat"]),  # unsorted: not recognised
        (["They", "eat"], ["They", "eat"]),
        ([[0, 1], "see", [2, 1]], [[0, 1], "see", [2, 1]]),  # two groups
        ([[2, 2], "eat"], ["They", "eat"]),  # twice the same is a group of two
        ([[0, 3], "meet"], [[0, 3], "meet"]),
    ],
)
def test_plural_right_choices(right, expected):
    assert changed(plural, P, right, ["x"])[0] == expected


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ([[1, 2], "eat"], [[0, 1], "eat"]),  # the question's group, sorted
        (["They", "say", "they", "eat"], [[0, 1], "say", [0, 1], "eat"]),
        (["THEY", "eat"], ["THEY", "eat"]),
        (["They", "see", [0, 2], "and", [1, 2]], [[0, 1], "see", [0, 2], "and", [1, 2]]),
        ([[2, 1], "say", "they", "eat"], [[2, 1], "say", [0, 1], "eat"]),
        ([[2], "eats"], [[2], "eats"]),
    ],
)
def test_plural_wrong_choices(wrong, expected):
    assert changed(plural, P, ["x"], wrong)[1] == expected


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        (P, True),
        (["Do", [0, 0], "eat"], True),
        (Q, False),
        (["Do", [0, 1], "see", [2]], False),
        (["Do", [0, 3], "meet"], False),
        (["Who"], False),
    ],
)
def test_plural_keeps_questions_about_one_group_of_persons(question, kept):
    assert (plural(record(question, ["x"], ["y"])) is not None) is kept


tokens = st.lists(
    st.sampled_from(["he", "She", "they", "They", "HE", "his", "her", "sees", "."])
    | st.lists(st.integers(0, 3), min_size=1, max_size=3),
    min_size=1,
    max_size=6,
)
items = st.tuples(tokens, st.lists(tokens, min_size=8, max_size=8), st.integers(0, 3), st.integers(0, 3)).map(
    lambda parts: {
        "annot_id": "val-1",
        "objects": OBJECTS,
        "question": parts[0],
        "answer_choices": parts[1][:4],
        "rationale_choices": parts[1][4:],
        "answer_label": parts[2],
        "rationale_label": parts[3],
    }
)


@given(items, st.sampled_from(sorted(vcr_rules.RULES)))
def test_a_rule_changes_choices_only_and_leaves_no_shortcut_behind(item, rule):
    before = copy.deepcopy(item)
    made = vcr_rules.RULES[rule](item)
    assert item == before
    if made is None:
        return
    assert list(made) == list(item)
    assert {k: v for k, v in made.items() if "choices" not in k} == {
        k: v for k, v in item.items() if "choices" not in k
    }
    tags = sorted({tag for token in item["question"] if isinstance(token, list) for tag in token if tag != 3})
    group = tags if rule == "singular" else vcr_rules._group(item["question"], OBJECTS)
    for kind in ("answer", "rationale"):
        for number, (old, new) in enumerate(zip(item[f"{kind}_choices"], made[f"{kind}_choices"], strict=True)):
            assert len(old) == len(new)
            for was, now in zip(old, new, strict=True):
                if was != now and number == item[f"{kind}_label"]:
                    assert isinstance(was, list)
                    assert now in ("he", "she", "He", "She", "they", "They")
                elif was != now:
                    assert now == group


def test_unlabelled_annotations_are_refused():
    bare = record(Q, ["x"], ["y"])
    bare.pop("answer_label")
    with pytest.raises(UserError, match="val-0 has no labels, so right and wrong choices are unknown"):
        singular(bare)
