"""Run the graph, keep MLflow up to date meanwhile, and print the results.

    vlkd run                              the experiment of params.yaml, on this machine
    vlkd run scenes_smoke                 a preset
    vlkd run scenes_smoke --profile slurm
    vlkd run -n                           only list what would run

EXPERIMENT, if given, is the first argument; all others are passed to snakemake (snakemake --help). Without
--profile and SNAKEMAKE_PROFILE the profile is profiles/local. On Ctrl-C, TERM or a closed terminal the running steps
save and end; a second signal ends them at once. The exit status is snakemake's. The same command continues where the
last one stopped.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import typer

from vlkd_steps.cli import command
from vlkd_steps.core import experiment_option, files, layout, locks, project_folder
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say

PROFILE = "profiles/local"
LOG = Path("logs/track.log")
RECORDS = Path(".snakemake")
"""Where Snakemake writes, also if it only lists."""
ENVIRONMENTS = ("conda", "conda-archive", "singularity")
"""Folders of RECORDS that may lead to ones that a group shares, which only one of them may write."""
SNAKEMAKE = "import signal; signal.signal(2, signal.SIG_DFL); from snakemake.cli import main; main()"
"""`snakemake`, started so that Ctrl-C ends it without a traceback even while it loads."""
DRY_RUN = re.compile(r"-[npqkFr]*n[npqkFr]*|--dry-?run")
PRINTS = (
    "--dag", "--rulegraph", "--filegraph", "--d3dag", "-S", "--summary", "-D", "--detailed-summary", "-l", "--list",
    "--list-rules", "--lt", "--list-target-rules", "--lc", "--list-changes", "--li", "--list-input-changes", "--lp",
    "--list-params-changes", "--lu", "--list-untracked", "--lint", "--unlock", "-v", "--version",
)  # fmt: skip
"""Options with which Snakemake only prints something; no results belong below that."""
NAMED = re.compile(r"(--config=)?experiment=(!!str )?")
LAST_LOOK = 120.0  # seconds that MLflow may take to be brought up to date after the run


@command.single("run", __doc__, cls=command.Verbatim, options_metavar="[EXPERIMENT] [SNAKEMAKE OPTIONS]")
def main(ctx: typer.Context) -> int:
    words = list(ctx.args)
    given = words.pop(0) if words and not words[0].startswith("-") else None
    named = next((NAMED.sub("", word, count=1) for word in words if NAMED.match(word)), None)
    command.experiment(named if given is None else given)
    if given and any(word in ("-C", "--config") or word.startswith("--config=") for word in words):
        raise UserError(f"{given} and --config both name what to run, but snakemake takes one --config; leave one out")
    project_folder.check(Path("Snakefile"), Path("params.yaml"))
    if importlib.util.find_spec("snakemake") is None:
        raise ModuleNotFoundError(name="snakemake")
    check_records()
    options = [*([f"--config={experiment_option.entry(given)}"] if given else []), *profile(words), *words]
    if any(DRY_RUN.fullmatch(word) or word.partition("=")[0] in PRINTS for word in words):
        return listed(options)
    experiment = given or named or experiment_of(Path("params.yaml"))
    with contextlib.suppress(KeyboardInterrupt), tracker(experiment) as tracking:
        if status := snakemake(options):
            if status > 128:  # ended by a second signal
                tracking.kill()
            if status != 2:  # 2: refused before any job
                remedy = "the message is above, logs/ has the rest. The same command continues from here."
                say(f"The run stopped; {remedy}", file=sys.stderr)
            return status
        return show(experiment)
    return 128 + signal.SIGINT


def check_records() -> None:
    """Refuse a folder into which Snakemake cannot write its records.

    Raises:
        UserError: it is such a one.
    """
    there = [RECORDS, *RECORDS.iterdir()] if RECORDS.is_dir() else [Path.cwd()]
    own = [path for path in there if path.is_dir() and path.name not in ENVIRONMENTS]
    if locked := [path for path in own if not files.writable(path)]:
        raise UserError(
            f"snakemake cannot keep its records: you may not write into {locked[0]}; allow it, or work in a copy of "
            "the project where you may"
        )


def profile(options: Sequence[str]) -> list[str]:
    """The profile's option, if the user has not named one."""
    named = any(word == "--profile" or word.startswith("--profile=") for word in options)
    return [] if named or os.environ.get("SNAKEMAKE_PROFILE") else ["--profile", PROFILE]


def experiment_of(params: Path) -> str:
    """The name in params.yaml; snakemake checks that it is a preset."""
    from vlkd_steps.config import composition

    return composition.read_params(params).experiment


def show(experiment: str) -> int:
    """Print the results table, if there is one; a partial run of the graph may have none."""
    path = layout.results(experiment) / "gains.csv"
    if not path.is_file():
        say(f"no table: {path} does not exist yet", file=sys.stderr)
        return 0
    from vlkd_steps.cli import table

    if why := outdated(experiment):
        say(f"note: this table may be of an earlier run: {why}", file=sys.stderr)
    return table.main([experiment])


def outdated(experiment: str) -> str:
    """Why the results may not be those of the configuration and code as they are now, as after a run of a part."""
    from vlkd_steps.config import composition
    from vlkd_steps.graph import phase_manifest

    try:
        return phase_manifest.outdated(composition.compose(experiment=experiment))
    except UserError as mistake:
        return str(mistake)


def listed(options: Sequence[str]) -> int:
    """A call that only prints. What does not go to a terminal is written here: on a full disk Snakemake logs a
    traceback a line."""
    if sys.stdout.isatty():
        return snakemake(options)
    with tempfile.TemporaryFile() as output:
        status = snakemake(options, output)
        output.seek(0)
        with contextlib.suppress(BrokenPipeError), open(1, "wb", closefd=False) as stdout:
            shutil.copyfileobj(output, stdout)
    return status


def snakemake(options: Sequence[str], output: IO[bytes] | None = None) -> int:
    """Run snakemake and return its exit status or, as in a shell, 128 plus the signal that ended it.

    It has its own process group, so that it receives each signal once: a signal to this process or its group
    (Ctrl-C, kill, a closed terminal) is forwarded to snakemake, which ends its jobs (`graph.stopping`).
    """
    started: list[subprocess.Popen[bytes]] = []

    def forward(number: int, frame: object) -> None:
        if not started:
            raise KeyboardInterrupt
        if number not in (signal.SIGTSTP, signal.SIGCONT):
            started[0].send_signal(number)
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started[0].pid, number)
        if number == signal.SIGTSTP:
            os.kill(os.getpid(), signal.SIGSTOP)

    forwarded = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGCONT)
    with handled(dict.fromkeys(forwarded, forward)):
        command = [sys.executable, "-c", SNAKEMAKE, *options]
        started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, process_group=0))
        status = started[0].wait()
    return status if status >= 0 else 128 - status


@contextlib.contextmanager
def handled(handlers: Mapping[signal.Signals, object]) -> Iterator[None]:
    """Handle these signals during the block, except those that this process ignores (nohup)."""
    before = {number: signal.getsignal(number) for number in handlers}
    try:
        for number, handler in handlers.items():
            if before[number] != signal.SIG_IGN:
                signal.signal(number, handler)  # type: ignore[arg-type]
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tracker_log() -> IO[bytes]:
    """Where the tracker's messages go; nowhere if the folder may not be written, which Snakemake then says.

    What an earlier run left there is dropped, unless its tracker still writes: Snakemake refuses a second run later.
    """
    try:
        LOG.parent.mkdir(exist_ok=True)
        log = LOG.open("ab")
    except OSError:
        return Path(os.devnull).open("wb")
    if locks.is_open(LOG) is False:
        log.truncate(0)
    locks.mark_open(log)  # the tracker inherits the mark
    return log


@contextlib.contextmanager
def tracker(experiment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `vlkd track --follow` during the block, in its own session, so that Ctrl-C does not end it too early.

    TERM ends it after a last update. If it fails, one line gives the reason, and the exit status is unaffected.
    """
    again = ["track", experiment]
    with tracker_log() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vlkd_steps", *again, "--follow", "--until-pid", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            failed = process.wait(LAST_LOOK)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            failed = process.wait()
        if failed:
            known = failed > 0 and LOG.is_file()
            lines = LOG.read_text(encoding="utf-8", errors="replace").splitlines() if known else []
            reason = lines[-1] if lines else f"run vlkd {' '.join(again)}"
            say(f"The runs are not in MLflow: {reason}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
