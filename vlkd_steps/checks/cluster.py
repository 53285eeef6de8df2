"""A Slurm cluster as its commands describe it: partitions, accounts, settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

SINFO = ["sinfo", "--all", "--noheader", "--exact", "--format=%R|%D x %c CPUs, %m MB, GPUs %G, features %f, %T"]
PARTITIONS = ["scontrol", "--all", "--oneliner", "show", "partition"]
CONFIGURATION = ["scontrol", "show", "config"]
ACCOUNTS = ["sacctmgr", "--noheader", "--parsable2", "show", "assoc", "format=account,partition,qos"]
SHOWN = 4  # groups of nodes in a line


@dataclass(frozen=True)
class Partition:
    """A partition's settings by Slurm's names, and its nodes in words."""

    settings: Mapping[str, str]
    nodes: str

    @property
    def minutes(self) -> int | None:
        """The longest time limit; None: unlimited."""
        return minutes(self.settings.get("MaxTime", ""))

    def limit(self, name: str) -> int | None:
        """A limit among the settings; None: unlimited."""
        text = self.settings.get(name, "")
        return int(text) if text.isdigit() and int(text) else None

    def allowed(self, name: str) -> frozenset[str] | None:
        """``AllowAccounts`` or ``AllowQos``; None: all are allowed."""
        text = self.settings.get(name, "ALL")
        return None if text in ("ALL", "(null)") else frozenset(text.split(","))


def partitions(scontrol: str, sinfo: str) -> dict[str, Partition]:
    """Partitions by name, from the answers to `PARTITIONS` and `SINFO`."""
    nodes: dict[str, list[str]] = {}
    for line in sinfo.replace("(null)", "none").splitlines():
        name, _, words = line.partition("|")
        nodes.setdefault(name, []).append(words)
    found = {}
    for line in scontrol.splitlines():
        settings = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if "PartitionName" in settings:
            groups = nodes.get(settings["PartitionName"], [])
            more = f"; and {len(groups) - SHOWN} more kinds" if len(groups) > SHOWN else ""
            found[settings["PartitionName"]] = Partition(settings, "; ".join(groups[:SHOWN]) + more)
    return found


def default(known: Mapping[str, Partition]) -> str:
    """The default partition; empty if there is none."""
    return next((name for name, partition in known.items() if partition.settings.get("Default") == "YES"), "")


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
