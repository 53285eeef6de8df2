import json

import polars as pl
import pytest
from sealed import seal

from vlkd_steps.core import checksums, files, layout
from vlkd_steps.datasets import instances
from vlkd_steps.steps import split

LABELS = ["no", "yes"]


def conf(**more):
    return {
        "name": "mine",
        "task": "vqa",
        "roles": {"train": {"split": "train"}, "dev": {"split": "train", "share": 0.2}, "test": {"split": "val"}},
        "evaluation_sets": ["dev", "test"],
        **more,
    }


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Three questions on each of 200 training and 40 test images, written as prepare writes them."""
    monkeypatch.chdir(tmp_path)
    tables = {}
    for name, images in (("train", range(200)), ("val", range(1000, 1040))):
        ids = [image * 1000 + n for image in images for n in range(3)]
        tables[name] = instances.table(
            {
                "instance_id": [str(i) for i in ids],
                "image_id": [str(i // 1000) for i in ids],
                "text": [f"is there thing {i % 7}?" for i in ids],
                "label": [None if i % 10 == 0 else i % 2 for i in ids],
                "answer_type": ["yes/no"] * len(ids),
                "group": [f"kind {i % 3}" for i in ids],
                "extra": ['{"answers": []}'] * len(ids),
            },
            name,
        )
    return write(tables)


def write(tables):
    joined = instances.join(tables)
    instances.write(joined, layout.instances("mine"), "pixels")
    files.write_json(layout.labels("mine"), LABELS)
    seal()
    return joined


def run(**config):
    return split.main(["--config", json.dumps({"dataset": conf(), **config})])


def ids(path):
    return pl.read_parquet(path)["instance_id"].to_list()


def test_subsets_are_nested_and_each_seed_has_its_own(table):
    assert run(role="train", shots=["50"], seeds=[10, 11]) == 0
    assert run(role="train", shots=["200"], seeds=[10]) == 0
    assert run(role="train", shots=["full"], seeds=[10]) == 0
    small, other = ids(layout.train_split("mine", 50, 10)), ids(layout.train_split("mine", 50, 11))
    larger, full = ids(layout.train_split("mine", 200, 10)), ids(layout.train_split("mine", "full", 10))
    assert (len(small), len(larger)) == (50, 200)
    assert larger[:50] == small
    assert full[:200] == larger
    assert small != other
    assert pl.read_parquet(layout.train_split("mine", 50, 10)).columns == ["instance_id"]


def test_a_subset_of_which_no_answer_is_a_class_is_refused(table, capsys):
    row = table.to_pylist()[0]
    columns = {key: [row[key]] for key in ("instance_id", "image_id", "text", "answer_type", "group", "extra")}
    write({"train": instances.table({**columns, "label": [None]}, "train")})
    whole = conf(roles={"train": {"split": "train"}}, evaluation_sets=[])
    assert run(role="train", shots=["full"], seeds=[1], dataset=whole) == 2
    assert "none of the 1 questions to train on has a class as its answer" in capsys.readouterr().err
    assert not layout.train_split("mine", "full", 1).exists()


def test_percentages_keep_their_name(table):
    assert run(role="train", shots=["10pct"], seeds=[10]) == 0
    manifest = json.loads(layout.split_manifest(layout.train_split("mine", "10pct", 10)).read_text())
    full = sum(row["split"] == "train" for row in table.to_pylist()) - len(dev_ids())
    assert manifest["n"] == round(full / 10)
    assert manifest["shot"] == "10pct"


def dev_ids():
    assert run(role="eval") == 0
    return ids(layout.eval_split("mine", "dev"))


def test_sizes_in_the_conf_are_what_percentages_are_taken_of(table):
    assert run(role="train", shots=["10pct"], seeds=[10], dataset=conf(sizes={"train": 600})) == 0
    assert len(ids(layout.train_split("mine", "10pct", 10))) == 60


def test_evaluation_sets_share_no_image_with_training(table):
    run(role="eval")
    run(role="train", shots=["full"], seeds=[10])
    image = {row["instance_id"]: row["image_id"] for row in table.to_pylist()}
    roles = [layout.train_split("mine", "full", 10), *(layout.eval_split("mine", name) for name in ("dev", "test"))]
    images = [{image[i] for i in ids(path)} for path in roles]
    assert not images[0] & images[1]
    assert not images[0] & images[2]
    assert sum(len(ids(path)) for path in roles) == len(table)
    assert ids(roles[2]) == sorted(ids(roles[2]))


def test_the_manifest_says_what_was_cut_from_what(table):
    run(role="train", shots=["50"], seeds=[10])
    path = layout.train_split("mine", 50, 10)
    manifest = json.loads(layout.split_manifest(path).read_text())
    chosen = [row for row in table.to_pylist() if row["instance_id"] in set(ids(path))]
    assert manifest == {
        "dataset": "mine",
        "role": "train",
        "shot": "50",
        "seed": 10,
        "n": 50,
        "images": 50,
        "labels": {
            "(none)": sum(row["label"] is None for row in chosen),
            "no": sum(row["label"] == 0 for row in chosen),
            "yes": sum(row["label"] == 1 for row in chosen),
        },
        "sha256": manifest["sha256"],
        "source": instances.content_hash(layout.instances("mine")),
        "pixels": instances.images_hash(layout.instances("mine")),
        "instances": checksums.of(layout.instances("mine")),
        "generator_version": 1,
        "leaks": {
            "shared_images": {"dev": 0, "test": 0},
            "near_duplicate_images": {"dev": 0, "test": 0},
            "shared_texts": {"dev": 50, "test": 50},
            "near_duplicate_texts": {"dev": 0, "test": 0},
        },
    }


def test_the_same_bytes_whatever_the_order_of_rows_and_seeds(table):
    run(role="train", shots=["50"], seeds=[10])
    first = layout.train_split("mine", 50, 10).read_bytes()
    layout.train_split("mine", 50, 10).unlink()
    instances.write(table.take(list(reversed(range(len(table))))), layout.instances("mine"), "pixels")
    seal()
    assert run(role="train", shots=["50"], seeds=[11, 10]) == 0
    assert layout.train_split("mine", 50, 10).read_bytes() == first


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"shots": ["5000"]}, "shot 5000: that is 5000 questions, but mine has"),
        ({"shots": ["1%"]}, "shot '1%' is no number (300), percentage (1pct) or the word full"),
        ({"dataset": conf(roles={"test": {"split": "val"}})}, "data set mine has no role train"),
    ],
)
def test_mistakes_are_explained(table, capsys, config, message):
    assert run(**{"role": "train", "shots": ["5"], "seeds": [10], **config}) == 2
    assert message in capsys.readouterr().err
    assert not layout.train_split("mine", 5, 10).exists()


def test_evaluation_mistakes_are_explained(table, capsys):
    assert run(role="eval", dataset=conf(evaluation_sets=["tset"])) == 2
    assert "evaluation set 'tset' is none of its roles dev, test, train; add it" in capsys.readouterr().err
    layout.instances("mine").unlink()
    assert run(role="eval") == 2
    assert "data/instances/mine.parquet is missing; make it again: snakemake" in capsys.readouterr().err


def test_questions_without_annotations_cannot_be_evaluated(table, capsys):
    columns = {"instance_id": ["2"], "image_id": ["7"], "text": ["x"], "answer_type": ["other"]}
    bare = {"instance_id": ["1"], "image_id": ["1"], "text": ["what?"], "extra": ["{}"]}
    write({"train": instances.table(columns, "train"), "val": instances.table(bare, "val")})
    roles = {"train": {"split": "train"}, "test": {"split": "val"}}
    assert run(role="eval", dataset=conf(roles=roles, evaluation_sets=["test"])) == 2
    assert "role 'test' takes split 'val', which has no annotations" in capsys.readouterr().err


def leaking(near=None):
    columns = {"instance_id": ["2"], "image_id": ["7"], "text": ["x"], "answer_type": ["other"], "label": [0]}
    other = columns | {"instance_id": ["3"], "image_id": ["8" if near else "7"]}
    joined = instances.join({"train": instances.table(columns, "train"), "val": instances.table(other, "val")})
    instances.write(joined, layout.instances("mine"), "pixels", near)
    seal()
    roles = {"train": {"split": "train"}, "test": {"split": "val"}}
    return conf(roles=roles, evaluation_sets=["test"])


@pytest.mark.parametrize(
    ("near", "kind"), [(None, "shared_images"), ({"7": 0, "8": 0, "9": 1}, "near_duplicate_images")]
)
@pytest.mark.parametrize("config", [{"role": "eval"}, {"role": "train", "shots": ["1"], "seeds": [1]}])
def test_a_split_that_leaks_stops_unless_it_is_allowed_by_name(table, capsys, near, kind, config):
    dataset = leaking(near)
    assert run(**config, dataset=dataset) == 2
    split_file, role = ("eval-test", "train") if config["role"] == "eval" else ("train-1-s1", "test")
    said = capsys.readouterr().err
    leak = kind.replace("_", " ")
    assert f"data set mine: {split_file} leaks, {leak}: 1 with role {role}." in said
    assert f"params.yaml, overrides: {{datasets.mine.allow_leaks: [{kind}]}}" in said
    assert not (layout.eval_split("mine", "test").parent / f"{split_file}.parquet").exists()
    assert run(**config, dataset=dataset | {"allow_leaks": [kind]}) == 0
    assert f"[split mine] {split_file} has 1 {leak} with role {role}, as allow_leaks allows" in capsys.readouterr().err
    manifest = json.loads((layout.eval_split("mine", "test").parent / f"{split_file}.json").read_text())
    assert manifest["leaks"][kind] == {role: 1}


def test_an_unknown_leak_cannot_be_allowed(table, capsys):
    assert run(role="eval", dataset=leaking() | {"allow_leaks": ["all"]}) == 2
    said = capsys.readouterr().err
    assert "datasets.mine.allow_leaks names 'all'; there are shared_images, near_duplicate_images" in said


def test_a_shot_of_vcr_counts_annotations_and_takes_both_rows(table):
    ids = [f"train-{n}:{kind}" for n in range(40) for kind in ("answer", "rationale")]
    columns = {
        "instance_id": ids,
        "image_id": [f"i{n // 4}" for n in range(80)],
        "text": ["why?"] * 80,
        "label": [0] * 80,
    }
    write({"train": instances.table(columns | {"extra": ["{}"] * 80}, "train")})
    dataset = conf(task="vcr", roles={"train": {"split": "train"}})
    for shot in ("10", "20"):
        assert run(role="train", shots=[shot], seeds=[1], dataset=dataset) == 0
    small, larger = (globals()["ids"](layout.train_split("mine", shot, 1)) for shot in (10, 20))
    assert len(small) == 20
    assert larger[:20] == small
    assert small[1::2] == [one.replace(":answer", ":rationale") for one in small[::2]]
    assert len({columns["image_id"][ids.index(one)] for one in small}) == 10
