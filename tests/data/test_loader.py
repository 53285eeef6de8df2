import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vlkd_steps.core.errors import UserError
from vlkd_steps.data import loader


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(loader.VARIABLE, "2")


def drawn(number: int) -> torch.Tensor:
    """A batch as a function of its number; later ones are made faster."""
    time.sleep(0.02 / (1 + number))
    return torch.rand(5, generator=torch.Generator().manual_seed(number))


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("depth", [1, 3])
def test_results_are_those_of_the_numbers_in_their_order(
    monkeypatch: pytest.MonkeyPatch, count: int, depth: int
) -> None:
    monkeypatch.setenv(loader.VARIABLE, str(count))
    monkeypatch.setattr(loader, "DEPTH", depth)
    found = list(loader.ahead(drawn, range(3, 12)))
    assert torch.equal(torch.stack(found), torch.stack([drawn(number) for number in range(3, 12)]))


@pytest.mark.usefixtures("two_workers")
def test_the_global_random_state_stays() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    list(loader.ahead(drawn, range(3)))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.usefixtures("two_workers")
def test_results_are_made_while_the_caller_works() -> None:
    made = loader.ahead(lambda number: (number, time.monotonic()), range(6))  # one clock for all processes
    next(made)
    time.sleep(1)
    begun = time.monotonic()
    (first, when), (second, later) = next(made), next(made)
    assert (first, second) == (1, 2)
    assert max(when, later) < begun


@pytest.mark.usefixtures("two_workers")
def test_a_mistake_comes_from_a_worker_as_it_is() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise UserError("image a.jpg cannot be read")
        return number

    made = loader.ahead(make, range(5))
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(UserError) as raised:
        next(made)
    assert str(raised.value) == "image a.jpg cannot be read"


@pytest.mark.usefixtures("two_workers")
def test_a_fault_of_the_program_in_a_worker_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="The size of tensor a") as raised:
        list(loader.ahead(lambda _: torch.ones(2) + torch.ones(3), range(3)))
    assert raised.tb  # holds the iterator
    assert not multiprocessing.active_children()


def test_a_killed_worker_is_named() -> None:
    with pytest.raises(UserError, match=r"killed.*loader_workers"):
        list(loader.ahead(lambda number: os.kill(os.getpid(), signal.SIGKILL), range(3)))


@pytest.mark.parametrize("text", ["-1", "two", "1.5", "²"])
def test_a_wrong_number_of_workers_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(loader.VARIABLE, text)
    with pytest.raises(UserError, match=f"{loader.VARIABLE} is '{text}'"):
        list(loader.ahead(drawn, range(3)))


ENDLESS = """
import os, sys, time
from vlkd_steps.core.interruption import stop_request
from vlkd_steps.data import loader

def make(number):
    open(f"{os.getpid()}.worker", "w").close()
    return number

with stop_request() as stop:
    for number in loader.ahead(make, range(10**6)):
        print("running", flush=True)
        time.sleep(0.01)
        if stop:
            break
print("ended", flush=True)
"""


FAULT = """
import os, sys
from vlkd_steps.data import loader

def make(number):
    open(f"{os.getpid()}.worker", "w").close()
    if sys.argv[1] == "worker" and number == 5:
        raise RuntimeError("boom")
    return number

forked, fork = [], os.fork

def limited():
    forked.append(1)
    if sys.argv[1] == "fork" and len(forked) == 2:
        raise BlockingIOError("boom")
    return fork()

os.fork = limited
for number in loader.ahead(make, range(10**6)):
    if sys.argv[1] == "caller" and number == 5:
        raise RuntimeError("boom")
"""


@pytest.mark.parametrize("where", ["worker", "caller", "fork"])
def test_a_fault_of_the_program_ends_the_process_and_its_workers(tmp_path: Path, root: Path, where: str) -> None:
    """Its traceback holds the iterator, and with it the workers, until the interpreter has gone."""
    environment = {**os.environ, "PYTHONPATH": str(root), loader.VARIABLE: "2"}
    command = [sys.executable, "-c", FAULT, where]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "boom" in done.stderr
    assert not any(map(alive, workers_of(tmp_path)))


@pytest.fixture
def endless(tmp_path: Path, root: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process with two workers that goes on until it is stopped; its own group, as in a terminal."""
    environment = {**os.environ, "PYTHONPATH": str(root), loader.VARIABLE: "2"}
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for _ in range(20):
        assert process.stdout.readline() == "running\n"
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def workers_of(folder: Path) -> list[int]:
    return [int(path.stem) for path in folder.glob("*.worker")]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("strike", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_ends_it_without_a_traceback(
    endless: "subprocess.Popen[str]", tmp_path: Path, strike: signal.Signals
) -> None:
    os.killpg(endless.pid, strike)
    out, err = endless.communicate(timeout=120)
    assert endless.returncode == 0
    assert out.endswith("ended\n")
    assert err == ""
    assert len(workers_of(tmp_path)) == 2
    assert not any(map(alive, workers_of(tmp_path)))


def test_a_killed_process_leaves_no_worker(endless: "subprocess.Popen[str]", tmp_path: Path) -> None:
    endless.kill()
    endless.wait()
    until = time.monotonic() + 120
    while any(map(alive, workers_of(tmp_path))) and time.monotonic() < until:
        time.sleep(0.1)
    assert len(workers_of(tmp_path)) == 2
    assert not any(map(alive, workers_of(tmp_path)))
