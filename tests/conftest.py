"""Fixtures that every test may use."""

import errno
import logging
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# One thread: tests run side by side on few cores, and sums differ with the thread count.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# On a busy machine any example may take long: no test is about time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# A shell that runs the tests in the background lets them, and all that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: workers take whole files, and the last to start should be short."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """The package's log as at the start, after each test: a command that was run in it took the log from `caplog`."""
    yield
    log = logging.getLogger("vlkd_steps")
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    log.setLevel(logging.NOTSET)
    log.propagate = True


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """The environment as at the start, after each test: commands set variables of the process that they run in."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real sample data beside the project; a test that needs it skips where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the sample data {folder.relative_to(ROOT.parent)} is not beside the project")
    return folder


@pytest.fixture
def closed_folders(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Folders, added by the test, that may not be listed: also where the tests run as root, whom no mode stops."""
    closed: set[Path] = set()
    listed = os.scandir

    def scandir(path: str | Path = ".") -> object:
        if not isinstance(path, int) and Path(path) in closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return closed
