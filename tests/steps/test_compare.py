import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import synthetic_results
from sealed import seal

from vlkd_steps.core import layout
from vlkd_steps.evaluation.significance import by_image, pigeonhole_bootstrap, two_way
from vlkd_steps.steps import compare, evaluate

RESULTS = Path("results/scenes")


def prepared(config: dict) -> dict:
    synthetic_results.write(config, images=100, questions=2, steps=4)
    for each in synthetic_results.evaluations(config):
        assert evaluate.main(["--config", json.dumps(each)]) == 0
    return config


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(tmp_path)
    return prepared(
        synthetic_results.configuration(shots=("100", "300"), datasets=("scenes_vqa",), sets=("test", "other_style"))
    )


def run(config: dict) -> int:
    return compare.main(["--config", json.dumps(config)])


def rows(name: str = "gains.csv") -> list[dict[str, str]]:
    with (RESULTS / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def row(variant: str, shot: str = "100", evaluation_set: str = "test") -> dict[str, str]:
    wanted = {"variant": variant, "shot": shot, "evaluation_set": evaluation_set}
    [found] = [each for each in rows() if wanted.items() <= each.items()]
    return found


def scores(variant: str, seed: int) -> pl.DataFrame:
    folder = layout.run("scenes", "scenes_vqa", "vilt_scenes", variant, "100", seed)
    return pl.read_parquet(layout.scores(folder, "test"))


def test_the_columns_are_those_of_the_documentation(config: dict) -> None:
    assert run(config) == 0
    assert (RESULTS / "summary.csv").read_text().splitlines()[0] == (
        "dataset,student,teacher,method,variant,shot,seed,evaluation_set,metric,value,n,run_key"
    )
    assert (RESULTS / "gains.csv").read_text().splitlines()[0] == (
        "dataset,student,variant,method,teacher,shot,evaluation_set,metric,seeds,n,images,mean,sd,floor,learned,"
        "reference_mean,gain,gain_low,gain_high,p,p_holm,bootstrap_low,bootstrap_high,grouped"
    )


def test_a_seed_at_the_floor_is_not_counted_as_learned(config: dict) -> None:
    for seed, score in ((10, pl.col("floor")), (11, pl.lit(1.0)), (12, pl.lit(1.0))):
        path = layout.scores(layout.run("scenes", "scenes_vqa", "vilt_scenes", "clip_td", "100", seed), "test")
        table = pl.read_parquet(path)
        table.with_columns(score=score).write_parquet(path)
    seal()
    assert run(config) == 0
    assert float(row("clip_td")["floor"]) == pytest.approx(100 * table["floor"].mean(), abs=1e-4)
    assert (row("clip_td")["learned"], row("clip_td")["seeds"]) == ("2", "10 11 12")


def test_scores_without_a_floor_say_nothing_of_learning(config: dict) -> None:
    for path in Path("runs").rglob("scores/*.parquet"):
        pl.read_parquet(path).drop("floor").write_parquet(path)
    seal()
    assert run(config) == 0
    assert {(each["floor"], each["learned"]) for each in rows()} == {("", "")}


def test_summary_has_every_run_and_set_with_its_key(config: dict) -> None:
    run(config)
    summary = rows("summary.csv")
    assert len(summary) == 18 * 2
    first = config["runs"][0]
    metrics = json.loads(layout.metrics(layout.run("scenes", *(first[k] for k in
                         ("dataset", "student", "variant", "shot", "seed")))).read_text())  # fmt: skip
    assert float(summary[0]["value"]) == metrics["test"]["accuracy"]
    assert [each["run_key"] for each in summary[:4:2]] == [f"{0:016x}", f"{1:016x}"]


def test_gain_is_the_paired_difference_with_the_two_way_interval(config: dict) -> None:
    run(config)
    found = row("clip_td")
    differences = np.stack(
        [100 * (scores("clip_td", s)["score"] - scores("finetune", s)["score"]).to_numpy() for s in (10, 11, 12)]
    )
    expected = two_way(*by_image(differences, scores("finetune", 10)["image_id"].to_list()))
    assert (found["seeds"], found["n"], found["images"]) == ("10 11 12", "200", "100")
    assert float(found["gain"]) == pytest.approx(differences.mean(), abs=1e-4)
    assert float(found["gain_low"]) == pytest.approx(expected.low, abs=1e-4)
    assert float(found["gain_high"]) == pytest.approx(expected.high, abs=1e-4)
    assert float(found["p"]) == pytest.approx(expected.p, rel=1e-3)
    assert float(found["mean"]) - float(found["reference_mean"]) == pytest.approx(float(found["gain"]), abs=2e-4)
    assert float(found["bootstrap_low"]) < float(found["gain"]) < float(found["bootstrap_high"])


def test_images_with_more_questions_weigh_more(config: dict) -> None:
    """Half of the images have one question: the gain is the difference of the means that the table shows."""
    for path in Path("runs").rglob("scores/*.parquet"):
        number = pl.int_range(pl.len())
        pl.read_parquet(path).filter((number < 100) | (number % 2 == 0)).write_parquet(path)
    seal()
    assert run(config) == 0
    found = row("clip_td")
    differences = np.stack(
        [100 * (scores("clip_td", s)["score"] - scores("finetune", s)["score"]).to_numpy() for s in (10, 11, 12)]
    )
    of_images, items = by_image(differences, scores("finetune", 10)["image_id"].to_list())
    [drawn] = pigeonhole_bootstrap([of_images], items)
    assert (found["n"], found["images"]) == ("150", "100")
    assert float(found["gain"]) == pytest.approx(differences.mean(), abs=1e-4)
    assert float(found["mean"]) - float(found["reference_mean"]) == pytest.approx(float(found["gain"]), abs=2e-4)
    assert (float(found["bootstrap_low"]), float(found["bootstrap_high"])) == pytest.approx(drawn, abs=1e-4)


def test_seeds_in_groups_have_a_p_value_and_no_t_interval(config: dict) -> None:
    for seed, share in ((10, 0.1), (11, 0.9), (12, 0.2)):
        path = layout.scores(layout.run("scenes", "scenes_vqa", "vilt_scenes", "clip_td", "100", seed), "test")
        table = pl.read_parquet(path)
        table.with_columns(score=pl.Series(np.arange(len(table)) < share * len(table)).cast(pl.Float64)).write_parquet(
            path
        )
    seal()
    run(config)
    found = row("clip_td")
    assert (found["grouped"], found["gain_low"], found["gain_high"]) == ("1", "", "")
    assert float(found["p"]) >= 0.25  # the smallest of a sign-flip test of three seeds
    assert row("finetune")["grouped"] == ""


def test_holm_is_over_the_whole_table(config: dict) -> None:
    run(config)
    tested = sorted((float(each["p"]), float(each["p_holm"])) for each in rows() if each["p"])
    assert len(tested) == 8
    assert tested[0][1] == pytest.approx(min(1.0, 8 * tested[0][0]), rel=1e-3)


def test_the_reference_has_mean_and_sd_and_no_gain(config: dict) -> None:
    run(config)
    found = row("finetune")
    means = [100 * scores("finetune", seed)["score"].mean() for seed in (10, 11, 12)]
    assert float(found["mean"]) == pytest.approx(np.mean(means), abs=1e-4)
    assert float(found["sd"]) == pytest.approx(np.std(means, ddof=1), abs=1e-4)
    assert [found[c] for c in ("gain", "gain_low", "p", "p_holm", "bootstrap_low", "reference_mean")] == [""] * 6


@pytest.mark.parametrize("without", ["finetune", "clip_td"])
def test_only_common_seeds_are_compared(config: dict, without: str) -> None:
    config["runs"] = [each for each in config["runs"] if not (each["variant"] == without and each["seed"] == 12)]
    run(config)
    found = row("clip_td")
    assert found["seeds"] == "10 11"
    for column, variant in (("mean", "clip_td"), ("reference_mean", "finetune")):
        means = [100 * scores(variant, seed)["score"].mean() for seed in (10, 11)]
        assert float(found[column]) == pytest.approx(np.mean(means), abs=1e-4)


def test_one_common_seed_gives_a_gain_without_an_interval(config: dict, capsys: pytest.CaptureFixture) -> None:
    config["runs"] = [each for each in config["runs"] if each["seed"] == 10]
    assert run(config) == 0
    found = row("clip_td")
    assert found["gain"] != ""
    assert [found[column] for column in ("sd", "gain_low", "gain_high", "p", "bootstrap_low")] == [""] * 5
    assert "8 of them have no interval: it takes two seeds or more" in capsys.readouterr().err


def test_without_the_reference_there_is_no_gain(config: dict) -> None:
    config["runs"] = [each for each in config["runs"] if each["variant"] != "finetune"]
    assert run(config) == 0
    assert {each["gain"] for each in rows()} == {""}
    assert all(each["mean"] and each["sd"] for each in rows())


def test_the_headline_is_the_best_method_at_the_last_shot_on_the_test_set(config: dict) -> None:
    stale = RESULTS / "metrics/of_a_larger_grid.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    run(config)
    assert [path.name for path in (RESULTS / "metrics").iterdir()] == ["scenes_vqa.json"]
    best = max((row(variant, "300") for variant in ("naive_kd", "clip_td")), key=lambda each: float(each["mean"]))
    found = json.loads((RESULTS / "metrics/scenes_vqa.json").read_text())
    assert (found.pop("method"), found.pop("shot")) == (best["variant"], "300")
    columns = {"best": "mean", "base": "reference_mean", "gain": "gain", "low": "gain_low", "high": "gain_high"}
    assert found == {key: pytest.approx(float(best[column]), abs=0.006) for key, column in columns.items()}


def test_a_headline_leaves_out_what_cannot_be_had(config: dict) -> None:
    config["runs"] = [each for each in config["runs"] if each["variant"] == "finetune"]
    run(config)
    mean = round(float(row("finetune", "300")["mean"]), 2)
    found = json.loads((RESULTS / "metrics/scenes_vqa.json").read_text())
    assert found["best"] == found["base"] == pytest.approx(mean, abs=0.011)
    assert set(found) == {"method", "shot", "best", "base"}


def test_equal_inputs_give_equal_bytes_also_with_more_threads(config: dict, root: Path) -> None:
    run(config)
    names = ["summary.csv", "gains.csv", "metrics/scenes_vqa.json"]
    before = [(RESULTS / name).read_bytes() for name in names]
    subprocess.run(
        [sys.executable, "-m", "vlkd_steps.steps.compare", "--config", json.dumps(config)],
        env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PATH": ""},
        check=True,
    )
    assert [(RESULTS / name).read_bytes() for name in names] == before


def test_a_run_that_was_not_evaluated_is_named(config: dict, capsys: pytest.CaptureFixture) -> None:
    folder = layout.run("scenes", "scenes_vqa", "vilt_scenes", "naive_kd", "300", 11)
    layout.metrics(folder).unlink()
    assert run(config) == 2
    stderr = capsys.readouterr().err
    assert f"{layout.metrics(folder)} is missing" in stderr
    assert f"snakemake --cores 1 -f {layout.metrics(folder)}" in stderr
    assert not (RESULTS / "summary.csv").exists()


def test_missing_scores_are_named(config: dict, capsys: pytest.CaptureFixture) -> None:
    path = layout.scores(layout.run("scenes", "scenes_vqa", "vilt_scenes", "naive_kd", "300", 11), "test")
    path.unlink()
    assert run(config) == 2
    assert f"{path} is missing" in capsys.readouterr().err


@pytest.mark.parametrize("accuracy", ["NaN", "Infinity", "1e300", "-5", '"high"', "100.1", "true"])
def test_metrics_that_no_metric_gives_are_refused(config: dict, accuracy: str, capsys: pytest.CaptureFixture) -> None:
    path = layout.metrics(layout.run("scenes", "scenes_vqa", "vilt_scenes", "naive_kd", "300", 11))
    content = json.loads(path.read_text())
    content["test"]["accuracy"] = "?"
    path.write_text(json.dumps(content).replace('"?"', accuracy))
    seal()
    assert run(config) == 2
    assert str(path) in capsys.readouterr().err
    assert not (RESULTS / "summary.csv").exists()


def test_metrics_that_were_changed_after_evaluation_are_refused(config: dict, capsys: pytest.CaptureFixture) -> None:
    path = layout.metrics(layout.run("scenes", "scenes_vqa", "vilt_scenes", "naive_kd", "300", 11))
    content = json.loads(path.read_text())
    content["test"]["accuracy"] += 1
    path.write_text(json.dumps(content))
    assert run(config) == 2
    assert f"{path} is damaged" in capsys.readouterr().err


def test_runs_scored_on_other_items_are_refused(config: dict, capsys: pytest.CaptureFixture) -> None:
    path = layout.scores(layout.run("scenes", "scenes_vqa", "vilt_scenes", "clip_td", "100", 12), "test")
    table = pl.read_parquet(path)
    table.tail(-1).write_parquet(path)
    seal()
    assert run(config) == 2
    error = capsys.readouterr().err
    first = layout.scores(layout.run("scenes", "scenes_vqa", "vilt_scenes", "finetune", "100", 10), "test")
    assert f"{first} holds instance test-000000-0, {path} does not" in error


def test_the_order_of_scores_does_not_matter(config: dict) -> None:
    run(config)
    before = (RESULTS / "gains.csv").read_bytes()
    path = layout.scores(layout.run("scenes", "scenes_vqa", "vilt_scenes", "clip_td", "100", 12), "test")
    pl.read_parquet(path).reverse().write_parquet(path)
    seal()
    assert run(config) == 0
    assert (RESULTS / "gains.csv").read_bytes() == before


def test_an_evaluation_set_that_metrics_lack_is_named(config: dict, capsys: pytest.CaptureFixture) -> None:
    config["datasets"][0]["evaluation_sets"] = ["test", "other_style", "new_shift"]
    assert run(config) == 2
    assert "has no evaluation set new_shift (it has other_style, test)" in capsys.readouterr().err


def test_an_empty_grid_is_an_error(config: dict, capsys: pytest.CaptureFixture) -> None:
    assert run({**config, "runs": []}) == 2
    assert "experiment scenes has no runs to compare" in capsys.readouterr().err


def test_light_steps_import_no_torch(root: Path) -> None:
    """Importing it costs five CPU-seconds, for each of dozens of processes."""
    code = (
        "import sys, vlkd_steps.steps.evaluate, vlkd_steps.steps.compare, vlkd_steps.steps.report;"
        "import vlkd_steps.cli.table;"
        "import vlkd_steps.metrics.vqa, vlkd_steps.metrics.accuracy;"
        "print(sorted({'torch', 'transformers', 'open_clip', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
