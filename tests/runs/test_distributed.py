"""Two processes against one: the same result up to rounding, and their own bytes again after whatever stops them."""

import json
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from line_model import Line, batch_of, recipe
from safetensors.torch import load_file, save_file
from torch import nn
from toy_pretraining import CLIP_RECIPE

from vlkd_steps.core import distributed, hardware, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.engine import batch_norm, loop
from vlkd_steps.runs import classify, predict, pretrain_clip, pretrain_vilt, seeds
from vlkd_steps.runs.run_dir import RunDir
from vlkd_steps.tracking import journal

ROUNDING = 1e-3  # of the way that the weights went; Adam divides tiny gradients by themselves, so rounding grows
PROCESSES = multiprocessing.get_context("forkserver")
NEEDED = ("runs.classify", "students.vilt", "methods.clip_td", "runs.pretrain_clip", "runs.pretrain_vilt")
PROCESSES.set_forkserver_preload([*(f"vlkd_steps.{name}" for name in NEEDED), "sklearn.linear_model", "yake"])

Strike = tuple[int, int, int]  # in which process, before which batch, which signal comes
NEVER = (0, -1, 0)


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Start the fork server where it finds what it is to import (Python 3.11 does not pass it the path)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        multiprocessing.forkserver.ensure_running()


def attempt(job: Callable[..., Any], *arguments: Any, count: int = 2, strike: Strike = NEVER) -> list[int | None]:
    """Run ``job(*arguments)`` in processes with the environment of torchrun; their exit statuses.

    From a fork server with the imports done: they take five seconds in every process. As a launcher does, it kills the
    others once one was killed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [PROCESSES.Process(target=run, args=(rank, count, port, strike, job, arguments)) for rank in range(count)]
    for process in started:
        process.start()
    end = time.monotonic() + 600  # processes that do not agree would wait for each other
    while any(process.is_alive() for process in started):
        if any(process.exitcode == -signal.SIGKILL for process in started) or time.monotonic() > end:
            for process in started:
                process.kill()
        time.sleep(0.02)
    return [process.exitcode for process in started]


def run(rank: int, count: int, port: int, strike: Strike, job: Callable[..., Any], arguments: Any) -> None:
    """In the child: the job, with a note of every batch in ``computed<rank>.txt``."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    own_order, predict.BATCH = classify.order, 8  # type: ignore[misc]
    pretrain_clip.zero_shot.scenes_accuracy = lambda *_: {}  # type: ignore[assignment]

    def order(*settings: Any) -> Callable[[int], torch.Tensor]:
        numbered = own_order(*settings)

        def batch(number: int) -> torch.Tensor:
            with Path(f"computed{rank}.txt").open("a") as stream:
                stream.write(f"{number}\n")
            if (rank, number) == strike[:2]:
                os.kill(os.getpid(), strike[2])
            return numbered(number)

        return batch

    classify.order = pretrain_vilt.order = order  # type: ignore[assignment]
    try:
        sys.exit(job(*arguments))
    except UserError as error:
        Path(f"error{rank}.txt").write_text(str(error))
        sys.exit(2)


def outputs(job: dict[str, Any]) -> dict[str, bytes]:
    place = RunDir.of(job, 1)
    return {str(path): path.read_bytes() for path in (place.model, *map(place.predictions, place.sets))}


def course(job: dict[str, Any]) -> dict[str, dict[int, float]]:
    place = RunDir.of(job, 1)
    events = journal.by_run(journal.read(layout.journal(place.folder)))[place.run_key]
    return {name: points for name, points in journal.curves(events).items() if name != "step_ms"}


def distance(one: Path, two: Path, start: Path) -> float:
    """How far two trained models are apart, over how far the first one came from their common start."""
    ours, theirs, before = (torch.cat([t.double().flatten() for t in load_file(p).values()]) for p in (one, two, start))
    return float((ours - theirs).norm() / (ours - before).norm())


def steady(job: dict[str, Any], **training: Any) -> dict[str, Any]:
    """The job without dropout, which every process draws for itself."""
    architecture = job["student"]["architecture"] | {"hidden_dropout_prob": 0.0}
    student = job["student"] | {"architecture": architecture}
    return job | {"student": student, "training": job["training"] | training}


def trained(job: dict[str, Any]) -> RunDir:
    count = job["training"]["processes"]
    assert attempt(seeds.train_seeds, job, count=count) == [0] * count
    return RunDir.of(job, 1)


@pytest.mark.usefixtures("project", "teacher")
@pytest.mark.parametrize(
    ("method", "accumulation", "processes"),
    [
        ("clip_td", 1, 2),
        pytest.param("finetune", 2, 2, marks=pytest.mark.exhaustive),
        pytest.param("clip_td", 2, 4, marks=pytest.mark.exhaustive),
    ],
)
def test_several_processes_train_as_one_does(
    job: dict[str, Any], clip_td: dict[str, Any], method: str, accumulation: int, processes: int
) -> None:
    job = steady(clip_td if method == "clip_td" else job, accumulation=accumulation)
    jobs = [job | {"training": job["training"] | {"processes": count}} for count in (1, processes)]
    jobs.append(steady(jobs[0], learning_rate=1e-30))
    one, two, start = map(trained, jobs)
    assert 0 < distance(one.model, two.model, start.model) < ROUNDING
    ours, theirs = course(jobs[0]), course(jobs[1])
    assert ours.keys() == theirs.keys()
    assert {"loss/task", "gradient_norm", "dev/accuracy"} < ours.keys()
    for name, points in ours.items():  # losses, the gradient's norm, the terms' ratio, the score of the dev set
        assert theirs[name] == pytest.approx(points, rel=1e-4), name

    two.model.replace(one.model)  # the same weights give the same bytes, whoever predicts
    for name in one.sets:
        one.predictions(name).unlink()
    one.finish(one.model)
    trained(jobs[0])
    for name in one.sets:
        assert one.predictions(name).read_bytes() == two.predictions(name).read_bytes()


def pretrained(pretrain: Callable[..., None], config: dict[str, Any], **changes: Any) -> Path:
    """The weights of a model after `pretrain`."""
    settings = config["pretrain"] | changes
    name = f"{config['name']}-{len(list(Path('models').glob('*')))}"
    count = settings.get("processes", 1)
    assert attempt(pretrain, config | {"name": name, "pretrain": settings}, count=count) == [0] * count
    return layout.model_weights(name)


def curve(weights: Path) -> Any:
    return json.loads((weights.parent / "curve.json").read_text())


def test_a_vilt_is_pretrained_by_two_as_by_one(model: dict[str, Any]) -> None:
    model["architecture"] |= {"hidden_dropout_prob": 0.0}
    model["pretrain"] |= {"accumulation": 2}
    changes: list[dict[str, Any]] = [{}, {"processes": 2}, {"learning_rate": 1e-30}]
    one, two, start = (pretrained(pretrain_vilt.pretrain, model, **change) for change in changes)
    assert 0 < distance(one, two, start) < ROUNDING
    for name, points in curve(one).items():
        assert curve(two)[name][-1] == pytest.approx(points[-1], rel=1e-4)


@pytest.mark.parametrize(
    ("corpus", "tolerance"),
    # Turning the batch round in one process moves the gradient of the first case by 2e-3: its rounding errors are large
    [
        pytest.param({"stream": "scenes"}, 0.05, marks=pytest.mark.exhaustive),
        ({"stream": None, "corpus": "toy", "split": "train"}, ROUNDING),
    ],
)
def test_a_clip_is_pretrained_by_two_as_by_one(project: Path, corpus: dict[str, Any], tolerance: float) -> None:
    recipe = CLIP_RECIPE | {"steps": 3, "single_object_legs": 9, "evaluate_every": 9, "dtype": "float32"} | corpus
    config = {"name": "clip_toy", "kind": "clip", "model": "vlkd-scenes", "pretrain": recipe}
    changes: list[dict[str, Any]] = [{}, {"processes": 2}, {"learning_rate": 1e-30}]
    one, two, start = (pretrained(pretrain_clip.pretrain, config, **change) for change in changes)
    assert 0 < distance(one, two, start) < tolerance
    assert curve(two)[-1]["loss"] == pytest.approx(curve(one)[-1]["loss"], abs=1e-3)


class Convolution(nn.Module):
    """A batch norm within, and a loss over all pairs of rows: each couples the rows of all processes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Conv2d(4, 2, 3))
        self.temperature = nn.Parameter(torch.tensor(3.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = distributed.gathered(self.body(images).flatten(1))
        return (self.temperature * features @ features.T).softmax(1).diagonal().log().mean()


def gradients(target: str) -> None:
    accelerator = hardware.accelerator(
        {"device": "cpu", "precision": "fp32", "processes": int(os.environ["WORLD_SIZE"])}
    )
    torch.manual_seed(0)
    bare = Convolution().double().train()
    batch_norm.share(bare)
    images = torch.randn(6, 3, 6, 6, dtype=torch.float64)
    wrapped = accelerator.prepare(bare)
    accelerator.backward(wrapped(images[distributed.share()]))
    found = {name: parameter.grad for name, parameter in bare.named_parameters()} | dict(bare.named_buffers())
    save_file(found, f"{target}{distributed.rank()}.safetensors")


def test_what_couples_rows_has_the_exact_gradient_in_double_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert attempt(gradients, "one", count=1) == [0]
    assert attempt(gradients, "two") == [0, 0]
    alone, first, second = (load_file(f"{name}.safetensors") for name in ("one0", "two0", "two1"))
    assert alone.keys() == first.keys()
    for name, gradient in alone.items():
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(first[name], gradient, rtol=1e-9, atol=1e-12)
        assert torch.equal(first[name], second[name])


@pytest.fixture
def two(project: Path, job: dict[str, Any]) -> tuple[dict[str, Any], dict[str, bytes], dict[str, Any]]:
    """A job of two processes with dropout, its outputs and its curves when nobody interrupts it."""
    job["training"] |= {"processes": 2}
    assert attempt(seeds.train_seeds, job) == [0, 0]
    found = outputs(job), course(job)
    clear(project)
    return job, *found


def clear(project: Path) -> None:
    (project / "runs").rename(project / "runs of before")
    for name in project.glob("computed*.txt"):
        name.unlink()


@pytest.mark.parametrize(
    "strike",
    [
        (1, 5, signal.SIGTERM),
        pytest.param((0, 0, signal.SIGUSR2), marks=pytest.mark.exhaustive),
        pytest.param((1, 11, signal.SIGTERM), marks=pytest.mark.exhaustive),
    ],
)
def test_a_signal_to_one_process_stops_both_and_nothing_is_computed_twice(two: Any, strike: Strike) -> None:
    job, expected, curves = two
    status = 128 + strike[2]
    assert attempt(seeds.train_seeds, job, strike=strike) == [status, status]
    assert not RunDir.of(job, 1).finished()
    assert attempt(seeds.train_seeds, job) == [0, 0]
    for rank in (0, 1):
        assert Path(f"computed{rank}.txt").read_text().split() == [str(number) for number in range(12)]
    assert (outputs(job), course(job)) == (expected, curves)
    starts = [e for e in journal.read(layout.journal(RunDir.of(job, 1).folder)) if e["event"] == "start"]
    assert [event["attempt"] for event in starts] == [1, 2], "only one process writes the journal"


@pytest.mark.exhaustive
@pytest.mark.parametrize("rank", [0, 1])
def test_killed_they_repeat_the_steps_since_the_last_checkpoint(two: Any, rank: int) -> None:
    job, expected, curves = two
    assert attempt(seeds.train_seeds, job, strike=(rank, 6, signal.SIGKILL))[rank] == -signal.SIGKILL
    assert attempt(seeds.train_seeds, job) == [0, 0]
    repeated = Path(f"computed{rank}.txt").read_text().split()
    assert repeated == [str(number) for number in (*range(7), *range(4, 12))]  # checkpoint_every: 4
    assert (outputs(job), course(job)) == (expected, curves)


def test_a_folder_in_use_ends_both_and_one_reports_it(project: Path, job: dict[str, Any]) -> None:
    job["training"] |= {"processes": 2}
    with RunDir.of(job, 1).lock():
        assert attempt(seeds.train_seeds, job) == [2, 2]
    assert "is in use by another process" in Path("error0.txt").read_text()
    assert not Path("error1.txt").exists()


def spoiled(steps: int) -> None:
    """A loss that is infinite in step 6 of process 1 alone."""
    accelerator = hardware.accelerator({"device": "cpu", "precision": "fp32", "processes": 2})
    line = Line(spoil=5 if distributed.rank() else None)
    place = loop.RunContext(Path("checkpoints"), Path("batch.safetensors"), "key", "toy", loop.no_log)
    loop.train(line, lambda numbers: map(own_batch, numbers), recipe(steps=steps), place, 1, accelerator, StopRequest())


def own_batch(number: int) -> Any:
    return batch_of(10 * distributed.rank() + number)


def test_a_loss_that_is_not_a_number_in_one_process_ends_both_and_keeps_that_ones_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert attempt(spoiled, 8) == [2, 2]
    assert "the loss of step 6 is not a finite number (task inf" in Path("error0.txt").read_text()
    assert load_file("batch.safetensors")["images"][:, 0, 0, 0].tolist() == [16, 17]


def elsewhere(job: dict[str, Any]) -> int:
    """Process 1 works in another folder, as on a node that does not share the file system."""
    if os.environ["RANK"] == "1":
        os.chdir("other")
    return seeds.train_seeds(job)


def test_processes_that_do_not_share_a_folder_refuse_to_continue(project: Path, job: dict[str, Any]) -> None:
    job["training"] |= {"processes": 2}
    Path("other").mkdir()
    for name in ("data", "words.txt"):
        Path("other", name).symlink_to(Path(name).resolve())
    assert attempt(seeds.train_seeds, job, strike=(0, 5, signal.SIGTERM)) == [143, 143]
    assert attempt(elsewhere, job) == [2, 2]
    said = Path("error0.txt").read_text()
    assert "do not see the same runs/toys/toy/vilt_toy/finetune/30/s1/checkpoints/last.safetensors" in said
    assert "must be on a file system that all nodes share" in said


@pytest.mark.slow
@pytest.mark.exhaustive
def test_under_torchs_launcher_a_killed_process_takes_the_others_with_it(project: Path, job: dict[str, Any]) -> None:
    job["training"] |= {"processes": 2, "steps": 100_000, "evaluate_every": 0}
    Path("job.json").write_text(json.dumps(job))
    script = (
        "import json, sys; from vlkd_steps.steps import distill; sys.exit(distill.train(json.load(open('job.json'))))"
    )
    Path("train.py").write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py"]
    environment = os.environ | {"PYTHONPATH": str(Path(loop.__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as launcher:
        checkpoint = RunDir.of(job, 1).checkpoints / "last.safetensors"
        until(checkpoint.is_file)
        children = [
            int(child) for child in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
        ]
        begun = time.monotonic()
        os.kill(children[-1], signal.SIGKILL)
        launcher.communicate(timeout=300)
    assert launcher.returncode == 1
    assert time.monotonic() - begun < 45  # it gives them 30 s to end by themselves
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def until(done: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)
