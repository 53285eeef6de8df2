"""What of a user's shell reaches the programs that are started (the real graph: tests/pipeline/test_shell.py)."""

import os
import re
import subprocess
from pathlib import Path

import mlflow
from mlflow import environment_variables

from vlkd_steps.core import environment

HOSTILE = {
    "SBATCH_PARTITION": "gold", "SQUEUE_PARTITION": "gold", "SCANCEL_STATE": "PENDING", "SRUN_DEBUG": "3",
    "SINFO_ALL": "1", "SACCT_FORMAT": "x", "SALLOC_ACCOUNT": "x", "SCONTROL_ALL": "1", "PYTHONSAFEPATH": "1",
    "PYTHONHOME": "/nowhere", "PYTHONSTARTUP": "x.py", "PYTHONINSPECT": "1", "WORLD_SIZE": "2", "RANK": "1",
    "LOCAL_RANK": "1", "ACCELERATE_MIXED_PRECISION": "fp16", "PMI_SIZE": "2", "MLFLOW_RUN_ID": "x",
    "MLFLOW_EXPERIMENT_NAME": "x", "MLFLOW_EXPERIMENT_ID": "1",
}  # fmt: skip
FRIENDLY = {
    "SLURM_CONF": "/etc/x.conf", "SLURM_CLUSTERS": "one", "SLURM_JWT": "secret", "PATH": "/bin", "HOME": "/home/ada",
    "PYTHONUNBUFFERED": "1", "PYTHONPYCACHEPREFIX": "/tmp/x", "MLFLOW_TRACKING_URI": "http://server",
    "MLFLOW_TRACKING_TOKEN": "secret", "MLFLOW_S3_ENDPOINT_URL": "http://s3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "9",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "me", "HF_HOME": "/models", "CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "1",
    "VLKD_LOCAL": "/var/tmp", "MASTER": "a word of the user's own",
}  # fmt: skip
OF_JOB = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURMD_NODENAME": "node7"}


def test_what_a_shell_chooses_for_our_programs_is_dropped_and_all_else_stays() -> None:
    variables = {**HOSTILE, **FRIENDLY, **OF_JOB, "PYTHONPATH": "/elsewhere"}
    assert environment.use_own(variables) == sorted([*HOSTILE, "PYTHONPATH"])
    assert variables == {**FRIENDLY, **OF_JOB, "PYTHONPATH": str(environment.PROJECT)}
    assert environment.use_own(variables) == []


def test_who_submits_leaves_the_job_around_it_but_not_its_cluster() -> None:
    variables = {**FRIENDLY, **OF_JOB}
    environment.leave_job(variables)
    assert variables == FRIENDLY


def test_names_only_and_where_the_profile_says_it() -> None:
    ignored = environment.use_own({"SBATCH_ACCOUNT": "secret", "SBATCH_NICE": "secret", "MLFLOW_RUN_ID": "secret"})
    said = environment.not_used(ignored)
    assert "secret" not in said
    assert said.startswith("SBATCH_ACCOUNT, SBATCH_NICE of your shell are not used; set slurm_account, slurm_extra ")
    assert environment.not_used(["MLFLOW_RUN_ID", "SQUEUE_SORT"]) == ""
    assert "slurm_extra" not in environment.not_used(["SBATCH_JOB_NAME"])


def test_mlflow_reads_what_is_kept_and_its_server_no_option_from_the_shell() -> None:
    known = {
        each.name for each in vars(environment_variables).values()
        if isinstance(each, environment_variables._EnvironmentVariable)
    }  # fmt: skip
    families = [each for each in environment.KEPT if each.startswith("MLFLOW_")]
    unknown = [each for each in families if not any(environment.belongs(name, [each]) for name in known)]
    assert unknown == []
    package = Path(mlflow.__file__).parent
    sources = [*package.glob("cli/*.py"), package / "utils/cli_args.py"]
    options = {name for path in sources for name in re.findall(r'envvar="(MLFLOW_\w+)"', path.read_text())}
    assert "MLFLOW_BACKEND_STORE_URI" in options
    reached = {name for name in options if environment.belongs(name, environment.KEPT)}
    assert reached == {
        "MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", "MLFLOW_SERVER_X_FRAME_OPTIONS",
    }  # fmt: skip


def test_a_package_of_our_name_is_not_found_first(tmp_path: Path) -> None:
    foreign(tmp_path)
    given = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    changed = environment.own_package(given)
    assert changed["PYTHONPATH"].split(os.pathsep) == [str(environment.PROJECT), str(tmp_path)]
    command = ["python", "-c", "import vlkd_steps; print(vlkd_steps.__file__)"]
    done = subprocess.run(command, env=changed, cwd=tmp_path.parent, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).parents[1] == environment.PROJECT


def foreign(folder: Path) -> Path:
    """A folder with another package of our name, which ends every program that imports it."""
    (folder / "vlkd_steps").mkdir(parents=True)
    (folder / "vlkd_steps/__init__.py").write_text("raise SystemExit('another vlkd_steps')\n")
    return folder
