"""Let Snakemake's executors look for ended jobs every ``seconds-between-status-checks``, as the profile says.

The Slurm plugin waits ten seconds longer after each look at which no job had ended, up to three minutes: the end of a
job of two minutes is then seen up to a minute late, and a run that failed or was interrupted ends as late.
"""

from typing import Any

from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


def steady() -> None:
    """Make an executor's own interval that of the profile, whatever the plugin sets it to."""
    RemoteExecutor.next_seconds_between_status_checks = property(_of_the_profile, lambda executor, seconds: None)


def _of_the_profile(executor: RemoteExecutor) -> Any:
    return executor.workflow.remote_execution_settings.seconds_between_status_checks
