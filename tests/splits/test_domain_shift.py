import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import position
from vlkd_steps.splits import domain_shift

ROLES = {
    "train": {"split": "train"},
    "dev": {"split": "train", "share": 0.3},
    "extra": {"split": "train", "share": 0.2},
    "test": {"split": "val"},
}


def frame(images, split="train"):
    return pl.DataFrame(
        {"instance_id": [f"{split}{n}" for n in range(len(images))], "image_id": images, "split": [split] * len(images)}
    )


def assign(rows, roles=ROLES):
    return domain_shift.assign(rows, {"name": "mine", "roles": roles})


@given(st.lists(st.integers(0, 300), min_size=1), st.randoms(use_true_random=False))
def test_images_never_straddle_roles_and_nothing_is_lost(extra, random):
    images = [f"i{n}" for n in [*range(100), *extra]]
    random.shuffle(images)
    rows = pl.concat([frame(images), frame(["v1", "v1"], "val")])
    roles = assign(rows)
    assert sum(len(part) for part in roles.values()) == len(rows)
    sets = {role: set(part["image_id"]) for role, part in roles.items()}
    assert sum(map(len, sets.values())) == len(set.union(*sets.values()))


def test_a_share_is_of_images_and_the_same_for_every_data_set():
    one = assign(pl.concat([frame([f"i{n}" for n in range(3000)]), frame(["v"], "val")]))
    other = assign(pl.concat([frame([f"i{n}" for n in range(3000) for _ in range(2)]), frame(["v"], "val")]))
    assert set(one["dev"]["image_id"]) == set(other["dev"]["image_id"])
    assert one["dev"]["image_id"].n_unique() / 3000 == pytest.approx(0.3, abs=0.03)
    assert one["extra"]["image_id"].n_unique() / 3000 == pytest.approx(0.2, abs=0.03)


def test_the_position_of_an_image_is_for_ever():
    assert position("139", "role") == pytest.approx(0.7113297484734697, abs=1e-12)
    assert position("139", "role") != position("139", "adapt")


def test_other_columns_and_the_order_of_rows_stay():
    rows = frame([f"i{n}" for n in range(200)])
    part = assign(rows, {"train": {"split": "train"}, "dev": {"split": "train", "share": 0.5}})["train"]
    assert part.columns == rows.columns
    assert part["instance_id"].to_list() == [i for i in rows["instance_id"] if i in set(part["instance_id"])]


def test_shares_that_make_up_the_whole_are_not_more_than_it():
    shares = {"a": 0.05, "b": 0.55, "c": 0.3, "d": 0.1}
    assert sum(shares.values()) > 1  # by the last bit
    images = [str(number) for number in range(100)]
    made = assign(frame(images), {role: {"split": "train", "share": share} for role, share in shares.items()})
    assert sorted(image for part in made.values() for image in part["image_id"]) == sorted(images)


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"dev": {"split": "valid"}}, r"mine: roles\.dev\.split is 'valid'; there are train"),
        ({"dev": {"share": 0.1}}, r"roles\.dev is .*; write split, and share if any"),
        ({"dev": {"split": "train", "shar": 0.1}}, r"roles\.dev is .*; write split, and share if any"),
        ({"dev": {"split": "train"}, "train": {"split": "train"}}, "roles dev and train take the same split 'train'"),
        ({"dev": {"split": "train", "share": 1.5}}, r"the shares of split 'train' are .*; each in \(0, 1\)"),
        (
            {
                "dev": {"split": "train", "share": 0.7},
                "test": {"split": "train", "share": 0.3},
                "train": {"split": "train"},
            },
            "role 'train' takes what the shares of split 'train' leave, which is nothing",
        ),
        ({"dev": {"split": "train", "share": 1e-9}}, "role 'dev' is empty: split 'train' has only 3 images"),
    ],
)
def test_mistakes_in_roles_are_explained(roles, message):
    with pytest.raises(UserError, match=message):
        assign(frame(["a", "b", "c"]), roles)
