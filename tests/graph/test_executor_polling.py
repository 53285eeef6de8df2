"""How often Snakemake's Slurm executor looks for ended jobs."""

import asyncio
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm import Executor
from snakemake_interface_executor_plugins.executors import remote

from vlkd_steps.graph import executor_polling


def test_the_profile_decides_whatever_the_plugin_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "next_seconds_between_status_checks"
    monkeypatch.setattr(remote.RemoteExecutor, name, vars(remote.RemoteExecutor)[name])  # put back after the test
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(remote.asyncio, "sleep", sleep)
    executor = object.__new__(Executor)
    settings = SimpleNamespace(seconds_between_status_checks=7)
    executor.workflow = SimpleNamespace(remote_execution_settings=settings)
    executor_polling.steady()
    for asked in (1, 11, 180):
        executor.next_seconds_between_status_checks = asked
        asyncio.run(executor.sleep())
    assert slept == [7, 7, 7]
