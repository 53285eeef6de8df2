"""The files of a configuration, read strictly: errors that YAML or Hydra would silently accept are reported.

A file may extend another of its group (``defaults: [scenes, _self_]``); `ConfFiles.chain` lists them all, so that a
message names the file that sets a value.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError

PACKAGED = Path(__file__).resolve().parent.parent / "conf"
LARGEST, MOST_VALUES, DEEPEST = 4_000_000, 200_000, 50  # bytes, values and levels of a file
HEADER = "# @package _global_"
_FLOAT = re.compile(
    r"^[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9_]+([eE][-+]?[0-9]+)?"
    r"|\.inf|\.nan)$",
    re.IGNORECASE,
)


class Strict(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML without duplicate keys, and with 4e-3 as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # refused below: no mapping has such a key
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} appears twice", key.start_mark
                )
            seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        if None in found:
            raise yaml.constructor.ConstructorError(None, None, "a key is empty, or null", node.start_mark)
        return found


_OTHER_BASE = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")


def _decimal(loader: Any, node: yaml.ScalarNode) -> Any:
    """A number; not 010, which is 8 in YAML, nor 1:30, which is 90."""
    if _OTHER_BASE.fullmatch(node.value):
        message = f"{node.value} is another number in YAML; write it as a decimal one, or a text in quotes"
        raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
    kind = node.tag.rpartition(":")[2]
    return getattr(loader, f"construct_yaml_{kind}")(node)


for _tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
    Strict.add_constructor(_tag, _decimal)
Strict.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
Strict.yaml_implicit_resolvers = {  # a date is a text, as for Hydra
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in Strict.yaml_implicit_resolvers.items()
}


class Shape:
    """What is checked of a file's events before anything is built of them, which would take all stack or memory.

    An alias counts as all that its anchor holds.
    """

    def __init__(self) -> None:
        self._open: list[tuple[str | None, int]] = []  # anchor, and how many values came before it
        self._values = 0
        self._sizes: dict[str, int] = {}

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self._open.pop()
            self._sizes[anchor or ""] = self._values - before
        elif isinstance(event, yaml.AliasEvent):
            self._values += self._sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.NodeEvent):
            self._values += 1
        if isinstance(event, yaml.CollectionStartEvent):
            self._open.append((event.anchor, self._values))
        if message := self._mistake(event):
            raise yaml.MarkedYAMLError(problem=message, problem_mark=event.start_mark)

    def _mistake(self, event: Any) -> str:
        if isinstance(event, yaml.AliasEvent) and event.anchor in [anchor for anchor, _ in self._open]:
            return f"*{event.anchor} stands inside of &{event.anchor}"
        if getattr(event, "tag", None):
            return f"the tag {event.tag.replace('tag:yaml.org,2002:', '!!')} is not taken, delete it"
        if len(self._open) > DEEPEST:
            return f"it is nested more than {DEEPEST} levels deep"
        return f"it holds more than {MOST_VALUES} values" if self._values > MOST_VALUES else ""


def parse(text: str) -> Any:
    """What a YAML text says.

    Raises:
        yaml.YAMLError, ValueError: it is not valid, or too deep or large to be a configuration.
    """
    shape = Shape()
    for event in yaml.parse(text, Loader=Strict):
        shape.take(event)
    return yaml.load(text, Loader=Strict)


def read(path: Path, called: str | None = None) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Args:
        called: the name of the file in messages.

    Raises:
        UserError: it cannot be read, or is empty, not UTF-8, not YAML or not a mapping; a duplicate key.
    """
    called = called or path.as_posix()
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{called} has {path.stat().st_size} bytes; a configuration has at most {LARGEST}")
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{called} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{called} cannot be read ({error.strerror}); make it a readable file") from None
    try:
        content = parse(text)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{called} is not valid YAML: {_problem(error)}") from None
    if content is None:
        raise UserError(f"{called} is empty; write its keys, or delete it")
    if not isinstance(content, dict):
        raise UserError(f"{called} is not a mapping; write lines of `key: value`")
    return content


def _problem(error: Exception) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None:
        return " ".join(str(error).split())
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})"


@dataclass(frozen=True)
class ConfFile:
    """One file: its name in messages, and its content."""

    called: str
    content: Mapping[str, Any]


@dataclass
class ConfFiles:
    """The folders searched for a group's files, in order; the package's own is the last."""

    folders: Sequence[Path] = (PACKAGED,)
    _chains: dict[tuple[str, str], list[ConfFile]] = field(default_factory=dict)

    def options(self, group: str) -> list[str]:
        """The names that a group offers, sorted."""
        found = (path for folder in self.folders for path in (folder / group).glob("*.yaml") if path.is_file())
        return sorted({path.stem for path in found})

    def path(self, group: str, name: str) -> Path | None:
        """The first file of this name."""
        paths = (folder / group / f"{name}.yaml" for folder in self.folders)
        return next((path for path in paths if path.is_file()), None)

    def chain(self, group: str, name: str) -> list[ConfFile]:
        """A file and those that it extends, the most general first.

        Raises:
            UserError: a file that cannot be read (`read`), or a default that does not exist or is circular.
        """
        if (group, name) not in self._chains:
            self._chains[group, name] = list(self._follow(group, name, ()))
        return self._chains[group, name]

    def merged(self, group: str, name: str) -> dict[str, Any]:
        """A file merged with its defaults, interpolations unresolved, as Hydra merges them (`composition`)."""
        found: dict[str, Any] = {}
        for each in self.chain(group, name):
            found = merge(found, each.content)
        return found

    def locate(self, group: str, name: str, dotted: str) -> str:
        """The file of a chain that sets a key, or its nearest parent; of several the last, which wins."""
        best, depth = self.chain(group, name)[-1].called, 0
        for each in self.chain(group, name):
            said = _depth(each.content, dotted.split("."))
            if said >= depth > 0 or said > depth:
                best, depth = each.called, said
        return best

    def _follow(self, group: str, name: str, above: tuple[str, ...]) -> list[ConfFile]:
        path = self.path(group, name)
        assert path is not None, "the caller has looked"
        called = shown(path)
        content = read(path, called)
        _check_interpolations(content, called)
        lines = path.read_text(encoding="utf-8").splitlines()
        packages = [line.strip() for line in lines if re.match(r"\s*#\s*@package\b", line)]
        if other := [line for line in packages if line != HEADER]:
            raise UserError(f"{called} has the line {other[0]!r}, which moves its keys elsewhere; delete it")
        if group == "experiment" and not _begins_with_header(lines):
            raise UserError(
                f"{called} does not begin with {HEADER!r}; write that as its first line, without a byte order mark"
            )
        if group != "experiment" and HEADER in packages:
            raise UserError(f"{called} has the line {HEADER!r}, which is a preset's; delete it")
        defaults = content.pop("defaults", ["_self_"])
        if not isinstance(defaults, list) or not all(isinstance(each, str) for each in defaults):
            raise UserError(f"{called}: defaults is {defaults!r}; write names of files of {group}, and _self_")
        if twice := [each for each in defaults if defaults.count(each) > 1]:
            raise UserError(f"{called}: defaults names {twice[0]!r} twice; name it once")
        found: list[ConfFile] = []
        for default in [*defaults, *([] if "_self_" in defaults else ["_self_"])]:
            if default == "_self_":
                found.append(ConfFile(called, content))
            elif default in (*above, name):
                raise UserError(f"{called}: defaults is circular ({default!r}); a file cannot extend itself")
            elif not re.fullmatch(r"[A-Za-z0-9_]{1,100}", default) or self.path(group, default) is None:
                near = nearest(default, self.options(group))
                raise UserError(f"{called}: defaults names {default!r}, which does not exist; {near}")
            else:
                found += self._follow(group, default, (*above, name))
        return found


def _begins_with_header(lines: Sequence[str]) -> bool:
    """Whether Hydra sees the header: it reads no further than the first line of another kind, be it a comment, and
    without the header puts what a preset says where nothing reads it."""
    first = itertools.takewhile(lambda line: not line.strip() or re.match(r"\s*#\s*@", line), lines)
    return HEADER in map(str.strip, first)


def _check_interpolations(content: Any, called: str, dotted: str = "") -> None:
    """Refuse what OmegaConf cannot read, here where the file and its key are known."""
    inner = content.items() if isinstance(content, Mapping) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        _check_interpolations(value, called, f"{dotted}.{key}".strip("."))
    if isinstance(content, str) and "${" in content:
        from omegaconf.errors import GrammarParseError
        from omegaconf.grammar_parser import parse as parse_interpolation

        try:
            parse_interpolation(content)
        except GrammarParseError:
            raise UserError(f"{called}: {dotted} is {content!r}; write an interpolation as ${{key}}") from None


def shown(path: Path) -> str:
    """A path for messages: relative to the project, or to the package's parent."""
    for start in (Path.cwd(), PACKAGED.parent.parent):
        if path.resolve().is_relative_to(start.resolve()):
            return path.resolve().relative_to(start.resolve()).as_posix()
    return path.as_posix()


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings; replace everything else. The shot 100 is the same key as "100"."""
    found = dict(base)
    for written, value in over.items():
        key = _same(found, written)
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merge(found[key], value) if both else value
    return found


def _same(there: Mapping[Any, Any], key: Any) -> Any:
    """The key of a mapping that a key means."""
    if key in there:
        return key
    return next((each for each in there if str(each) == str(key)), key)


def _depth(content: Any, parts: Sequence[str]) -> int:
    """How many leading parts of a dotted key a file contains."""
    for depth, part in enumerate(parts):
        if isinstance(content, Mapping):
            keys = {str(key): key for key in content}
            if part not in keys:
                return depth
            content = content[keys[part]]
        elif isinstance(content, list) and part.isdecimal() and int(part) < len(content):
            content = content[int(part)]
        else:
            return depth
    return len(parts)
