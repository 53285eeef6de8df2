"""A Slurm cluster as its commands describe it: partitions, groups of equal nodes, accounts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

USABLE = {"allocated", "completing", "idle", "mixed", "planned", "powered_down", "powering_down", "powering_up"}
SINFO = ["sinfo", "--all", "--noheader", "--exact", "--format=%R|%D|%T|%c|%m|%G|%f|%N"]
PARTITIONS = ["scontrol", "--all", "--oneliner", "show", "partition"]
CONFIGURATION = ["scontrol", "show", "config"]
ACCOUNTS = ["sacctmgr", "--noheader", "--parsable2", "show", "assoc", "format=account,partition,qos"]


@dataclass(frozen=True)
class Nodes:
    """Equal nodes of a partition; memory in MiB, `gpus` type -> how many per node (``""``: no type)."""

    names: str
    number: int
    state: str
    cpus: int
    mem_mb: int
    gpus: Mapping[str, int]
    features: frozenset[str]

    @property
    def usable(self) -> bool:
        """Slurm marks a node that does not answer by ``*``, other conditions (powered down) by other signs."""
        return not self.state.endswith("*") and self.state.rstrip("~#!%$@^-+") in USABLE


@dataclass(frozen=True)
class Partition:
    """Limits are None where there is none; `minutes` is the longest time, `accounts` and `qos` who may use it."""

    name: str
    state: str
    default: bool
    minutes: int | None
    max_nodes: int | None
    max_mem_mb: int | None
    accounts: frozenset[str] | None
    qos: frozenset[str] | None
    nodes: tuple[Nodes, ...] = field(default=())


def partitions(scontrol: str, sinfo: str) -> dict[str, Partition]:
    """Partitions by name, from the answers to `PARTITIONS` and `SINFO`."""
    groups: dict[str, list[Nodes]] = {}
    for line in sinfo.splitlines():
        cells = line.split("|")
        if len(cells) == 8 and cells[1].isdigit():
            groups.setdefault(cells[0], []).append(_nodes(cells))
    found = {}
    for line in scontrol.splitlines():
        values = _values(line)
        if name := values.get("PartitionName"):
            found[name] = Partition(
                name=name,
                state=values.get("State", "UP"),
                default=values.get("Default") == "YES",
                minutes=minutes(values.get("MaxTime", "UNLIMITED")),
                max_nodes=_limit(values.get("MaxNodes")),
                max_mem_mb=_limit(values.get("MaxMemPerNode")),
                accounts=_names(values.get("AllowAccounts")),
                qos=_names(values.get("AllowQos")),
                nodes=tuple(groups.get(name, ())),
            )
    return found


def configuration(scontrol: str) -> dict[str, str]:
    """``scontrol show config`` as a mapping."""
    pairs = (line.partition("=") for line in scontrol.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def accounts(sacctmgr: str) -> dict[str, frozenset[str]]:
    """A user's accounts, each with its QoS, from the answer to `ACCOUNTS`."""
    found: dict[str, frozenset[str]] = {}
    for line in sacctmgr.splitlines():
        cells = line.split("|")
        if len(cells) == 3 and cells[0]:
            qos = frozenset(name.lstrip("+") for name in cells[2].split(",") if name)
            found[cells[0]] = found.get(cells[0], frozenset()) | qos
    return found


def minutes(text: str) -> int | None:
    """Slurm's time (``30:00``, ``2-00:00:00``, ``UNLIMITED``) in minutes; None for no limit."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if not found:
        return None
    days, hours, mins, _ = (int(part or 0) for part in found.groups())
    return 1440 * days + 60 * hours + mins


def gres(text: str) -> dict[str, int]:
    """GPUs in Slurm's list of generic resources: ``gpu:a100:4(S:0-1),lustre:1`` -> ``{"a100": 4}``."""
    found: dict[str, int] = {}
    for each in re.sub(r"\([^)]*\)", "", text).split(","):
        kind, *rest = each.split(":")
        if kind == "gpu" and rest and rest[-1].isdigit():
            name = ":".join(rest[:-1])
            found[name] = found.get(name, 0) + int(rest[-1])
    return found


def _nodes(cells: list[str]) -> Nodes:
    _, number, state, cpus, memory, generic, features, names = cells
    return Nodes(
        names=names,
        number=int(number),
        state=state,
        cpus=int(cpus.rstrip("+") or 0),
        mem_mb=int(memory.rstrip("+") or 0),
        gpus=gres(generic),
        features=frozenset(each for each in features.split(",") if each != "(null)"),
    )


def _values(line: str) -> dict[str, str]:
    return {key: value for key, equals, value in (word.partition("=") for word in line.split()) if equals}


def _limit(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and int(text) else None


def _names(text: str | None) -> frozenset[str] | None:
    return None if text in (None, "ALL", "(null)") else frozenset(str(text).split(","))
