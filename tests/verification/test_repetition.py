"""`vlkd verify` on runs of the toy project: what it says, its exit status, and that it changes nothing."""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file, save_file

from vlkd_steps.cli import verify
from vlkd_steps.core import files, layout
from vlkd_steps.steps import distill


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scratch projects are made."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def tree(folder: Path) -> dict[str, tuple[int, str]]:
    """Time and content of every file below a folder."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, files.sha256(path)) for path in paths}


def edit_json(path: Path, **changes: Any) -> None:
    files.write_json(path, json.loads(path.read_text()) | changes)


def test_a_run_that_repeats_itself_is_equal_and_nothing_is_changed(
    run: Path, temporary: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    edit_json(run / "provenance.json", python="2.7")
    before = tree(Path.cwd())
    assert verify.main([str(run)]) == 0
    printed, logged = capfd.readouterr()
    assert printed.splitlines()[0] == f"equal: {run}"
    assert f"changed since then, without effect: version of Python: was 2.7, is {platform.python_version()}" in printed
    assert "3 files have equal bytes: model.safetensors, predictions/dev.parquet" in printed
    assert "step 12/12" in logged  # the training's own lines
    assert tree(Path.cwd()) == before
    assert list(temporary.iterdir()) == []


def test_a_changed_tensor_is_named_with_its_difference(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "model.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[1]
    tensors[name].view(-1)[0] += 0.25
    path.unlink()
    save_file(tensors, path, metadata=metadata(run))
    assert verify.main([str(run), "--keep", str(Path.cwd().parent / "kept")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"different: {run}"
    assert f"1 of {len(tensors)} tensors differ, the first is {name} (by at most 0.25)" in lines[1]
    assert "the losses are equal at every step" in lines[2]
    assert "a file was changed after training" in lines[3]
    kept = Path.cwd().parent / "kept" / run
    assert (kept / "predictions/test.parquet").read_bytes() == (run / "predictions/test.parquet").read_bytes()


def metadata(run: Path) -> dict[str, str]:
    from safetensors import safe_open

    kept = next((run / "work").glob("*/model.safetensors"))
    with safe_open(kept, "pt") as stream:
        found: dict[str, str] = stream.metadata()
    return found


def test_a_file_that_was_changed_after_its_job_is_the_likely_cause(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [run / "config.yaml", run / "model.safetensors"]
    entries = {str(path): {"sha256": files.sha256(path), "made_by": "x"} for path in paths}
    files.write_json(layout.phase_manifest("toys", "distill"), {"files": entries})
    then = files.sha256(paths[1])
    tensors = load_file(paths[1])
    name = sorted(tensors)[0]
    tensors[name] = tensors[name].double()
    paths[1].unlink()
    save_file(tensors, paths[1])
    assert verify.main([str(run)]) == 1
    printed = capsys.readouterr().out
    assert f"the first is {name} (was float64" in printed
    assert f"likely cause: {paths[1]}, changed after it was made (sha256 by manifests/toys/distill.json)" in printed
    assert f"was {then[:16]}, is {files.sha256(paths[1])[:16]}" in printed


@pytest.mark.exhaustive
def test_another_thread_count_and_version_are_named_with_both_values(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    provenance = json.loads((run / "provenance.json").read_text())
    versions = provenance["versions"] | {"torch": "1.0"}
    edit_json(run / "provenance.json", threads=7, versions=versions)
    journal = run / "journal.jsonl"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    point = next(event for event in events if event["event"] == "metrics")
    now = point["metrics"]["loss/task"]
    point["metrics"]["loss/task"] = now + 1
    journal.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert verify.main([str(run)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].strip() == f"the losses diverge at step 12: loss/task was {now + 1!r}, is {now!r}"
    assert lines[2].strip() == "likely cause: thread count: was 7, is 1"
    assert lines[3].strip() == f"also version of torch: was 1.0, is {provenance['versions']['torch']}"


@pytest.mark.exhaustive
def test_another_recipe_is_named_by_its_key(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["training"]["learning_rate"] = 0.004
    path.write_text(yaml.safe_dump(config))
    assert verify.main([str(run)]) == 1
    printed = capsys.readouterr().out
    assert "tensors differ" in printed
    assert "rows differ, the first is dev-000: " in printed
    assert "likely cause: training.learning_rate (journal and config.yaml): was 0.005, is 0.004" in printed


@pytest.mark.exhaustive
def test_one_seed_of_several_is_trained(project: Path, job: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    assert distill.main(["--config", json.dumps(job | {"seeds": [1, 2]})]) == 0
    capfd.readouterr()
    second = layout.run("toys", "toy", "vilt_toy", "finetune", "30", 2)
    assert verify.main([str(Path.cwd() / second)]) == 0
    printed, logged = capfd.readouterr()
    assert f"equal: {second}" in printed
    assert "s2] step 12/12" in logged
    assert "s1]" not in logged
    assert verify.main([str(second.parent)]) == 2
    assert f"{second.parent} has 2 runs; name the folder of one seed, such as {second.parent / 's1'}" in (
        capfd.readouterr().err
    )


def test_what_is_no_finished_run_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(folder: Path | str) -> str:
        assert verify.main([str(folder)]) == 2
        return capsys.readouterr().err

    assert "there is no run runs/toys/nothing" in refused("runs/toys/nothing")
    assert "is outside this folder" in refused("/")
    assert "name a folder that does not exist yet, outside the project" in _keep(run, Path("data"), capsys)
    (run / "predictions/test.parquet").rename("moved")
    assert f"{run} is not finished: predictions/test.parquet is missing" in refused(run)
    Path("moved").rename(run / "predictions/test.parquet")
    described = yaml.safe_load((run / "config.yaml").read_text())
    for key, name in (("dataset", "dataset.name"), ("made_of", "made_of.code"), ("run_key", "run_key")):
        kept = {**described, key: "x"} if key != "run_key" else {k: v for k, v in described.items() if k != key}
        (run / "config.yaml").write_text(yaml.safe_dump(kept))
        assert f"{run}/config.yaml has no {name}; restore it" in refused(run)
    (run / "config.yaml").write_text(yaml.safe_dump(described))
    (run / "provenance.json").write_text("[1]")
    assert f"{run}/provenance.json" in refused(run)
    run.rename("copy")
    assert f"copy has the run {run}" in refused("copy")
    Path("copy/config.yaml").write_text("not: [closed")
    assert "copy/config.yaml cannot be read" in refused("copy")
    Path("copy/config.yaml").unlink()
    assert "copy is not a finished run" in refused("copy")


def _keep(run: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert verify.main([str(run), "--keep", str(folder)]) == 2
    return capsys.readouterr().err


def test_a_training_that_cannot_be_repeated_says_on_what_it_was_done(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    edit_json(run / "provenance.json", device="mps:0")
    assert verify.main([str(run)]) == 2
    said = capfd.readouterr().err
    assert "torch sees no such device here" in said
    assert "step distill failed with status 2 for the reason above (the run was trained on mps:0)" in said


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.exhaustive)])
def test_ctrl_c_leaves_nothing(
    project: Path, job: dict[str, Any], root: Path, temporary: Path, number: signal.Signals
) -> None:
    assert distill.main(["--config", json.dumps(job)]) == 0
    run = layout.run("toys", "toy", "vilt_toy", "finetune", "30", 1)
    path = run / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["training"] |= {"steps": 100_000, "evaluate_every": 0}  # long enough to be stopped
    path.write_text(yaml.safe_dump(config))
    before = tree(Path.cwd())
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "vlkd_steps.cli.verify", str(run)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "step " not in process.stderr.readline():
            assert process.poll() is None
        assert len(list(temporary.iterdir())) == 1
        process.send_signal(number)
        said = process.stderr.read()
    assert process.returncode == 128 + number
    assert "stopped; nothing was compared" in said
    assert list(temporary.iterdir()) == []
    assert tree(Path.cwd()) == before
    assert not _trains(temporary)


def _trains(folder: Path) -> list[str]:
    """Processes whose current folder is below this one."""
    time.sleep(0.5)
    found = []
    for each in Path("/proc").glob("[0-9]*/cwd"):
        try:
            where = str(each.readlink())
        except OSError:
            continue
        found += [where] if where.startswith(str(folder)) else []
    return found
