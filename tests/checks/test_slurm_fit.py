from typing import Any

import pytest
import slurm_texts

from vlkd_steps.checks import cluster
from vlkd_steps.checks.check_result import Finding
from vlkd_steps.checks.command import Answer
from vlkd_steps.checks.profile import Asked
from vlkd_steps.checks.slurm_fit import judge

KNOWN = cluster.partitions(slurm_texts.PARTITIONS, slurm_texts.SINFO)
MEMBERS = cluster.accounts(slurm_texts.ACCOUNTS)
TAKEN = Answer(
    0, "", "sbatch: Job 3 to start at 2026-11-22T21:40:40 using 1 processors on nodes vm in partition normal"
)


def judged(tried: Answer = TAKEN, members: Any = None, **asked: Any) -> list[Finding]:
    return judge(Asked(rule="distill", **asked), KNOWN, members, tried)


def test_what_fits_says_what_it_gets() -> None:
    (found,) = judged(partition="gpu", gpus=2, gpu_type="a100", cpus_per_task=8, tasks=2, mem_mb=64000, minutes=240)
    assert found.line() == (
        "  ok    distill          partition gpu, gpu:a100:2, 16 CPUs, 64000 MB, 240 min: 2 nodes fit, 0 idle"
    )
    (found,) = judged()
    assert found.found == "partition normal, 1 CPU: 1 node fits, 1 idle"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"partition": "gppu"}, "there is no partition 'gppu' (did you mean 'gpu'?); change slurm_partition under "
                                "set-resources: distill in the profile"),
        ({"partition": "closed", "account": "chem", "qos": "long"}, "partition closed is DOWN"),
        ({"partition": "closed"}, "no node of partition closed that could take it is up (gpu04 unknown*, "
                                  "gpu[01-03] down*)"),
        ({"partition": "closed"}, "partition closed is for the accounts chem, physics, and none is named"),
        ({"partition": "closed", "account": "bio"}, "partition closed is not for account bio (for: chem, physics)"),
        ({"partition": "closed", "qos": "short"}, "partition closed does not take QoS short (it takes: long)"),
        ({"partition": "gpu", "gpus": 1, "gpu_type": "h100"}, "partition gpu has no GPU of type 'h100' (it has: a100, "
                                                              "v100); change gpu_model"),
        ({"partition": "gpu", "gpus": 8}, "8 GPUs a node, but the nodes of partition gpu have at most 4; change gpu"),
        ({"partition": "gpu", "gpus": 4, "gpu_type": "v100"}, "the nodes of partition gpu have at most 2"),
        ({"partition": "normal", "gpus": 1}, "1 GPUs a node, but the nodes of partition normal have none"),
        ({"partition": "normal", "gpus": 1, "gpu_type": "a100"}, "(it has: no GPUs)"),
        ({"partition": "gpu", "minutes": 7200}, "7200 minutes, but partition gpu gives at most 2880 minutes; change "
                                                "runtime"),
        ({"partition": "gpu", "mem_mb": 450000}, "450000 MB, but partition gpu gives at most 400000 MB a node"),
        ({"partition": "normal", "mem_mb": 32000}, "32000 MB, but a node of partition normal that could take it has at "
                                                   "most 24105 MB; change mem_mb"),
        ({"partition": "gpu", "gpus": 1, "gpu_type": "v100", "mem_mb": 300000}, "has at most 256000 MB"),
        ({"partition": "gpu", "tasks": 4, "cpus_per_task": 32}, "128 CPUs a node, but a node of partition gpu that "
                                                                "could take it has at most 64; change cpus_per_task"),
        ({"partition": "gpu", "nodes": 3}, "3 nodes, but partition gpu gives at most 2; change nodes"),
        ({"partition": "gpu", "gpus": 1, "gpu_type": "v100", "nodes": 2}, "2 nodes are asked for, but 1 node of "
                                                                          "partition gpu that could take it is up"),
        ({"partition": "gpu", "gpu_type": "v100", "gpus": 1, "constraint": "ib"}, "has the feature 'ib'"),
    ],
)  # fmt: skip
def test_every_reason_is_told(asked: dict[str, Any], told: str) -> None:
    found = judged(**asked)
    assert {each.level for each in found} == {"fail"}
    assert any(told in each.line() for each in found), found


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"account": "bio"}, "you have no account 'bio' (yours: astro, physics); change slurm_account"),
        ({"account": "astro", "qos": "long"}, "you may not use QoS 'long' (yours: short); change qos"),
    ],
)
def test_accounts_where_they_are_known(asked: dict[str, Any], told: str) -> None:
    assert told in judged(members=MEMBERS, **asked)[0].line()
    assert judged(members=None, **asked)[0].level == "ok"  # not enforced, or not known: sbatch had no objection
    assert "you have no account on this cluster" in judged(members={}, **asked)[0].found


def test_what_your_accounts_may_do_is_no_problem() -> None:
    assert judged(members=MEMBERS)[0].level == "ok"
    assert judged(members=MEMBERS, account="physics", qos="long")[0].level == "ok"
    assert not any("account" in each.found for each in judged(members=MEMBERS, partition="closed"))


def test_sbatch_has_the_last_word() -> None:
    refused = Answer(1, "", "sbatch: error: x\nallocation failure: Invalid account or account/partition combination")
    (found,) = judged(refused, account="bio")
    assert found.line().endswith(
        "sbatch refuses it: Invalid account or account/partition combination; change its resources under "
        "set-resources: distill in the profile"
    )
    (found,) = judged(Answer(None, "", ""))
    assert (found.level, found.found.partition("; ")[2]) == (
        "ok",
        "`sbatch --test-only` gave no answer (it said nothing)",
    )


def test_no_default_partition() -> None:
    without = {name: partition for name, partition in KNOWN.items() if name != "normal"}
    (found,) = judge(Asked(rule="other rules"), without, None, TAKEN)
    assert "no partition is named, and the cluster has no default one" in found.line()
    assert "under default-resources" in found.line()
