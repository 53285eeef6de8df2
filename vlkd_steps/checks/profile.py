"""A Snakemake profile read for what its rules ask of Slurm."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vlkd_steps.config.composition import nearest
from vlkd_steps.core.errors import UserError
from vlkd_steps.launch.slurm.request import PREFIX, Request

LAUNCHED = ("pretrain", "extract", "distill")  # through submitit; their resources are not default-resources
OTHERS = "other rules"  # all that set-resources does not name
MEMORY = {
    "": 1,
    "KB": 1e-3,
    "MB": 1,
    "M": 1,
    "GB": 1e3,
    "G": 1e3,
    "TB": 1e6,
    "T": 1e6,
    "MIB": 1.048576,
    "GIB": 1073.742,
}
MINUTES = {
    "": 1, "S": 1 / 60, "M": 1, "MIN": 1, "MINUTE": 1, "MINUTES": 1, "H": 60, "HOUR": 60, "HOURS": 60, "D": 1440,
    "DAY": 1440, "DAYS": 1440, "W": 10080, "WEEK": 10080, "WEEKS": 10080,
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What one rule asks of Slurm. None: it does not say, or says it by an expression.

    Attributes:
        mem_mb, gpus, tasks: per node. minutes: the time limit. workers: jobs in one array.
    """

    rule: str
    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    gpu_type: str = ""
    gpus: int = 0
    mem_mb: int | None = None
    minutes: int | None = None
    nodes: int = 1
    tasks: int = 1
    cpus_per_task: int = 1
    workers: int = 1

    @property
    def gres(self) -> str:
        if not self.gpus:
            return ""
        return f"gpu:{self.gpu_type}:{self.gpus}" if self.gpu_type else f"gpu:{self.gpus}"

    def options(self) -> list[str]:
        """As options of sbatch."""
        given = {
            "partition": self.partition, "account": self.account, "qos": self.qos, "constraint": self.constraint,
            "gres": self.gres, "mem": self.mem_mb and f"{self.mem_mb}M", "time": self.minutes, "nodes": self.nodes,
            "ntasks-per-node": self.tasks, "cpus-per-task": self.cpus_per_task,
        }  # fmt: skip
        return [f"--{name}={value}" for name, value in given.items() if value]


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

    def asks(self) -> list[Asked]:
        """One for each rule that the profile names and sends to Slurm, and one for the other rules.

        Raises:
            UserError: a value that cannot be read as what it should be.
        """
        found = []
        named = self._set_resources()
        defaults = _pairs(self.content.get("default-resources"))
        for rule, resources in sorted(named.items()):
            if rule in LAUNCHED and resources.get("launcher") == "slurm":
                found.append(self._asked(rule, resources))
                self._as_launched(resources, found[-1])
            elif rule not in LAUNCHED and self.content.get("executor") == "slurm":
                other = {"mem": "mem_mb", "mem_mb": "mem"}  # two names of one thing: the rule's own hides the default
                kept = {key: value for key, value in defaults.items() if other.get(key) not in resources}
                found.append(self._asked(rule, {**kept, **resources}))
        if self.content.get("executor") == "slurm":
            found.append(self._asked(OTHERS, defaults))
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

    def _as_launched(self, resources: Mapping[str, Any], asked: Asked) -> None:
        """Read the resources as the launcher will, to have its complaints now: raises UserError."""
        given = {name: str(value) for name, value in resources.items() if value is not None}
        given |= {name: str(value or "") for name, value in (("runtime", asked.minutes), ("mem_mb", asked.mem_mb))}
        Request.of({f"{PREFIX}{name.upper()}": value for name, value in given.items()}).parameters()

    def _asked(self, rule: str, resources: Mapping[str, Any]) -> Asked:
        def first(*names: str) -> Any:
            return next((resources[name] for name in names if resources.get(name) not in (None, "")), None)

        def number(*names: str) -> int | None:
            return _amount(first(*names), {"": 1}, f"{self.path}: {rule}: {names[0]}", "a whole number")

        return Asked(
            rule=rule,
            partition=str(first("slurm_partition") or ""),
            account=str(first("slurm_account") or ""),
            qos=str(first("qos", "slurm_qos") or ""),
            constraint=str(first("constraint") or ""),
            gpu_type=str(first("gpu_model", "gpu_type") or ""),
            gpus=number("gpu", "gpus") or 0,
            mem_mb=_amount(first("mem_mb", "mem"), MEMORY, f"{self.path}: {rule}: mem_mb", "32000, or 32GB"),
            minutes=_amount(first("runtime"), MINUTES, f"{self.path}: {rule}: runtime", "minutes, or 2h"),
            nodes=number("nodes") or 1,
            tasks=number("tasks") or 1,
            cpus_per_task=number("cpus_per_task") or 1,
            workers=number("workers") or 1,
        )


def read(name: str) -> Profile:
    """The profile that ``snakemake --profile NAME`` takes: a folder, or one below the user's configuration.

    Raises:
        UserError: there is none of that name, or it is not YAML.
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
                raise UserError(f"{path} holds no keys; write `key: value` lines as in profiles/local/config.yaml")
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


def _amount(value: Any, units: Mapping[str, float], where: str, example: str) -> int | None:
    """A number with a unit, in the base unit; None for what is not set, and for an expression of Snakemake's."""
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text)
    if found and found[2].upper() in units:
        return round(float(found[1]) * units[found[2].upper()])
    if not found and re.search(r"[A-Za-z_].*[*+/(]|[*+/(].*[A-Za-z_]", text):  # such as `attempt * 4000`
        return None
    raise UserError(f"{where} is {text!r}; write {example}")
