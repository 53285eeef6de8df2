"""Whether a cluster is usable, and why not: runs Slurm's commands in parallel, with a time limit.

Whether a rule's jobs fit is checked by ``sbatch --test-only``, which submits nothing (`slurm_fit`).
"""

import os
import shutil
import socket
import sys
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from vlkd_steps.checks import cluster
from vlkd_steps.checks.check_result import CheckResult, fail, ok, warn
from vlkd_steps.checks.cluster import Partition
from vlkd_steps.checks.command import Answer, run
from vlkd_steps.checks.profile import Profile, options
from vlkd_steps.checks.slurm_fit import judge
from vlkd_steps.core import file_system
from vlkd_steps.core.errors import UserError
from vlkd_steps.launch.slurm import sbatch
from vlkd_steps.launch.slurm.request import Request

COMMANDS = ("sbatch", "squeue", "scontrol", "scancel", "sinfo")
ON_LOGIN_NODE = (
    'run this on a login node of the cluster, or try a cluster of one: eval "$(scripts/slurm_dev_cluster up)"'
)
AGAIN = "it is down or busy; wait longer: --wait 10"


def check(profile: Profile, seconds: float) -> list[CheckResult]:
    """Everything about Slurm that the profile needs; `seconds`: the time limit of each command."""
    try:
        unread = [warn("profile", note, "correct it there") for note in profile.notes()]
        requests = profile.requests()
    except UserError as mistake:
        return [fail("profile", str(mistake), "correct it there")]
    if not profile.needs_slurm:
        return [*unread, ok("slurm", f"not needed by {profile.path}")]
    if reason := sbatch.pattern_in(Path.cwd()):
        unread.append(fail("this folder", reason, sbatch.MOVE))
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        return [*unread, fail("commands", f"no {', '.join(missing)} on PATH", ON_LOGIN_NODE)]
    if (silent := controller(seconds)) is not None:
        return [*unread, silent]
    commands = [cluster.SINFO, cluster.PARTITIONS, cluster.CONFIGURATION]
    commands.append([*cluster.ACCOUNTS, f"user={file_system.user_name()}"])
    with ThreadPoolExecutor(len(commands)) as pool:
        nodes, partitions, configuration, accounts = pool.map(lambda each: run(each, seconds), commands)
    for answer, command in ((nodes, cluster.SINFO), (partitions, cluster.PARTITIONS)):
        if answer.status != 0:
            return [fail("controller", f"{command[0]} did not answer in {seconds:g} s ({answer.words})", AGAIN)]
    known, settings = cluster.partitions(partitions.out, nodes.out), cluster.configuration(configuration.out)
    members = cluster.accounts(accounts.out) if accounts.status == 0 else None

    @cache
    def test(request: Request) -> Answer:
        return run(["sbatch", "--test-only", *options(request), "--output=/dev/null", "--wrap=true"], seconds)

    version = settings.get("SLURM_VERSION", "of unknown version")
    found = [*unread, ok("controller", f"cluster {settings.get('ClusterName', 'without a name')}, Slurm {version}")]
    found += accounting(settings, accounts, profile, requests.values())
    with ThreadPoolExecutor(len(requests) or 1) as pool:
        list(pool.map(test, set(requests.values())))  # in parallel; read from the cache below
    for rule, request in requests.items():
        found += judge(rule, request, known, members, test)
    return found + arrays(settings, profile) + elsewhere(profile, requests.values(), known)


def controller(seconds: float) -> CheckResult | None:
    """Why the controller cannot be reached; None: it answers."""
    named = os.environ.get("SLURM_CONF")
    if named and not Path(named).is_file():
        return fail("controller", f"SLURM_CONF names {named}, which does not exist", "correct it, or unset SLURM_CONF")
    answer = run(["scontrol", "ping"], seconds)
    if "is UP" in answer.out:
        return None
    if "is DOWN" in answer.out:
        lines = [line.strip() for line in answer.out.splitlines() if "is DOWN" in line]
        return fail("controller", "; ".join(lines), "start it, or contact the cluster's administrators")
    if answer.status is None:
        return fail("controller", f"no answer in {seconds:g} s ({answer.words})", AGAIN)
    return fail("controller", f"Slurm is installed but not configured here ({answer.words})", ON_LOGIN_NODE)


def accounting(
    settings: Mapping[str, str], accounts: Answer, profile: Profile, requests: Collection[Request]
) -> list[CheckResult]:
    """Whether the cluster has accounting, and whether accounts and QoS can be read."""
    if "slurmdbd" not in settings.get("AccountingStorageType", ""):
        if profile.content.get("executor") == "slurm" and profile.content.get("slurm-status-command") != "squeue":
            remedy = f"write `slurm-status-command: squeue` into {profile.path}"
            return [fail("accounting", "none, and snakemake would call sacct, which then lists no jobs", remedy)]
        return [ok("accounting", "none: squeue and scontrol report the states of jobs, and accounts are not checked")]
    if accounts.status != 0:
        names = sorted({name for request in requests for name in (request.slurm_account, request.qos) if name})
        what = f"whether you may use {', '.join(names)}" if names else "which accounts you have"
        return [warn("accounting", f"slurmdbd does not answer ({accounts.words}): {what} cannot be known", AGAIN)]
    mine = ", ".join(sorted(cluster.accounts(accounts.out)))
    return [ok("accounting", f"slurmdbd answers; accounts of {file_system.user_name()}: {mine or 'none'}")]


def arrays(settings: Mapping[str, str], profile: Profile) -> list[CheckResult]:
    """Seeds and workers are split into arrays of at most MaxArraySize; Snakemake's executor fails if that is 2."""
    size = settings.get("MaxArraySize", "")
    if profile.content.get("executor") != "slurm" or not size.isdigit() or int(size) > 2:
        return []
    what = f"this cluster's MaxArraySize is {size}, with which snakemake's executor fails"
    remedy = "run the other rules here: no `executor` in the profile, and `launcher: slurm` for the launched ones"
    return [fail("arrays", what, remedy)]


def elsewhere(profile: Profile, requests: Collection[Request], known: Mapping[str, Partition]) -> list[CheckResult]:
    """Rules that would run here, and whether compute nodes probably see this folder and Python."""
    found = []
    if here := profile.here():
        remedy = f"write `launcher: slurm` for them under set-resources in {profile.path}"
        found.append(warn("launcher", f"{', '.join(here)} would run on this machine, not on the cluster", remedy))
    used = sorted({request.slurm_partition or cluster.default(known) for request in requests} & set(known))
    if {known[name].settings.get("Nodes") for name in used} <= {socket.gethostname().partition(".")[0]}:
        return found
    for subject, path in (("this folder", Path.cwd()), ("this python", Path(sys.prefix))):
        lies_on = file_system.of(path)
        how = f"check: srun -p {used[0]} ls {path}"
        if lies_on.shared:
            found.append(ok(subject, f"on {lies_on.kind}; whether every node mounts it cannot be checked here ({how})"))
        else:
            found.append(warn(subject, f"{path} is on {lies_on.kind}, which other nodes probably do not see", how))
    return found
