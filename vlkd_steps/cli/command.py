"""Common code of the subcommands of ``vlkd``: how a function becomes one, and how it ends.

A module of this subpackage has ``main(argv) -> exit status``, made from a function whose parameters typer reads:

    @command.single("table", __doc__)
    def main(experiment: Annotated[str, typer.Option(help="a preset")]) -> None: ...

or, where the command has subcommands of its own, ``main = command.group("score", __doc__, {"vqa": vqa})``. The
functions return an exit status or None. A mistake ends in one message on stderr and status 2: `UserError`, or typer's
own usage errors. Help pages and errors have no boxes, so that they are readable in a log.
"""

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from vlkd_steps.core import files, inside, layout, step
from vlkd_steps.core.errors import UserError

INSTALL = "install everything that the pipeline needs: pip install 'vlkd-steps[pipeline]', or in a clone: make install"

Function = Callable[..., int | None]


class Program:
    """A typer application as a function of arguments that returns its exit status."""

    def __init__(self, app: typer.Typer) -> None:
        self._app = app

    @functools.cached_property
    def command(self) -> Any:
        return typer.main.get_command(self._app)

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        return self._guarded(argv)

    @functools.cached_property
    def _guarded(self) -> step.Main:
        @step.entry
        def main(argv: Sequence[str] | None = None) -> int:
            name = self._app.info.name
            try:
                self.command(args=argv, prog_name="vlkd" if name == "vlkd" else f"vlkd {name}")
            except SystemExit as end:
                return end.code if isinstance(end.code, int) else int(end.code is not None)
            except ModuleNotFoundError as missing:
                package = (missing.name or "").partition(".")[0]
                if package in ("", "vlkd_steps"):
                    raise
                raise UserError(f"the package {package} is not installed; {INSTALL}") from missing
            return 0

        return main


def app(name: str, doc: str | None, **settings: Any) -> typer.Typer:
    """An application whose help is a module's docstring."""
    plain: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False, "add_completion": False}
    plain["no_args_is_help"] = True
    plain["context_settings"] = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}
    return typer.Typer(name=name, help=manual(doc), **plain | settings)


def single(name: str, doc: str | None, **settings: Any) -> Callable[[Function], Program]:
    """A command without subcommands; `settings` are those of ``typer.Typer.command``."""

    def made(function: Function) -> Program:
        own = app(name, doc)
        own.command(name, help=manual(doc), **settings)(ending(function))
        return Program(own)

    return made


def group(name: str, doc: str | None, functions: Mapping[str, Function], **settings: Any) -> Program:
    """A command with subcommands: the functions, with their docstrings as help."""
    own = app(name, doc)
    own.callback()(lambda: None)
    for subcommand, function in functions.items():
        own.command(subcommand, help=manual(function.__doc__), **settings)(ending(function))
    return Program(own)


def passed_on(name: str, main: step.Main) -> Program:
    """A command whose arguments another parser reads, ``--help`` among them."""

    def called(ctx: typer.Context) -> int:
        sys.argv[0] = ctx.command_path  # argparse shows it as its name
        return main(ctx.args)

    return single(name, None, cls=Verbatim, add_help_option=False)(called)


def ending(function: Function) -> Callable[..., None]:
    """The function; the exit status that it returns becomes the process's."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> None:
        if status := function(*args, **kwargs):
            raise typer.Exit(status)

    return called


def manual(doc: str | None) -> str:
    """A docstring as help: its indented blocks and lists keep their lines, other paragraphs are wrapped."""
    text = inspect.cleandoc(doc or "").partition("\n\nRaises:")[0]
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(f"\b\n{text}" if re.match(r" |- ", text) else text for text in paragraphs)


def choice(names: Iterable[str], help: str, otherwise: str = "") -> Any:
    """An option that takes one of some names (``typer.Choice`` needs an enumeration).

    Args:
        otherwise: what to do for another name, the end of the message.
    """
    known = list(names)

    def checked(value: str | None) -> str | None:
        if value is not None and value not in known:
            raise typer.BadParameter(
                f"{value!r} is not one of {', '.join(known)}{f'; {otherwise}' if otherwise else ''}"
            )
        return value

    return typer.Option(
        metavar="NAME", help=f"{help}: {', '.join(known)}", callback=checked, autocompletion=lambda: known
    )


def experiment(value: str | list[str] | None) -> Any:
    """Refuse invalid names, such as a path out of the project: the callback of options that name an experiment.

    Raises:
        typer.BadParameter: a name is invalid.
    """
    for name in [value] if isinstance(value, str) else value or []:
        if not re.fullmatch(layout.NAME, name):
            raise typer.BadParameter(f"{name!r} is not a valid name; write letters, digits and _, at most 100")
    return value


def from_project(path: Path) -> Path:
    """A run's folder relative to the project's root, which is the current folder; components of its plugins are found.

    Raises:
        UserError: it is outside.
    """
    relative = Path(os.path.relpath(path))
    if relative.parts[:1] == ("..",):
        raise UserError(f"{path} is outside this folder; call vlkd in the folder of its project")
    from vlkd_steps.config import composition  # which `vlkd score` and others do without

    composition.use_plugins()
    return relative


def check_output(path: Path | None, option: str, folder: bool = False) -> None:
    """Refuse an output that cannot be written, before there is work that would be lost.

    Args:
        option: by which it was given, such as ``--out``.
        folder: it is to be a folder and not a file.

    Raises:
        UserError: its name is too long, it is a folder or, if it is to be one, a file or the root, it is a device or a
            pipe, or nothing may be made there (of a folder that it is a link to: beside that).
    """
    if path is None:
        return
    longest = inside.LONGEST_NAME - len(os.fsencode(files.temporary_prefix())) - 16  # it is first written beside it
    if any(len(os.fsencode(part)) > longest for part in path.parts):
        raise UserError(f"{option} {path}: cannot be written (a name of it is too long); give a shorter one")
    try:
        if path.is_dir() and not folder:
            raise UserError(f"{option} {path} is a folder; give the path of a file")
        if _is_special(path):
            raise UserError(f"{option} {path} is a device or a pipe, which would be replaced; give the path of a file")
        parents = Path(os.path.realpath(path) if folder else path.absolute()).parents
        if not parents:
            raise UserError(f"{option} {path} is the root of all folders; give the path of a folder in it")
        above = next(each for each in parents if each.exists())
        file = path if folder and path.is_file() else above if not above.is_dir() else None
        if file:
            raise UserError(f"{option} {path}: cannot be written ({file} is a file, no folder); give another path")
        if not files.writable(above):
            raise UserError(f"{option} {path}: cannot be written (you may not write into {above}); give another path")
    except OSError as error:
        raise UserError(f"{option} {path}: cannot be written ({error.strerror}); give another path") from error


def _is_special(path: Path) -> bool:
    """Whether it is there and neither a file nor a folder, or is one of a process's open files, as /dev/stdout."""
    target = path.parent / path.readlink() if path.is_symlink() else path
    of_process = any(Path(os.path.realpath(each.parent)).is_relative_to("/proc") for each in (path, target))
    return of_process or (path.exists() and not path.is_file() and not path.is_dir())


class Several(TyperCommand):
    """A command whose options for several values take them all after one name: ``--questions A.json B.json``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        several = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        expanded: list[str] = []
        current, values = "", 0
        for word in args:
            if word.startswith("-"):
                current, values = (word, 0) if word in several else ("", 0)
            elif current:
                values += 1
                expanded += [current] if values > 1 else []
            expanded.append(word)
        return super().parse_args(ctx, expanded)


class Named(TyperCommand):
    """A command with one argument, an experiment, that may also be written as an option: ``--experiment scenes``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args[-1:] == ["--experiment"]:
            raise typer.BadParameter("--experiment needs a name")
        return super().parse_args(ctx, [word.removeprefix("--experiment=") for word in args if word != "--experiment"])


class Verbatim(TyperCommand):
    """A command that passes its arguments on unchanged, also ``--``; it handles only a leading ``-h`` or ``--help``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args[:1] and args[0] in ("-h", "--help") and self.add_help_option:
            return super().parse_args(ctx, args)
        ctx.args = list(args)
        return ctx.args
