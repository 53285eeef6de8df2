"""What needs an accounting database, which the cluster of tests/slurm/test_doctor_slurm.py lacks: recorded answers."""

from collections.abc import Callable
from typing import Any

import slurm_texts

from vlkd_steps.checks import cluster
from vlkd_steps.checks.check_result import CheckResult
from vlkd_steps.checks.command import Answer
from vlkd_steps.checks.slurm_fit import judge
from vlkd_steps.launch.slurm.request import Request

KNOWN = cluster.partitions(slurm_texts.PARTITIONS, slurm_texts.SINFO)
MEMBERS = cluster.accounts(slurm_texts.ACCOUNTS)
TAKEN = Answer(0, "", slurm_texts.TAKEN)


def judged(test: Callable[[Request], Answer], members: Any = MEMBERS, **resources: Any) -> list[CheckResult]:
    return judge("distill", Request(**resources), KNOWN, members, test)


def accounting(request: Request) -> Answer:
    """sbatch, where associations and QoS are enforced."""
    if request.slurm_account and request.slurm_account not in MEMBERS:
        return Answer(1, "", slurm_texts.ACCOUNT)
    mine = MEMBERS.get(request.slurm_account) or MEMBERS["physics"]
    return Answer(1, "", slurm_texts.QOS) if request.qos and request.qos not in mine else TAKEN


def test_what_is_taken_says_when_and_where_it_would_start() -> None:
    [found] = judged(lambda _: TAKEN, slurm_partition="gpu", gpu=2, gpu_model="a100", runtime=240)
    assert found.level == "ok"
    for fact in ("--partition=gpu", "--gres=gpu:a100:2", "--time=240", "2026-11-22T21:40:40", "on nodes vm"):
        assert fact in found.found


def test_an_account_that_is_not_yours() -> None:
    [found] = judged(accounting, slurm_account="bio")
    assert found.level == "fail"
    for fact in ("slurm_account 'bio'", "Invalid account or account/partition", "yours: astro, physics"):
        assert fact in found.found
    assert found.remedy == "change slurm_account under set-resources: distill in the profile"


def test_a_qos_that_is_not_yours() -> None:
    [found] = judged(accounting, slurm_account="physics", qos="short")
    assert ("qos 'short'" in found.found) is ("yours: long, normal" in found.found) is True
    assert found.remedy == "change qos under set-resources: distill in the profile"


def test_an_account_that_may_not_use_this_qos_which_another_of_yours_may() -> None:
    [found] = judged(accounting, slurm_account="astro", qos="long")
    assert found.level == "fail"
    assert "slurm_account 'astro'" in found.found
    assert "qos 'long'" in found.found
    assert found.remedy == "change slurm_account or qos under set-resources: distill in the profile"


def test_no_account_at_all() -> None:
    [found] = judged(lambda _: Answer(1, "", slurm_texts.ACCOUNT), members={})
    assert "yours: none" in found.found
    assert found.remedy.startswith("change slurm_account ")
    [found] = judged(lambda _: Answer(1, "", slurm_texts.ACCOUNT), members=None)  # slurmdbd does not answer
    assert "Invalid account" in found.found
    assert found.remedy.startswith("change slurm_account ")


def test_what_your_accounts_may_do_is_no_problem() -> None:
    assert judged(accounting)[0].level == "ok"
    assert judged(accounting, slurm_account="physics", qos="long")[0].level == "ok"
    assert not any("account" in each.found for each in judged(accounting, slurm_partition="closed", runtime=20))


def test_no_default_partition() -> None:
    without = {name: partition for name, partition in KNOWN.items() if name != "normal"}
    answer = Answer(1, "", slurm_texts.NO_PARTITION)
    [found] = judge("other rules", Request(runtime=0, mem_mb=0), without, None, lambda _: answer)
    assert "No partition specified or system default partition" in found.found
    assert found.remedy == "change slurm_partition under default-resources in the profile"


def test_no_answer_is_no_verdict() -> None:
    [found] = judged(lambda _: Answer(None, "", ""))
    assert found.level == "warn"
    assert "did not answer" in found.found
    assert "--wait" in found.remedy
    [found] = judged(lambda _: Answer(None, "", ""), slurm_partition="gpu", runtime=7200)
    assert (found.level, found.remedy.split()[1]) == ("fail", "runtime")


def test_a_slow_answer_while_the_reason_is_looked_for_blames_nothing() -> None:
    first = [Answer(1, "", "allocation failure: Requested node configuration is not available")]
    [found] = judged(lambda _: first.pop() if first else Answer(None, "", ""), mem_mb=99)
    assert found.level == "fail"
    assert "this combination" in found.found
