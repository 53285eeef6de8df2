"""A Snakemake profile read for the resources that its rules request from Slurm."""

import builtins
import math
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import humanfriendly
import yaml

from vlkd_steps.config import phases
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError
from vlkd_steps.launch.slurm.request import PREFIX, Request

LAUNCHED = ("pretrain", "extract", "distill")  # through submitit; their resources are not default-resources
DEFAULTS = "default-resources"
OTHERS = "other rules"  # those that set-resources does not name
RULES = [rule for name, phase in phases.PHASES.items() for rule in (*phase.rules, f"manifest_{name}")]
TEXTS = ("launcher", *(field.name for field in fields(Request) if field.type is str))
READ = (*TEXTS, *(field.name for field in fields(Request) if field.type is int))
OF_SNAKEMAKE = ("mem", "mem_mib", "disk", "disk_mb", "disk_mib", "tmpdir")  # further names that it reads itself
OF_A_JOB = ("attempt", "input", "output", "params", "resources", "threads", "wildcards")
OF_A_WORKFLOW = ("branch", "collect", "evaluate", "exists", "flatten", "lookup", "shutil", "subpath", "system_tmpdir")
PYTHON = {*dir(builtins), *OF_A_JOB, *OF_A_WORKFLOW} - {"True", "False", "None"}
"""Words that Snakemake evaluates instead of taking them as text."""
OF_SUBMITIT = ("signal_delay_s", "stderr_to_stdout", "srun_args", "additional_parameters")  # no options of sbatch
EXPRESSION = re.compile(r"[A-Za-z_].*[*+/(]|[*+/(].*[A-Za-z_]")  # of Snakemake's, such as `attempt * 4000`
NUMBER = re.compile(r"\d+(\.\d*)?")
CONFIG = re.compile(r"(?:config|profile)(?:\.v(\d+)\+)?\.yaml")


@dataclass(frozen=True)
class Profile:
    """A profile's folder and content."""

    path: Path
    content: Mapping[str, Any]

    @property
    def needs_slurm(self) -> bool:
        return self.content.get("executor") == "slurm" or any(
            resources.get("launcher") == "slurm" for resources in self._set_resources().values()
        )

    def requests(self) -> dict[str, Request]:
        """The request of each rule that the profile names and sends to Slurm, and that of the other rules.

        Raises:
            UserError: a value is invalid.
        """
        found = {}
        named = self._set_resources()
        defaults = _pairs(self.content.get("default-resources"))
        for rule, resources in sorted(named.items()):
            if rule in LAUNCHED and resources.get("launcher") == "slurm":
                found[rule] = self._launched(rule, resources)
            elif rule not in LAUNCHED and self.content.get("executor") == "slurm":
                other = {"mem": "mem_mb", "mem_mb": "mem"}  # synonyms: the rule's value hides the default
                kept = {key: value for key, value in defaults.items() if other.get(key) not in resources}
                found[rule] = self._submitted(rule, {**kept, **resources})
        if self.content.get("executor") == "slurm":
            found[OTHERS] = self._submitted(OTHERS, defaults)
        return found

    def here(self) -> list[str]:
        """The launched rules that this profile runs on the machine where snakemake runs."""
        named = self._set_resources()
        return [rule for rule in LAUNCHED if named.get(rule, {}).get("launcher") != "slurm"]

    def notes(self) -> list[str]:
        """Of what it sets, that which nothing reads; raises UserError for what Snakemake cannot read (`unread`)."""
        given = {**self._set_resources(), DEFAULTS: _pairs(self.content.get("default-resources"))}
        return unread(given, _pairs(self.content.get("resources")))

    def _set_resources(self) -> dict[str, dict[str, Any]]:
        given = self.content.get("set-resources") or {}
        if isinstance(given, Mapping):
            return {str(rule): _pairs(resources) for rule, resources in given.items()}
        rules: dict[str, dict[str, Any]] = {}
        for each in _listed(given):  # "rule:resource=value", as on the command line
            rule, _, pair = str(each).partition(":")
            rules.setdefault(rule, {}).update(_pairs([pair]))
        return rules

    def _launched(self, rule: str, resources: Mapping[str, Any]) -> Request:
        """A launched rule's request; the launcher fills in what the rule does not set."""
        try:
            request = Request.of(_environment(resources))
            request.parameters()  # also checks values
        except UserError as mistake:
            raise UserError(f"{self.path}: {rule}: {mistake}") from mistake
        return request

    def _submitted(self, rule: str, resources: Mapping[str, Any]) -> Request:
        """A request of Snakemake's executor: time and memory only if a rule sets them (0: it does not)."""
        own = {key: value for key, value in resources.items() if key != "slurm_extra"} | {"warning": 1}
        named = _environment(own)
        unset: dict[str, Any] = {key: 0 for key in ("runtime", "mem_mb") if PREFIX + key.upper() not in named}
        return replace(self._launched(rule, own), **unset)


def notes_of(settings: Any) -> list[str]:
    """As `Profile.notes`, of Snakemake's own resource settings: those of its profile and its command line."""
    given = {**settings.overwrite_resources, DEFAULTS: settings.default_resources or {}}
    written = {rule: {name: value.raw for name, value in of_rule.items()} for rule, of_rule in given.items()}
    return unread(written, settings.resources)


def unread(given: Mapping[str, Mapping[str, Any]], limited: Collection[str]) -> list[str]:
    """What ``set-resources`` says of rules that do not exist, and of the launched rules that nobody reads.

    Args:
        given: by rule the resources as they are written; those of all rules by `DEFAULTS`.
        limited: resources that the user counts (``--resources``).

    Raises:
        UserError: a value that Snakemake cannot read, which it says late or by a traceback.
    """
    for rule, resources in given.items():
        for name, value in resources.items():
            _check_written(rule, name, str(value).strip())
    notes = [
        f"set-resources names the rule {rule!r}, which does not exist; {nearest(rule, RULES)}"
        for rule in given
        if rule not in (*RULES, DEFAULTS)
    ]
    for rule in (name for name in LAUNCHED if name in given):
        notes += [
            f"set-resources: {rule}: nothing reads {name!r}; {nearest(name, READ)}"
            for name in given[rule]
            if name not in (*READ, *OF_SNAKEMAKE, *limited)
        ]
    return notes


def _check_written(rule: str, name: str, text: str) -> None:
    where = rule if rule == DEFAULTS else f"set-resources: {rule}"
    if rule in LAUNCHED and name in READ and text == "None":  # of other rules it drops a default resource
        raise UserError(f"{where}: {name} is empty; give it a value, or delete it")
    if name in TEXTS and text in PYTHON:
        raise UserError(
            f"{where}: {name} is {text}, a word of Python, which Snakemake evaluates; in the profile write it with two "
            f"""kinds of quotes: {name}: "'{text}'\""""
        )
    if name == "mem_mb" and re.fullmatch(r"[\d.]+ *[A-Za-z]+", text):
        raise UserError(f"{where}: mem_mb is {text!r}; write a number of megabytes, or mem: 32GB")


def options(request: Request) -> list[str]:
    """A request as options of sbatch."""
    parameters = request.parameters()
    given = {name.replace("_", "-"): value for name, value in parameters.items() if name not in OF_SUBMITIT}
    given |= parameters["additional_parameters"]
    return [f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items() if value]


def read(name: str) -> Profile:
    """The profile that ``snakemake --profile NAME`` takes: a folder, or one below the user's configuration.

    Raises:
        UserError: there is no profile of that name, or it is not YAML.
    """
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expandvars("$HOME/.config"))
    for folder in (Path(name), Path("profiles") / name, settings / "snakemake" / name):
        if path := _config(folder):
            try:
                content = yaml.safe_load(path.read_bytes()) or {}
            except (yaml.YAMLError, ValueError) as error:
                raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
            except OSError as error:
                raise UserError(f"{path} cannot be read ({error.strerror}); make it a readable file") from error
            if not isinstance(content, dict):
                raise UserError(f"{path} has no keys; write `key: value` lines as in profiles/local/config.yaml")
            return Profile(path, content)
    here = sorted(path.parent.name for path in Path("profiles").glob("*/config.yaml"))
    raise UserError(
        f"there is no profile {name!r} (no config.yaml in {name} or profiles/{name}); {nearest(name, here)}"
    )


def _config(folder: Path) -> Path | None:
    """The file of a profile that Snakemake reads: the one for the newest version that is not above its own."""
    if folder.is_file():
        return folder
    found = [(int(name[1] or 0), path) for path in folder.glob("*.yaml") if (name := CONFIG.fullmatch(path.name))]
    own = int(version("snakemake").partition(".")[0])
    return max((each for each in found if each[0] <= own), default=(0, None))[1]


def _pairs(given: Any) -> dict[str, Any]:
    """A mapping, also from a list of ``resource=value``."""
    if isinstance(given, Mapping):
        return {str(key): value for key, value in given.items()}
    return {key: value for key, _, value in (str(each).partition("=") for each in _listed(given or []))}


def _listed(given: Any) -> list[Any]:
    """A list; of one value alone."""
    return given if isinstance(given, list) else [given]


def _environment(resources: Mapping[str, Any]) -> dict[str, str]:
    """Resources as a launched step receives them, without Snakemake's expressions, whose values are not known yet.

    Raises:
        UserError: a size or a time that Snakemake would not read.
    """
    given = {key: _unquoted(str(value).strip()) for key, value in resources.items() if value not in (None, "")}
    if "mem" in given:
        given.setdefault("mem_mb", given["mem"])
    found = {}
    for field in fields(Request):
        text = given.get(field.name)
        if text is None or (field.type is int and EXPRESSION.search(text)):
            continue
        try:
            found[PREFIX + field.name.upper()] = AS_NUMBER.get(field.name, str)(text)
        except (humanfriendly.InvalidTimespan, humanfriendly.InvalidSize):
            name, example = ("runtime", "minutes, or 2h") if field.name == "runtime" else ("mem", "32GB")
            raise UserError(f"the resource {name} is {text!r}; write {example}") from None
    return found


def _unquoted(text: str) -> str:
    """A text without the second kind of quotes, by which Snakemake takes it as it is."""
    found = re.fullmatch(r"(['\"])([^'\"\\]*)\1", text)
    return found[2] if found else text


AS_NUMBER: Mapping[str, Callable[[str], str]] = {  # as Snakemake reads `runtime: 2h` and `mem: 32GB`
    "runtime": lambda text: text if text.isdecimal() else str(max(round(humanfriendly.parse_timespan(text)) // 60, 1)),
    "mem_mb": lambda text: str(
        round(float(text)) if NUMBER.fullmatch(text) else max(math.ceil(humanfriendly.parse_size(text) / 1e6), 1)
    ),
}
