import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sealed import seal

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import stop_request
from vlkd_steps.steps import extract
from vlkd_steps.teachers.features import rounds
from vlkd_steps.teachers.features.store import FeatureStore
from vlkd_steps.teachers.models import clip


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A data set of four images, two of them for training, and a tiny CLIP with random weights."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_file(clip.create("vlkd-scenes", None)[0].state_dict(), "weights.safetensors")
    rows = []
    for number in range(4):
        Image.effect_noise((48, 48), 20 + 40 * number).convert("RGB").save(f"{number}.png")
        rows.append((["learn", "test"][number % 2], f"i{number}", f"{number}.png", f"what color is the {number} star?"))
    layout.instances("toy").parent.mkdir(parents=True)
    frame = pl.DataFrame(rows, schema=["split", "image_id", "image_path", "text"], orient="row").with_columns(
        instance_id=pl.lit("1"), choices=pl.lit([], pl.List(pl.String)), answer_type=pl.lit(""), extra=pl.lit("{}")
    )
    frame.write_parquet(layout.instances("toy"))
    seal()
    teacher = {
        "name": "tiny",
        "kind": "clip",
        "model": "vlkd-scenes",
        "weights": "weights.safetensors",
        "device": "cpu",
    }
    return {"teacher": teacher, "dataset": {"name": "toy", "task": "vqa", "roles": {"train": {"split": "learn"}}}}


def run(config, *more: str) -> int:
    return extract.main(["--config", json.dumps(config), *more])


def test_extracts_the_training_rows_with_the_real_model(config) -> None:
    assert run(config, "--log", "logs/extract.log") == 0
    store = FeatureStore.open(layout.features("tiny", "toy"))
    store.verify()
    assert store.manifest["rows"]["image"] == 2
    assert json.loads(layout.provenance(layout.features("tiny", "toy")).read_text())["made"]["image"] == 2
    teacher = clip.load(config["teacher"])
    expected = teacher.embed_images([teacher.load_image(Path(name)) for name in ("0.png", "2.png")])
    np.testing.assert_array_equal(store.images(["i0", "i2"]), expected)
    words, states = store.word_states("what color is the 2 star?")
    assert words == ["what", "color", "is", "the", "2", "star"]
    assert states.shape == (6, 96)
    np.testing.assert_allclose(store.words(["star"]), teacher.embed_texts(["star"])[0], atol=1e-5)
    log = Path("logs/extract.log").read_text()
    assert "[extract tiny toy] done" in log
    assert "[extract tiny toy] zero-shot: an image is nearer to its own text than to another image's in " in log
    assert "(chance: 50.0 %, 2 items)" in log
    assert "warning: that is not above chance" in log  # random weights


def test_words_are_embedded_in_their_own_template(config) -> None:
    config["teacher"]["word_template"] = "a {}"
    assert run(config) == 0
    store, teacher = FeatureStore.open(layout.features("tiny", "toy")), clip.load(config["teacher"])
    np.testing.assert_allclose(store.words(["star"]), teacher.embed_texts(["a star"])[0], atol=1e-5)
    question = "what color is the 2 star?"
    np.testing.assert_allclose(store.texts([question]), teacher.embed_texts([question])[0], atol=1e-5)


def test_the_teachers_own_splits_win(config) -> None:
    config["teacher"]["splits"] = ["learn", "test"]
    assert run(config) == 0
    assert FeatureStore.open(layout.features("tiny", "toy")).manifest["rows"]["image"] == 4


def test_mistakes_end_in_one_message(config, capsys) -> None:
    config["teacher"]["splits"] = ["train"]
    assert run(config) == 2
    assert "has no rows of split train, only learn, test; set the teacher's `splits`" in capsys.readouterr().err
    config["dataset"]["name"] = "absent"
    assert run(config) == 2
    assert "data/instances/absent.parquet is missing; prepare the data set first" in capsys.readouterr().err


@pytest.mark.slow
def test_slices_and_the_last_job_make_one_store(config) -> None:
    config["teacher"] |= {"shard_size": 1, "splits": ["learn", "test"]}
    folder = layout.features("tiny", "toy")
    for number in range(2):
        assert not rounds.slice_done(folder, "r", number)
        assert extract.work({**config, "round": "r", "slice": [number, 2]}) == 0
        assert rounds.slice_done(folder, "r", number)
    assert not rounds.finished(folder, "r")
    assert extract.work({**config, "round": "r"}) == 0
    assert rounds.finished(folder, "r")
    store = FeatureStore.open(folder)
    store.verify()
    assert len(store.shards) == 4 + 3 * 4 + 9
    assert sorted(path.name for path in folder.iterdir()) == [store.key[:16], "manifest.json", "provenance.json"]
    copy = folder / store.key[:16] / "manifest.json"
    copy.write_bytes(copy.read_bytes().replace(b"shards", b"Shards"))
    assert not rounds.finished(folder, "r")  # so that a damaged copy is not published, but made again


def test_a_late_worker_of_a_finished_round_loads_no_teacher(config, root) -> None:
    assert extract.work({**config, "round": "r"}) == 0
    code = "import sys, json; from vlkd_steps.steps import extract; assert extract.work(json.loads(sys.argv[1])) == 0;"
    code += "assert 'torch' not in sys.modules"
    late = json.dumps({**config, "round": "r"})
    subprocess.run([sys.executable, "-c", code, late], check=True, env={**os.environ, "PYTHONPATH": str(root)})


HOLD = """
import pathlib, sys, time
from vlkd_steps.core import locks
with locks.exclusive(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(2)
    pathlib.Path("ended").touch()
"""


def test_a_second_one_waits_for_the_first(config, root, monkeypatch, capsys) -> None:
    """Each would remove the other's shards, which have other keys."""
    folder, launched = layout.features("tiny", "toy"), []
    monkeypatch.setattr(extract, "launch", lambda work: launched.append(Path("ended").exists()) or 2)
    command = [sys.executable, "-c", HOLD, str(folder.with_name(f".{folder.name}.lock"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)}) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        assert run(config) == 2
    assert launched == [True]
    assert f"waits for process {first.pid} on " in capsys.readouterr().err


def test_a_signal_stops_it(config) -> None:
    with stop_request() as stop:
        stop.signal_number = 12
        assert run(config) == 140
    assert not layout.features_manifest("tiny", "toy").exists()


def test_a_manifest_that_snakemake_deleted_is_put_back(config) -> None:
    """The workers of a killed submitter had finished before the step was started again."""
    assert run(config) == 0
    manifest = layout.features_manifest("tiny", "toy")
    content = manifest.read_bytes()
    manifest.unlink()
    rounds.publish(manifest.parent)
    assert manifest.read_bytes() == content


def test_an_extraction_that_ended_without_a_manifest_is_a_mistake(config) -> None:
    with pytest.raises(UserError, match=r"features/tiny/toy/manifest.json is missing: its workers were lost; start"):
        rounds.publish(layout.features("tiny", "toy"))


def test_a_round_outlives_a_killed_submitter_and_no_ended_one(config, monkeypatch) -> None:
    submission = layout.submission("extract", "tiny", "toy")
    assert rounds.begin(submission, "k" * 64) == rounds.begin(submission, "k" * 64)
    assert rounds.begin(submission, "k" * 64) != rounds.begin(submission, "l" * 64)
    rounds.end(submission)
    assert not submission.exists()
    monkeypatch.setenv("VLKD_LAUNCHER", "nowhere")
    assert run(config) == 2
    assert not submission.exists()


def test_a_submitter_stays_small(config, root) -> None:
    """Hundreds wait at once on a login node: at most 80 MB each (here all that is done beside submitting)."""
    code = """if True:
        import json, sys
        from vlkd_steps.core import layout
        from vlkd_steps.steps.extract import rounds
        config = json.loads(sys.argv[1])
        rounds.begin(layout.submission("extract", "tiny", "toy"), rounds.job_key(config))
        assert not {"torch", "polars", "numpy"} & set(sys.modules)
        print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
    """
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code, json.dumps(config)], env=environment, stdout=subprocess.PIPE)
    assert 0 < int(done.stdout) < 80_000
