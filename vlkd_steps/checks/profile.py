"""A Snakemake profile read for the resources that its rules request from Slurm."""

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import humanfriendly
import yaml

from vlkd_steps.config.composition import nearest
from vlkd_steps.core.errors import UserError
from vlkd_steps.launch.slurm.request import PREFIX, Request

LAUNCHED = ("pretrain", "extract", "distill")  # through submitit; their resources are not default-resources
OTHERS = "other rules"  # those that set-resources does not name
OF_SUBMITIT = ("signal_delay_s", "stderr_to_stdout", "srun_args", "additional_parameters")  # no options of sbatch
EXPRESSION = re.compile(r"[A-Za-z_].*[*+/(]|[*+/(].*[A-Za-z_]")  # of Snakemake's, such as `attempt * 4000`


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

    def _set_resources(self) -> dict[str, dict[str, Any]]:
        given = self.content.get("set-resources") or {}
        if isinstance(given, Mapping):
            return {str(rule): _pairs(resources) for rule, resources in given.items()}
        rules: dict[str, dict[str, Any]] = {}
        for each in given:  # "rule:resource=value", as on the command line
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
        path = folder / "config.yaml"
        if path.is_file():
            try:
                content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            except yaml.YAMLError as error:
                raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
            if not isinstance(content, dict):
                raise UserError(f"{path} has no keys; write `key: value` lines as in profiles/local/config.yaml")
            return Profile(path, content)
    here = sorted(path.parent.name for path in Path("profiles").glob("*/config.yaml"))
    raise UserError(
        f"there is no profile {name!r} (no config.yaml in {name} or profiles/{name}); {nearest(name, here)}"
    )


def _pairs(given: Any) -> dict[str, Any]:
    """A mapping, also from a list of ``resource=value``."""
    if isinstance(given, Mapping):
        return {str(key): value for key, value in given.items()}
    return {key: value for key, _, value in (str(each).partition("=") for each in given or [])}


def _environment(resources: Mapping[str, Any]) -> dict[str, str]:
    """Resources as a launched step receives them, without Snakemake's expressions, whose values are not known yet.

    Raises:
        UserError: a size or a time that Snakemake would not read.
    """
    given = {key: str(value).strip() for key, value in resources.items() if value not in (None, "")}
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
            example = "minutes, or 2h" if field.name == "runtime" else "32000, or 32GB"
            raise UserError(f"the resource {field.name} is {text!r}; write {example}") from None
    return found


AS_NUMBER: Mapping[str, Callable[[str], str]] = {  # as Snakemake reads `2h` and `32GB`
    "runtime": lambda text: text if text.isdecimal() else str(max(round(humanfriendly.parse_timespan(text)) // 60, 1)),
    "mem_mb": lambda text: text if text.isdecimal() else str(max(math.ceil(humanfriendly.parse_size(text) / 1e6), 1)),
}
