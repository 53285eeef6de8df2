"""Which variables of the user's shell are passed on to the programs that we start.

sbatch reads ``SBATCH_PARTITION`` before the script's own ``--partition``, squeue hides jobs by ``SQUEUE_PARTITION``, a
``PYTHONPATH`` may shadow this package, ``MLFLOW_RUN_ID`` names another run. Settings come from the profile and
params.yaml instead: every variable with such a prefix is dropped unless `KEPT` names it; all others stay as they are.

- `use_own`: drop the shell's variables for Slurm's commands, Python and MLflow; then our own package is found first.
- `leave_job`: drop the variables of the enclosing Slurm job (an interactive one, or ``sbatch --wrap snakemake``).
  Only for processes that submit jobs: a step needs the variables of its own job.
- `of_snakemake`: both of these, for the Snakefile; `shell_prefix` for the rules' shells.
- `submit_by_own_sbatch`, `find_cluster_in_job`: for Snakemake's executor, here and on a compute node.

Nothing here imports more than the standard library, `project_files` and `terminal`: every program starts with it.
"""

import getpass
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vlkd_steps.core import project_files
from vlkd_steps.core.terminal import say

PROJECT = Path(__file__).absolute().parents[2]
"""The folder that holds this package: a clone's root, or site-packages. Not resolved: a compute node may
know it by this path only."""

INSTALLED = PROJECT.name in ("site-packages", "dist-packages")
"""Every start of this environment's Python finds the package then, and PYTHONPATH would put all packages beside it
before the standard library."""

COMMANDS = (
    "SBATCH_*", "SALLOC_*", "SRUN_*", "SQUEUE_*", "SCANCEL_*", "SCONTROL_*", "SINFO_*", "SACCT_*", "SACCTMGR_*",
    "SSTAT_*", "SPRIO_*",
)  # fmt: skip
"""Options of Slurm's commands. (srun's own are mostly ``SLURM_``, see `JOB`.)"""

PROCESSES = (
    "RANK", "WORLD_SIZE", "LOCAL_*RANK", "LOCAL_*SIZE", "GROUP_*RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_*",
    "ACCELERATE_*", "PMI_*", "PMI2_*", "PMIX_*", "OMPI_*",
)  # fmt: skip
"""Variables of parallel launchers; training in several is `training.processes` of params.yaml."""

OUR_CHOICE = (*COMMANDS, *PROCESSES, "PYTHON*", "MLFLOW_*")

JOB = ("SLURM_*", "SLURMD_*", "SPANK_*")
"""What Slurm sets within a job; also defaults for sbatch and srun."""

KEPT = (
    # which cluster, and the user there
    "SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT",
    # how Python runs; not what it imports (PYTHONPATH, PYTHONHOME, PYTHONSAFEPATH) or does afterwards (PYTHONINSPECT)
    "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONHASHSEED", "PYTHONWARNINGS",
    "PYTHONFAULTHANDLER", "PYTHONMALLOC", "PYTHONTRACEMALLOC", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONNOUSERSITE",
    "PYTHON_COLORS",
    # where MLflow's server, its artifacts and its databases are, and how they are reached
    "MLFLOW_TRACKING_*", "MLFLOW_REGISTRY_URI", "MLFLOW_WORKSPACE", "MLFLOW_S3_*", "MLFLOW_BOTO_*", "MLFLOW_GCS_*",
    "MLFLOW_KERBEROS_*", "MLFLOW_PYARROW_EXTRA_CONF", "MLFLOW_DFS_TMP", "MLFLOW_HTTP_*", "MLFLOW_ALLOW_HTTP_REDIRECTS",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "MLFLOW_MULTIPART_*", "MLFLOW_ENABLE_MULTIPART_*",
    "MLFLOW_ENABLE_PROXY_MULTIPART_*", "MLFLOW_SQLALCHEMYSTORE_*", "MLFLOW_MYSQL_SSL_*", "MLFLOW_ALLOW_FILE_STORE",
    "MLFLOW_DATABRICKS_*", "MLFLOW_DISABLE_DATABRICKS_*",
    # access to the page of `vlkd ui`, and its warnings
    "MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", "MLFLOW_SERVER_X_FRAME_OPTIONS",
    "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_LOGGING_LEVEL", "MLFLOW_CONFIGURE_LOGGING",
)  # fmt: skip

IN_PROFILE: Mapping[str, str] = {
    "SBATCH_ACCOUNT": "slurm_account",
    "SBATCH_PARTITION": "slurm_partition",
    "SBATCH_QOS": "qos",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_TIMELIMIT": "runtime",
    "SBATCH_MEM_PER_NODE": "mem_mb",
    "SBATCH_MEM_PER_CPU": "mem_mb",
    "SBATCH_MEM_PER_GPU": "mem_mb",
    "SBATCH_GRES": "gpu",
    "SBATCH_GPUS": "gpu",
    "SBATCH_GPUS_PER_NODE": "gpu",
    "SBATCH_GPUS_PER_TASK": "gpu",
    "SBATCH_CLUSTERS": "SLURM_CLUSTERS (in the shell)",
}
"""Keys of a profile that replace the shell's options; other options of sbatch: slurm_extra."""

OF_PIPELINE = (
    "SBATCH_JOB_NAME", "SBATCH_OUTPUT", "SBATCH_ERROR", "SBATCH_INPUT", "SBATCH_ARRAY_INX", "SBATCH_SIGNAL",
    "SBATCH_WAIT", "SBATCH_REQUEUE", "SBATCH_NO_REQUEUE", "SBATCH_EXPORT", "SBATCH_GET_USER_ENV", "SBATCH_OPEN_MODE",
    "SBATCH_DEBUG",
)  # fmt: skip
"""Options that neither a shell nor a profile can set."""


def use_own(environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """Drop the user's shell variables that affect programs we start; returns the names."""
    gone = [name for name in sorted(environment) if belongs(name, OUR_CHOICE) and not belongs(name, KEPT)]
    ours = environment.get("PYTHONPATH") == str(PROJECT)
    for name in gone:
        del environment[name]
    environment.update(own_package({}))
    return [name for name in gone if not (name == "PYTHONPATH" and ours)]


def leave_job(environment: MutableMapping[str, str] = os.environ) -> None:
    """Drop the variables of the enclosing job, so that submitted jobs are independent of it; the cluster's are kept."""
    for name in list(environment):
        if belongs(name, JOB) and not belongs(name, KEPT):
            del environment[name]


def own_package(given: Mapping[str, str]) -> dict[str, str]:
    """`given`, changed so that Python finds this package first: by PYTHONPATH or, with a colon in its path, as ``.``"""
    rest = [entry for entry in given.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != str(PROJECT)]
    dropped = ("PYTHONPATH", "PYTHONSAFEPATH", "PYTHONHOME")
    changed = {name: value for name, value in given.items() if name not in dropped}
    entries = rest if INSTALLED else [str(PROJECT), *rest]
    return changed | ({"PYTHONPATH": os.pathsep.join(entries)} if entries else {})


def of_snakemake(workflow: Any) -> str:
    """Set up the environment of Snakemake, its executor and all steps; returns the prefix of the rules' shell commands.

    Called while the Snakefile is read, before an executor exists; ``jobs`` is set by the process that submits.
    """
    settings = workflow.resource_settings
    name_user()  # Snakemake looks the name up in every mode
    if workflow.is_main_process:
        submits = settings.nodes is not None
        ignored = not_used(use_own())
        if submits:
            leave_job()
            submit_by_own_sbatch()
        if ignored and (submits or any("launcher" in rule for rule in settings.overwrite_resources.values())):
            say(f"note: {ignored}", file=sys.stderr)
    elif workflow.remote_exec:
        find_cluster_in_job()
    return shell_prefix(own_python=not workflow.deployment_settings.deployment_method)


def name_user(environment: MutableMapping[str, str] = os.environ) -> None:
    """In containers a user id may have no name: `getpass.getuser`, which Snakemake calls, then needs a variable."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        environment["LOGNAME"] = str(os.getuid())


def shell_prefix(own_python: bool) -> str:
    """Bash commands that make a rule's ``python`` import this package, whatever ``BASH_ENV`` has set.

    Args:
        own_python: make ``python`` the running interpreter, even if its environment is not activated. False where the
            rules have their own environments (conda).
    """
    path = f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"; ' if own_python else ""
    package = "unset PYTHONSAFEPATH PYTHONHOME PYTHONPATH; "
    package += "" if INSTALLED else f"export PYTHONPATH={shlex.quote(str(PROJECT))}; "
    return f"set -euo pipefail; {path}{package}".replace("{", "{{").replace("}", "}}")  # Snakemake formats it


def submit_by_own_sbatch(environment: MutableMapping[str, str] = os.environ) -> None:
    """Give Snakemake's executor ``workflow/bin/login/sbatch``, which prints a job's id alone, and always a sacct."""
    sbatch, sacct = (shutil.which(name, path=environment.get("PATH")) for name in ("sbatch", "sacct"))
    if sbatch and "VLKD_SBATCH" not in environment:
        environment.update(VLKD_SBATCH=sbatch, VLKD_SACCT=sacct or "false", VLKD_PYTHON=sys.executable)
        environment["PATH"] = _programs("login", environment)


def find_cluster_in_job(environment: MutableMapping[str, str] = os.environ) -> None:
    """Keep SLURM_CONF from Snakemake's job steps, which drop it before they call ``workflow/bin/node/srun``."""
    srun = shutil.which("srun", path=environment.get("PATH"))
    conf = environment.get("SLURM_CONF")
    if conf and srun and "VLKD_SRUN" not in environment:
        environment.update(VLKD_SRUN=srun, VLKD_SLURM_CONF=conf, PATH=_programs("node", environment))


def _programs(node: str, environment: Mapping[str, str]) -> str:
    """PATH with our programs for this kind of node (`login` or `node`) first."""
    return os.pathsep.join([str(project_files.FOLDER / "workflow/bin" / node), environment.get("PATH", os.defpath)])


def not_used(names: Iterable[str]) -> str:
    """One line naming the options of sbatch among the dropped variables; empty if there are none."""
    options = [name for name in names if name.startswith("SBATCH_")]
    if not options:
        return ""
    keys = dict.fromkeys(filter(None, map(profile_key, options)))
    are = "is" if len(options) == 1 else "are"
    instead = f"set {', '.join(keys)} in the profile" if keys else "the pipeline chooses that itself"
    return f"{', '.join(options)} of your shell {are} not used; {instead}"


def profile_key(option: str) -> str:
    """The profile's key for this variable of sbatch; empty if the pipeline sets it itself."""
    return "" if option in OF_PIPELINE else IN_PROFILE.get(option, "slurm_extra")


def belongs(name: str, families: Iterable[str]) -> bool:
    return any(fnmatchcase(name, family) for family in families)
