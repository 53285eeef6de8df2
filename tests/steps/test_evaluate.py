import json
from pathlib import Path

import polars as pl
import pytest
import synthetic_results
from sealed import seal

from vlkd_steps import tasks
from vlkd_steps.core import layout
from vlkd_steps.steps import evaluate


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(tmp_path)
    config = synthetic_results.configuration(("finetune",), ("100",), (10, 11), sets=("dev", "test"))
    synthetic_results.write(config, images=8, questions=2, steps=4)
    return config


def run(config: dict) -> list[int]:
    return [evaluate.main(["--config", json.dumps(c)]) for c in synthetic_results.evaluations(config)]


def folder(dataset: str = "scenes_vqa", seed: int = 10) -> Path:
    return layout.run("scenes", dataset, "vilt_scenes", "finetune", "100", seed)


def test_scores_every_item_of_every_seed_and_set(config: dict) -> None:
    assert run(config) == [0, 0]
    for dataset, kinds in (("scenes_vqa", "by_question_type"), ("scenes_ve", "by_label")):
        for seed in (10, 11):
            metrics = json.loads(layout.metrics(folder(dataset, seed)).read_text())
            assert list(metrics) == ["dev", "test"]
            scores = pl.read_parquet(layout.scores(folder(dataset, seed), "test"))
            assert scores.columns == ["instance_id", "image_id", "score", "floor"]
            if dataset == "scenes_ve":
                labels = pl.read_parquet(layout.instances(dataset)).filter(pl.col("split") == "test")["label"]
                assert scores["floor"].sum() == labels.value_counts()["count"].max()
            assert (
                (metrics["test"]["n"], metrics["test"]["images"])
                == (16, 8)
                == (len(scores), scores["image_id"].n_unique())
            )
            assert metrics["test"]["accuracy"] == pytest.approx(100 * scores["score"].mean(), abs=0.005)
            assert metrics["test"][kinds]


def test_the_order_of_predictions_does_not_matter(config: dict) -> None:
    run(config)
    before = layout.scores(folder(), "test").read_bytes()
    path = layout.predictions(folder(), "test")
    pl.read_parquet(path).reverse().write_parquet(path)
    seal()
    run(config)
    assert layout.scores(folder(), "test").read_bytes() == before


def test_equal_inputs_give_equal_bytes(config: dict) -> None:
    run(config)
    paths = [layout.metrics(folder()), layout.scores(folder(), "test")]
    before = [path.read_bytes() for path in paths]
    run(config)
    assert [path.read_bytes() for path in paths] == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.head(15), "has instance test-000007-1 not at all"),
        (lambda table: pl.concat([table, table.head(1)]), "has instance test-000000-0 twice"),
        (
            lambda table: pl.concat([table, table.head(1).with_columns(instance_id=pl.lit("stranger"))]),
            "has instance stranger although it is not in the set",
        ),
    ],
)
def test_predictions_of_another_split_are_refused(config: dict, capsys: pytest.CaptureFixture, change, message) -> None:
    path = layout.predictions(folder(), "test")
    change(pl.read_parquet(path)).write_parquet(path)
    seal()
    assert run(config)[0] == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert message in error
    assert not layout.metrics(folder()).exists()


def test_missing_predictions_are_named(config: dict, capsys: pytest.CaptureFixture) -> None:
    layout.predictions(folder(seed=11), "test").unlink()
    assert run(config)[0] == 2
    assert f"{layout.predictions(folder(seed=11), 'test')} is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "path", [layout.predictions(folder(), "test"), layout.instances("scenes_vqa")], ids=["predictions", "instances"]
)
def test_a_damaged_input_is_named(config: dict, path: Path, capsys: pytest.CaptureFixture) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    assert run(config)[0] == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert f"-f {path}" in error
    assert not layout.metrics(folder()).exists()


def test_a_split_of_other_ids_is_named(config: dict, capsys: pytest.CaptureFixture) -> None:
    path = layout.eval_split("scenes_vqa", "test")
    pl.read_parquet(path).reverse().write_parquet(path)
    assert run(config)[0] == 2
    assert f"{path} is damaged" in capsys.readouterr().err


def test_a_split_of_other_data_is_refused(config: dict, capsys: pytest.CaptureFixture) -> None:
    split = layout.eval_split("scenes_vqa", "test")
    pl.DataFrame({"instance_id": ["test-000000-0", "gone"]}).write_parquet(split)
    seal()
    assert run(config)[0] == 2
    assert (
        f"{split} names instance gone, which {layout.instances('scenes_vqa')} does not have" in capsys.readouterr().err
    )


def test_an_empty_set_is_refused(config: dict, capsys: pytest.CaptureFixture) -> None:
    pl.DataFrame({"instance_id": []}, schema={"instance_id": pl.String}).write_parquet(
        layout.eval_split("scenes_ve", "dev")
    )
    seal()
    assert run(config) == [0, 2]
    assert "is empty: accuracy over no items is not defined" in capsys.readouterr().err


def test_a_metric_that_the_scorer_does_not_give_is_named(
    config: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(type(tasks.load("vqa")), "compared_by", (tasks.Metric("wups"),))
    assert run(config)[0] == 2
    error = capsys.readouterr().err
    assert "dev.wups is None" in error
    assert "task vqa" in error
    assert not layout.metrics(folder()).exists()
