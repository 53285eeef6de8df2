"""Whether the jobs of one rule can be submitted: checked by ``sbatch --test-only``, which submits nothing.

A refusal often says only "Requested node configuration is not available". To find the resource at fault, the test is
repeated with each resource alone and with each left out. Some jobs that it accepts are never started by Slurm: these
are found from the partition's settings.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from vlkd_steps.checks.check_result import CheckResult, fail, ok, warn
from vlkd_steps.checks.cluster import Partition, default
from vlkd_steps.checks.command import Answer
from vlkd_steps.checks.profile import OTHERS, options
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.launch.slurm.request import Request

Problem = tuple[str, str]  # what is wrong, and which keys of the profile to change
Members = Mapping[str, frozenset[str]]  # a user's accounts, each with its QoS
Test = Callable[[Request], Answer]  # runs sbatch --test-only

LEAST = Request(runtime=0, mem_mb=0)  # requests nothing
THREADS = 8
KEYS = ("slurm_account", "qos", "constraint", "slurm_extra", "runtime", "mem_mb", "nodes", "tasks", "cpus_per_task",
        "gpu", "gpu_model")  # fmt: skip


def judge(
    rule: str, request: Request, known: Mapping[str, Partition], members: Members | None, test: Test
) -> list[CheckResult]:
    """A `fail` for every problem, or one `ok` with what sbatch accepts.

    Args:
        known: partitions by name.
        members: the user's accounts; None: not known.
        test: runs sbatch.
    """
    name = request.slurm_partition or default(known)
    answer = test(request)
    problems = list(never_started(request, name, known[name], members)) if name in known else []
    if answer.status not in (0, None):
        named = {key for _, key in problems}
        problems += [found for found in refused(request, answer, known, members, test) if found[1] not in named]
    if problems:
        where = "default-resources" if rule == OTHERS else f"set-resources: {rule}"
        return [fail(rule, what, f"change {keys} under {where} in the profile") for what, keys in problems]
    wanted = " ".join(options(request))
    if answer.status is None:
        return [warn(rule, f"`sbatch --test-only {wanted}` did not answer ({answer.words})", "wait longer: --wait 10")]
    return [ok(rule, f"sbatch takes {wanted}: to start {answer.words.partition(' to start ')[2]}")]


def never_started(request: Request, name: str, partition: Partition, members: Members | None) -> Iterator[Problem]:
    """Problems of jobs that sbatch accepts (with EnforcePartLimits=NO) but that never start."""
    accounts, qos = partition.allowed("AllowAccounts"), partition.allowed("AllowQos")
    if partition.settings.get("State", "UP") != "UP":
        yield f"partition {name} is {partition.settings['State']}", "slurm_partition"
    for key, wanted, most, unit in (
        ("runtime", request.runtime, partition.minutes, "minutes"),
        ("nodes", request.nodes, partition.limit("MaxNodes"), "nodes"),
        ("mem_mb", request.mem_mb, partition.limit("MaxMemPerNode"), "MB a node"),
    ):
        if most is not None and wanted > most:
            yield f"{key} is {wanted}, but partition {name} gives at most {most} {unit}", key
    if accounts is not None and request.slurm_account and request.slurm_account not in accounts:
        yield f"partition {name} is not for account {request.slurm_account} (for: {_list(accounts)})", "slurm_account"
    elif accounts is not None and not request.slurm_account and not accounts & set(members or ()):
        yield f"partition {name} is for the accounts {_list(accounts)}, and none is named", "slurm_account"
    if qos is not None and request.qos and request.qos not in qos:
        yield f"partition {name} does not take QoS {request.qos} (it takes: {_list(qos)})", "qos"


def refused(
    request: Request, answer: Answer, known: Mapping[str, Partition], members: Members | None, test: Test
) -> Iterator[Problem]:
    """Why sbatch refuses a request: its message, with the resources at fault and those that exist."""
    words = answer.words.removeprefix("allocation failure: ")
    name = request.slurm_partition or default(known)
    for keys in culprits(request, test):
        if keys == ("slurm_partition",) and "account" in words.lower():  # any job without an account is refused
            keys = ("slurm_account",)
        there_is = f"partition {name}: {known[name].nodes or 'no nodes'}" if name in known else nearest(name, known)
        if members is not None and keys == ("slurm_account",):
            there_is = f"yours: {_list(members)}"
        elif members is not None and keys == ("qos",):
            there_is = f"yours: {_list(members.get(request.slurm_account) or frozenset().union(*members.values()))}"
        given = ", ".join(f"{key} {getattr(request, key)!r}" for key in keys)
        yield f"sbatch refuses {given or 'this combination'}: {words} ({there_is})", " or ".join(keys) or "one of them"


def culprits(request: Request, test: Test) -> list[tuple[str, ...]]:
    """Each key that is refused alone; otherwise one tuple of the keys whose omission helps, possibly empty."""
    keys = [key for key in KEYS if getattr(request, key) != getattr(LEAST, key)]
    bare = replace(LEAST, slurm_partition=request.slurm_partition)
    alone = [replace(bare, **{"gpu": int(key == "gpu_model"), key: getattr(request, key)}) for key in keys]
    without = [replace(request, **{key: getattr(LEAST, key)}) for key in keys]
    with ThreadPoolExecutor(THREADS) as pool:
        bare_answer, *answers = pool.map(test, [bare, *alone, *without])
    if bare_answer.status not in (0, None):  # None: no answer in time
        return [("slurm_partition",)]
    of_alone, of_without = answers[: len(keys)], answers[len(keys) :]
    wrong = [(key,) for key, answer in zip(keys, of_alone, strict=True) if answer.status not in (0, None)]
    return [*wrong] or [tuple(key for key, answer in zip(keys, of_without, strict=True) if answer.status == 0)]


def _list(names: Mapping[str, object] | frozenset[str] | tuple[()]) -> str:
    return ", ".join(sorted(names)) or "none"
