"""Open MLflow for this project's runs: bring it up to date, serve it on 127.0.0.1, and print links.

    vlkd ui [--port 5000] [--tracking-uri U]

Ends with Ctrl-C. If MLFLOW_TRACKING_URI names a server, that one is brought up to date and its links are printed.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Annotated

from typer import Option

from vlkd_steps.cli import command, track
from vlkd_steps.config import composition
from vlkd_steps.core import environment, layout, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.redaction import redacted
from vlkd_steps.core.step import log
from vlkd_steps.core.terminal import say
from vlkd_steps.reporting import mlflow_links, mlflow_view
from vlkd_steps.reporting.mlflow_links import HOST, PORT
from vlkd_steps.tracking import address, mlflow_environment
from vlkd_steps.tracking.mlflow_sync import MlflowSync, deleted_are_skipped
from vlkd_steps.tracking.outages import Outage

PORTS_TRIED = 50
LAST_PORT = 65535
STARTUP = 120.0  # seconds that a server may take to answer


@command.single("ui", __doc__)
def main(
    port: Annotated[int, Option(min=1, max=LAST_PORT, help="if it is busy, the next free one is used")] = PORT,
    tracking_uri: Annotated[str | None, Option(help="default: MLFLOW_TRACKING_URI, or a local sqlite file")] = None,
) -> int:
    step.log_to(None)
    environment.use_own()
    composition.use_plugins()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # TERM ends the server too, as Ctrl-C does
    uri = address.tracking_uri(tracking_uri)
    try:
        experiments = [each for each in track.experiments() if caught_up(each, uri)]
        if uri.lower().startswith("http"):
            print_links(redacted(uri), uri, experiments)
            return 0
        with contextlib.suppress(KeyboardInterrupt), served(uri, used := free_port(port)) as (page, server):
            mlflow_links.remember(used)
            print_links(page, uri, experiments)
            say("Ctrl-C ends it.", flush=True)
            return server.wait()
    except Outage as outage:
        remedy = "start the server, or unset MLFLOW_TRACKING_URI to use the local file"
        raise UserError(f"{outage}; {remedy}") from outage
    return 0


def caught_up(experiment: str, uri: str) -> bool:
    """Bring an experiment up to date; False, and logged, where it was deleted in MLflow.

    Raises:
        Outage: MLflow cannot be reached.
    """
    with deleted_are_skipped():
        track.catch_up(experiment, uri)
        return True
    return False


def print_links(page: str, uri: str, experiments: Sequence[str]) -> None:
    """Print links to the experiments, and link their reports; one that was deleted in MLflow is logged and left out.

    Raises:
        Outage: MLflow cannot be reached.
    """
    for experiment in experiments:
        with deleted_are_skipped():
            _print_links(page, uri, experiment)
    say(flush=True)


def _print_links(page: str, uri: str, experiment: str) -> None:
    """Print links to an experiment's tables and charts, one for each data set and student, and link its report."""
    sync = MlflowSync(uri, experiment)
    sync.connect()
    mlflow_links.write(experiment, page, sync.experiment_id, sync.run_ids())
    say(f"\n{experiment}")
    for shown, key in (("means over seeds", mlflow_view.MEANS), ("all runs", mlflow_view.NESTED)):
        say(f"  {shown}: {mlflow_view.table_link(page, sync.experiment_id, key)}")
    for dataset, student in dict.fromkeys(folder.parts[-5:-3] for folder in layout.run_folders(experiment)):
        for shown, key_of in (("mean gains", mlflow_view.means_key), ("gains", mlflow_view.view_key)):
            link = mlflow_view.compare_link(page, sync.experiment_id, key_of(dataset, student))
            say(f"  {shown} on {dataset}, {student}: {link}")


def free_port(wanted: int) -> int:
    """The wanted port, or the next free one.

    Raises:
        UserError: all of the next ports are taken.
    """
    last = min(wanted + PORTS_TRIED - 1, LAST_PORT)
    for port in range(wanted, last + 1):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            if port != wanted:
                log.info("port %d is taken; using %d", wanted, port)
            return port
    raise UserError(f"ports {wanted} to {last} are all taken; choose another with --port")


@contextlib.contextmanager
def served(uri: str, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An MLflow server over a database during the block; yields its address and process once it answers.

    Raises:
        UserError: it ended, or does not answer.
    """
    mlflow_environment.set_defaults()
    started = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    started += ["--workers", "1", "--uvicorn-opts", "--log-level warning"]
    # No helper processes for unused services, no deprecation warnings.
    variables = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    variables["MLFLOW_BACKEND_STORE_URI"] = uri  # not as an argument, which every user can see
    server = subprocess.Popen(started, env=variables, start_new_session=True)
    try:
        page = f"http://{HOST}:{port}"
        wait_until_healthy(page, server)
        yield page, server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)  # the server has worker processes of its own
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


def wait_until_healthy(page: str, server: subprocess.Popen[bytes]) -> None:
    """Return when the server answers.

    Raises:
        UserError: it ended, or did not answer within two minutes.
    """
    until = time.monotonic() + STARTUP
    while time.monotonic() < until:
        if server.poll() is not None:
            raise UserError(f"the MLflow server ended with status {server.returncode}; its last messages are above")
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"{page}/health", timeout=2),
        ):
            return
        time.sleep(0.3)
    raise UserError(f"the MLflow server at {page} does not answer after {STARTUP:.0f} s; try again, or another --port")


if __name__ == "__main__":
    raise SystemExit(main())
