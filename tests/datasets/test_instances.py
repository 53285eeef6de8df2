import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import instances


def rows(ids, split="train", **more):
    return instances.table({"instance_id": ids, "image_id": ids, "text": [f"t{i}" for i in ids], **more}, split)


def test_rows_are_sorted_and_missing_columns_filled():
    table = rows(["b", "a"], label=[1, 0])
    assert table.schema == instances.SCHEMA
    assert table["instance_id"].to_pylist() == ["a", "b"]
    assert table["label"].to_pylist() == [0, 1]
    assert table.select(["choices", "soft_labels", "group", "split"]).to_pylist()[0] == {
        "choices": [],
        "soft_labels": [],
        "group": "",
        "split": "train",
    }


def test_splits_are_joined_in_alphabetical_order():
    joined = instances.join({"test": rows(["x"], "test"), "dev": rows(["y"], "dev")})
    assert joined["split"].to_pylist() == ["dev", "test"]


def test_an_id_in_two_splits_is_refused():
    with pytest.raises(UserError, match="the id x is in split 'dev' and in split 'test'"):
        instances.join({"test": rows(["x"], "test"), "dev": rows(["x"], "dev")})


def test_an_id_twice_in_a_split_names_both_rows():
    table = instances.table({"instance_id": ["x", "y", "x"], "image_id": ["1", "2", "3"], "text": ["A", "B", "C"]}, "a")
    with pytest.raises(UserError, match="the id x is there 2 times in split 'a': 'A' on image 1, and 'C' on image 3;"):
        instances.join({"a": table})


def two_items():
    soft = pa.array([[{"label": 1, "score": 0.3}], []], pa.list_(instances.SOFT_LABEL))
    return rows(["a", "b"], soft_labels=soft, label=[1, None])


def test_the_hash_does_not_see_chunks():
    whole = two_items()
    pieces = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 1)])
    assert pieces["text"].num_chunks == 2
    assert instances.table_hash(pieces) == instances.table_hash(whole)


OTHER = {"label": [1, 0], "choices": [["x"], []], "soft_labels": [[{"label": 1, "score": 0.6}], []]}
"""Other values than those of `two_items`; the columns that are not named here are of text."""


@pytest.mark.parametrize("field", instances.SCHEMA, ids=lambda field: field.name)
def test_the_hash_sees_every_column(field):
    other = pa.array(OTHER.get(field.name, ["other", "text"]), field.type)
    changed = two_items().set_column(instances.SCHEMA.get_field_index(field.name), field, other)
    assert instances.table_hash(changed) != instances.table_hash(two_items())


def test_a_letter_moved_to_the_next_row_changes_the_hash():
    one = instances.table({"instance_id": ["a", "b"], "text": ["xy", "z"]}, "train")
    other = instances.table({"instance_id": ["a", "b"], "text": ["x", "yz"]}, "train")
    assert instances.table_hash(one) != instances.table_hash(other)


def test_equal_rows_are_equal_bytes_and_the_hash_travels_with_them(tmp_path):
    whole = rows([f"{n:04d}" for n in range(1000)])
    instances.write(whole, tmp_path / "one.parquet", "pixels")
    instances.write(pa.concat_tables([whole.slice(0, 7), whole.slice(7)]), tmp_path / "two.parquet", "pixels")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert instances.content_hash(tmp_path / "one.parquet") == instances.table_hash(whole)
    assert instances.images_hash(tmp_path / "one.parquet") == "pixels"
    assert instances.read(tmp_path / "one.parquet", ["text"]).to_dict(as_series=False)["text"][:2] == ["t0000", "t0001"]


def test_missing_and_foreign_files_are_explained(tmp_path):
    with pytest.raises(UserError, match=r"none\.parquet is missing; run the prepare step"):
        instances.read(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(UserError, match="is no instances file"):
        instances.content_hash(tmp_path / "bad.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="was not written by the prepare step"):
        instances.content_hash(tmp_path / "other.parquet")
