import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlkd_steps import tasks
from vlkd_steps.core.errors import UserError
from vlkd_steps.splits import low_shot

rows = st.lists(st.tuples(st.integers(0, 12), st.sampled_from("abcd")), min_size=1, max_size=120).map(
    lambda items: pl.DataFrame(
        {
            "instance_id": [f"q{n}" for n in range(len(items))],
            "image_id": [f"i{image}" for image, _ in items],
            "stratum": [stratum for _, stratum in items],
        }
    )
)
seeds = st.integers(0, 3)


def rounds_of(frame, ids):
    """The how-many-th question of its image each id is, in the given order."""
    image_of = dict(zip(frame["instance_id"], frame["image_id"], strict=True))
    seen: dict[str, int] = {}
    result = []
    for instance_id in ids:
        result.append(seen.get(image_of[instance_id], 0))
        seen[image_of[instance_id]] = result[-1] + 1
    return result


@given(rows, seeds)
def test_every_instance_comes_once(frame, seed):
    assert sorted(low_shot.order(frame, seed)) == sorted(frame["instance_id"])


@given(rows, seeds)
def test_all_first_questions_of_images_precede_all_second_ones(frame, seed):
    rounds = rounds_of(frame, low_shot.order(frame, seed))
    assert rounds == sorted(rounds)


@given(rows, seeds, st.randoms(use_true_random=False))
def test_the_order_of_rows_leaves_no_trace(frame, seed, random):
    positions = list(range(len(frame)))
    random.shuffle(positions)
    assert low_shot.order(frame[positions], seed).to_list() == low_shot.order(frame, seed).to_list()


@given(rows, seeds)
def test_every_stratum_has_its_share_of_every_prefix(frame, seed):
    """Within a round there is one fraction t from which no stratum is a whole item away.

    count(s) = how many ranks k have (k + u_s) / size_s <= t, so |count(s) - t size_s| < 1 for the t at
    which the prefix was cut; such a t exists if and only if the open intervals below have a point in common.
    """
    ids = low_shot.order(frame, seed).to_list()
    rounds = rounds_of(frame, ids)
    stratum_of = dict(zip(frame["instance_id"], frame["stratum"], strict=True))
    for number in set(rounds):
        round_ids = [stratum_of[i] for i, r in zip(ids, rounds, strict=True) if r == number]
        size = {stratum: round_ids.count(stratum) for stratum in set(round_ids)}
        for n in range(1, len(round_ids) + 1):
            count = {stratum: round_ids[:n].count(stratum) for stratum in size}
            low = max((count[s] - 1) / size[s] for s in size)
            high = min((count[s] + 1) / size[s] for s in size)
            assert low < high


@given(rows)
def test_seeds_differ_but_repeat(frame):
    assert low_shot.order(frame, 10).to_list() == low_shot.order(frame, 10).to_list()
    if len(frame) > 30:
        assert low_shot.order(frame, 10).to_list() != low_shot.order(frame, 11).to_list()


def test_the_order_never_changes():
    """A change of these ids changes every published subset: raise VERSION with it."""
    frame = pl.DataFrame(
        {
            "instance_id": [f"q{n}" for n in range(8)],
            "image_id": ["a", "a", "b", "b", "c", "c", "d", "d"],
            "stratum": ["x", "y"] * 4,
        }
    )
    assert low_shot.VERSION == 1
    assert low_shot.order(frame, 10).to_list() == ["q2", "q7", "q1", "q5", "q6", "q0", "q4", "q3"]


@pytest.mark.parametrize(
    ("shot", "expected"), [("300", 300), ("1pct", 10), ("0.5pct", 5), ("25pct", 250), ("100pct", 1000), ("full", 1000)]
)
def test_shots_are_numbers_percentages_or_full(shot, expected):
    assert low_shot.count(shot, 1000, 1000, "mine") == expected


def test_percentages_are_taken_of_the_official_size():
    assert low_shot.count("1pct", 443_757, 430_000, "vqa_v2") == 4438


@pytest.mark.parametrize(
    ("shot", "message"),
    [
        ("1001", "shot 1001: that is 1001 questions, but mine has 1000 for training; take a smaller one, or full"),
        ("0", "shot '0' is no number"),
        ("1%", "shot '1%' is no number .300., percentage .1pct. or the word full"),
        ("-5", "is no number"),
        ("101pct", "a percentage must be above 0 and at most 100"),
        ("0pct", "a percentage must be above 0"),
        ("0.01pct", r"0\.01 % of 1000 training questions of mine is less than one"),
        ("all", "is no number"),
    ],
)
def test_impossible_shots_are_explained(shot, message):
    with pytest.raises(UserError, match=message):
        low_shot.count(shot, 1000, 1000, "mine")


def test_a_percentage_of_the_official_size_may_be_more_than_there_is():
    with pytest.raises(UserError, match="that is 950 questions, but mine has 900"):
        low_shot.count("95pct", 1000, 900, "mine")


def test_a_shot_counts_items_and_takes_all_their_rows():
    frame = pl.DataFrame(
        {
            "instance_id": ["b-2:rationale", "b-2:answer", "a-1:answer", "a-1:rationale"],
            "answer_type": ["rationale", "answer", "answer", "rationale"],
            "group": [""] * 4,
        }
    )
    task = tasks.load("vcr")
    items = low_shot.counted(frame, task)
    assert items["instance_id"].to_list() == ["a-1", "b-2"]
    assert items["stratum"].to_list() == ["", ""]
    assert low_shot.instances_of(pl.Series(["b-2"]), frame, task).to_list() == ["b-2:answer", "b-2:rationale"]


def test_where_an_item_is_a_row_rows_are_counted_with_their_strata():
    frame = pl.DataFrame({"instance_id": ["q2", "q1"], "answer_type": ["", ""], "group": ["neutral", "entailment"]})
    task = tasks.load("entailment")
    items = low_shot.counted(frame, task)
    assert dict(zip(items["instance_id"], items["stratum"], strict=True)) == {"q1": "entailment", "q2": "neutral"}
    assert low_shot.instances_of(pl.Series(["q2", "q1"]), frame, task).to_list() == ["q2", "q1"]
