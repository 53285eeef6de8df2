import pytest
from hypothesis import given
from hypothesis import strategies as st
from official_files import write_lines

from vlkd_steps.core.errors import UserError
from vlkd_steps.splits import vcr_masking
from vlkd_steps.splits.vcr_masking import MASK, Masking, masked, unmarked

RECORD = {"annot_id": "val-0", "answer_choices": [[[0, 1], "eat", "."]] * 4, "rationale_choices": [["b", "c"]] * 4}


def scores(folder, answer=(1.0, 4.0, 2.0, 3.0), rationale=(1.0, 2.0), **more):
    line = {"annot_id": "val-0", "answer_losses": [list(answer)] * 4, "rationale_losses": [list(rationale)] * 4, **more}
    return write_lines(folder / "scores.jsonl", [line])


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ("adv_top_1", [[0], MASK, "eat", "."]),
        ("keep_top_1", [[1], MASK, MASK, MASK]),
        ("keep_top_3", [[1], MASK, "eat", "."]),
        ("keep_top_5", [[0, 1], "eat", "."]),
    ],
)
def test_what_is_masked(tmp_path, rule, answer):
    made = Masking(rule, scores(tmp_path))(RECORD)
    assert made["answer_choices"] == [answer] * 4
    assert RECORD["answer_choices"][0] == [[0, 1], "eat", "."]
    assert list(made) == list(RECORD)


def test_ties_fall_as_in_the_authors_files(tmp_path):
    """argmax takes the first of equals, argsort()[-1] the last."""
    path = scores(tmp_path, rationale=(2.0, 2.0))
    assert Masking("adv_top_1", path)(RECORD)["rationale_choices"][0] == [MASK, "c"]
    assert Masking("keep_top_1", path)(RECORD)["rationale_choices"][0] == [MASK, "c"]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12))
def test_the_numbers_of_masks(losses):
    for keep in vcr_masking.KEEP.values():
        masking = object.__new__(Masking)
        masking.keep = keep
        assert sum(masking.masks(losses)) == (max(0, len(losses) - keep) if keep else 1)


def test_masked_references_of_the_authors_are_understood():
    assert unmarked([[0, 10_001], "a", [10_002], [3]]) == [[0], MASK, "a", MASK, [3]]
    assert unmarked([[0, 1], "a"]) == [[0, 1], "a"]
    assert masked([[0, 1]], [True, True]) == [MASK, MASK]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer_losses": [[1.0, 2.0]] * 4}, "val-0 has 2 answer_losses for choice 0, which has 4 tokens"),
        ({"annot_id": "val-1"}, "has no scores for val-0; a set in which some items are masked and others are not"),
        ({"answer_losses": [[1.0]] * 3}, "line 1.answer_losses: must be 4 lists of numbers, one number per token"),
        ({"answer_losses": [["x"]] * 4}, "line 1.answer_losses: must be 4 lists of numbers"),
    ],
)
def test_scores_that_do_not_fit_are_refused(tmp_path, change, message):
    with pytest.raises(UserError) as caught:
        Masking("adv_top_1", scores(tmp_path, **change))(RECORD)
    assert message in str(caught.value)


def test_scores_of_an_annotation_that_is_there_twice_are_refused(tmp_path):
    path = scores(tmp_path)
    path.write_text(2 * path.read_text())
    with pytest.raises(UserError, match="line 2: annot_id val-0 is there twice"):
        Masking("adv_top_1", path)


def test_an_unknown_rule(tmp_path):
    with pytest.raises(UserError, match="VCR has no masking rule 'top_2'; there are adv_top_1, keep_top_1"):
        Masking("top_2", scores(tmp_path))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 400])
def test_scores_that_are_not_numbers_are_refused(tmp_path, value):
    path = tmp_path / "scores.jsonl"
    line = '{"annot_id": "val-0", "answer_losses": [[1, 2], [1, %s], [1, 2], [1, 2]], "rationale_losses": [[1]]}'
    path.write_text(line % value + "\n")
    with pytest.raises(UserError, match=r"scores\.jsonl: line 1.*(not a finite number|no number of JSON|too large)"):
        vcr_masking.read(path)
