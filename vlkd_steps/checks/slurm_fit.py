"""What stands against the jobs of one rule on a cluster that is known."""

from collections.abc import Iterator, Mapping

from vlkd_steps.checks.check_result import Finding, fail, ok
from vlkd_steps.checks.cluster import Nodes, Partition
from vlkd_steps.checks.command import Answer
from vlkd_steps.checks.profile import OTHERS, Asked
from vlkd_steps.config.composition import nearest

Problem = tuple[str, str]  # what is wrong, and which key of the profile to change
Members = Mapping[str, frozenset[str]]  # a user's accounts, each with its QoS


def judge(
    asked: Asked,
    known: Mapping[str, Partition],
    members: Members | None,
    tried: Answer,
) -> list[Finding]:
    """A `fail` for every problem or, where there is none, one `ok` that says what the jobs get.

    Args:
        known: partitions by name.
        members: None where accounts are not enforced, or not known.
        tried: the answer of ``sbatch --test-only``.
    """
    name = asked.partition or default(known)
    if not name:
        return [_against(asked, "no partition is named, and the cluster has no default one", "slurm_partition")]
    if name not in known:
        return [_against(asked, f"there is no partition {name!r} ({nearest(name, known)})", "slurm_partition")]
    partition = known[name]
    problems = [*_membership(asked, partition, members), *_limits(asked, partition)]
    if misfit := _misfit(asked, partition):
        problems.append(misfit)
    if not problems and tried.status not in (0, None):
        problems.append((f"sbatch refuses it: {tried.words.removeprefix('allocation failure: ')}", "its resources"))
    if problems:
        return [_against(asked, problem, key) for problem, key in problems]
    fitting = [nodes for nodes in partition.nodes if nodes.usable and _fits(asked, nodes)]
    number = sum(nodes.number for nodes in fitting)
    idle = sum(nodes.number for nodes in fitting if nodes.state.startswith("idle"))
    unsure = "" if tried.status == 0 else f"; `sbatch --test-only` gave no answer ({tried.words})"
    return [
        ok(
            asked.rule,
            f"{_wish(asked, name)}: {number} {'node fits' if number == 1 else 'nodes fit'}, {idle} idle{unsure}",
        )
    ]


def default(known: Mapping[str, Partition]) -> str:
    """The partition that takes jobs which name none; empty where there is none."""
    return next((partition.name for partition in known.values() if partition.default), "")


def _membership(asked: Asked, partition: Partition, members: Members | None) -> Iterator[Problem]:
    if members is not None:
        qos = members.get(asked.account) if asked.account else frozenset().union(*members.values())
        if not members:
            yield "you have no account on this cluster (ask its administrators)", "slurm_account"
        elif qos is None:
            yield f"you have no account {asked.account!r} (yours: {', '.join(sorted(members))})", "slurm_account"
        elif asked.qos and asked.qos not in qos:
            yield f"you may not use QoS {asked.qos!r} (yours: {', '.join(sorted(qos)) or 'none'})", "qos"
    if partition.accounts is not None:
        names = ", ".join(sorted(partition.accounts))
        if asked.account and asked.account not in partition.accounts:
            yield f"partition {partition.name} is not for account {asked.account} (for: {names})", "slurm_account"
        elif not asked.account and not partition.accounts & set(members or ()):
            yield f"partition {partition.name} is for the accounts {names}, and none is named", "slurm_account"
    if partition.qos is not None and asked.qos and asked.qos not in partition.qos:
        names = ", ".join(sorted(partition.qos))
        yield f"partition {partition.name} does not take QoS {asked.qos} (it takes: {names})", "qos"


def _limits(asked: Asked, partition: Partition) -> Iterator[Problem]:
    """sbatch takes a job beyond a time limit or for a partition that is down; it then waits for ever."""
    gives = f"partition {partition.name} gives at most"
    if partition.state != "UP":
        yield f"partition {partition.name} is {partition.state}", "slurm_partition"
    if asked.minutes and partition.minutes and asked.minutes > partition.minutes:
        yield f"{asked.minutes} minutes, but {gives} {partition.minutes} minutes", "runtime"
    if partition.max_nodes and asked.nodes > partition.max_nodes:
        yield f"{asked.nodes} nodes, but {gives} {partition.max_nodes}", "nodes"
    if partition.max_mem_mb and asked.mem_mb and asked.mem_mb > partition.max_mem_mb:
        yield f"{asked.mem_mb} MB, but {gives} {partition.max_mem_mb} MB a node", "mem_mb"


def _misfit(asked: Asked, partition: Partition) -> Problem | None:
    """The wish that leaves no node of the partition, taken one after the other; None where enough nodes are left."""
    where, nodes = f"partition {partition.name}", list(partition.nodes)
    if not nodes:
        return f"{where} has no nodes", "slurm_partition"
    if asked.gpus and asked.gpu_type and not any(asked.gpu_type in each.gpus for each in nodes):
        types = sorted({kind or "one without a type" for each in nodes for kind in each.gpus})
        return f"{where} has no GPU of type {asked.gpu_type!r} (it has: {', '.join(types) or 'no GPUs'})", "gpu_model"
    most = max(_gpus(asked, each) for each in nodes)
    if asked.gpus > most:
        return f"{asked.gpus} GPUs a node, but the nodes of {where} have {f'at most {most}' if most else 'none'}", "gpu"
    nodes = [each for each in nodes if _gpus(asked, each) >= asked.gpus]
    if asked.constraint.isidentifier():  # Slurm's grammar of features is left to sbatch --test-only
        nodes = [each for each in nodes if asked.constraint in each.features]
        if not nodes:
            return f"no node of {where} that could take it has the feature {asked.constraint!r}", "constraint"
    largest = max(each.mem_mb for each in nodes)
    if (asked.mem_mb or 0) > largest:
        return f"{asked.mem_mb} MB, but a node of {where} that could take it has at most {largest} MB", "mem_mb"
    nodes = [each for each in nodes if each.mem_mb >= (asked.mem_mb or 0)]
    cpus, widest = asked.tasks * asked.cpus_per_task, max(each.cpus for each in nodes)
    if cpus > widest:
        return f"{cpus} CPUs a node, but a node of {where} that could take it has at most {widest}", "cpus_per_task"
    nodes = [each for each in nodes if each.cpus >= cpus]
    up = sum(each.number for each in nodes if each.usable)
    if up < asked.nodes:
        down = ", ".join(sorted({f"{each.names} {each.state}" for each in nodes if not each.usable})[:4])
        told = f"{up or 'no'} node{'s' * (up > 1)} of {where} that could take it {'are' if up > 1 else 'is'} up"
        wanted = f"{asked.nodes} nodes are asked for, but " if asked.nodes > 1 else ""
        return f"{wanted}{told}{f' ({down})' if down else ''}", "slurm_partition (or wait)" if not up else "nodes"
    return None


def _fits(asked: Asked, nodes: Nodes) -> bool:
    return (
        _gpus(asked, nodes) >= asked.gpus
        and nodes.mem_mb >= (asked.mem_mb or 0)
        and nodes.cpus >= asked.tasks * asked.cpus_per_task
        and (not asked.constraint.isidentifier() or asked.constraint in nodes.features)
    )


def _gpus(asked: Asked, nodes: Nodes) -> int:
    return nodes.gpus.get(asked.gpu_type, 0) if asked.gpu_type else sum(nodes.gpus.values())


def _wish(asked: Asked, partition: str) -> str:
    cpus = asked.tasks * asked.cpus_per_task
    parts = [
        f"partition {partition}",
        f"{asked.nodes} nodes" if asked.nodes > 1 else "",
        asked.gres,
        f"{cpus} CPU{'s' * (cpus > 1)}",
        f"{asked.mem_mb} MB" if asked.mem_mb else "",
        f"{asked.minutes} min" if asked.minutes else "",
    ]
    return ", ".join(part for part in parts if part)


def _against(asked: Asked, problem: str, key: str) -> Finding:
    place = "default-resources" if asked.rule == OTHERS else f"set-resources: {asked.rule}"
    return fail(asked.rule, problem, f"change {key} under {place} in the profile")
