"""The command ``vlkd``; ``vlkd COMMAND --help`` describes a subcommand.

A subcommand's module is imported only when it is called, so that ``vlkd --help`` and completion are fast.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from vlkd_steps.cli import command
from vlkd_steps.core.terminal import say

PACKAGE = Path(__file__).absolute().parents[1]
COMMANDS = {
    "init": ("cli.init", "Make a project in a new folder."),
    "init-data": ("cli.init_data", "Describe data of your own in a data-set file."),
    "show": ("cli.show", "Show items of a data set as the pipeline sees them."),
    "run": ("cli.run", "Run the graph and print the results."),
    "plan": ("cli.plan", "Estimate what an experiment takes: jobs, data, disk, hours."),
    "doctor": ("cli.doctor", "Check this machine and project, with a remedy for each fault."),
    "table": ("cli.table", "Print the results of an experiment."),
    "tune": ("cli.tune", "Choose the best values of a sweep by dev."),
    "claims": ("cli.claims", "Test the claims of presets on their runs."),
    "ui": ("cli.ui", "Open MLflow over this project's runs."),
    "track": ("cli.track", "Bring MLflow up to date with the runs' journals."),
    "sync": ("graph.sync", "Make Snakemake agree with DVC after dvc pull or checkout."),
    "ask": ("cli.ask", "Ask a finished run about an image."),
    "export": ("cli.export", "Export a finished run's student for use elsewhere."),
    "demo": ("cli.demo", "Query one or two finished runs on a local page."),
    "verify": ("cli.verify", "Train a finished run again and compare every byte."),
    "score": ("cli.score", "Score any model's prediction files with the official metrics."),
    "shift": ("cli.shift", "Make domain-shifted sets from files in the official formats."),
    "leaderboard": ("cli.leaderboard", "Write the CSV for VCR's leaderboard."),
    "bench": ("cli.bench", "Measure this machine's accelerator."),
}


class Lazy(TyperCommand):
    """A placeholder for a subcommand until it is called, with its name and one line of help."""

    def __init__(self, name: str, module: str, help: str) -> None:
        super().__init__(name, help=help, rich_markup_mode=None)
        self.module = module

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        main = importlib.import_module(f"vlkd_steps.{self.module}").main
        if not isinstance(main, command.Program):  # has its own parser
            main = command.passed_on(self.name or "", main)
        return main.command.make_context(info_name, args, parent=parent, **extra)


class Commands(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (module, help) in COMMANDS.items():
            self.add_command(Lazy(name, module, help))


def show_version(wanted: bool) -> None:
    if wanted:
        from vlkd_steps.graph import installed_code

        say(f"vlkd-steps {installed_code.version()}, code in {PACKAGE}")
        raise typer.Exit


ABOUT = """Distillation of vision-language models, reproducible from the data to the table.

A project is a folder with a Snakefile and params.yaml; call vlkd there. init, score and shift need none.
"""
app = command.app("vlkd", ABOUT, cls=Commands, add_completion=True)


@app.callback()
def vlkd(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


main = command.Program(app)


def script() -> int:
    """The installed ``vlkd``; in a project with its own copy of the package that copy is run, as by ``python -m``."""
    own = Path("vlkd_steps")
    is_project = Path("Snakefile").is_file() and (own / "cli" / "main.py").is_file()
    if is_project and not own.samefile(PACKAGE):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
        os.execve(sys.executable, [sys.executable, "-m", "vlkd_steps", *sys.argv[1:]], environment)
    return main()
