from pathlib import Path

import pytest

from vlkd_steps.checks import profile
from vlkd_steps.checks.profile import Asked
from vlkd_steps.core.errors import UserError

GPU = """
executor: slurm
default-resources:
  slurm_partition: cpu
  runtime: 60
  mem_mb: 8000
set-resources:
  distill: &gpu
    launcher: slurm
    slurm_partition: gpu
    slurm_account: ours
    qos: long
    gpu: 2
    gpu_model: a100
    runtime: 4h
    mem_mb: 32000
    cpus_per_task: 8
    nodes: 2
    tasks: 2
    warning: 90
  extract:
    <<: *gpu
    mem_mb:
    mem: 16GB
    workers: 4
  compare:
    mem: 2GB
"""


@pytest.fixture
def asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def read(text: str) -> dict[str, Asked]:
        path = tmp_path / "profiles" / "mine" / "config.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return {asked.rule: asked for asked in profile.read("mine").asks()}

    return read


def test_each_rule_asks_for_its_own(asks) -> None:
    found = asks(GPU)
    assert set(found) == {"distill", "extract", "compare", "other rules"}
    assert found["distill"] == Asked(
        rule="distill", partition="gpu", account="ours", qos="long", gpu_type="a100", gpus=2, mem_mb=32000, minutes=240,
        nodes=2, tasks=2, cpus_per_task=8,
    )  # fmt: skip
    assert (found["extract"].mem_mb, found["extract"].workers, found["extract"].gres) == (16000, 4, "gpu:a100:2")
    assert found["other rules"] == Asked(rule="other rules", partition="cpu", mem_mb=8000, minutes=60)
    assert found["compare"] == Asked(rule="compare", partition="cpu", mem_mb=2000, minutes=60)
    assert found["distill"].options() == [
        "--partition=gpu", "--account=ours", "--qos=long", "--gres=gpu:a100:2", "--mem=32000M", "--time=240",
        "--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=8",
    ]  # fmt: skip
    assert profile.read("mine").here() == ["pretrain"]
    assert profile.read("mine").needs_slurm


def test_the_ways_of_the_command_line_are_read_too(asks) -> None:
    found = asks(
        "executor: slurm\ndefault-resources: [slurm_partition=cpu, 'mem_mb=attempt * 4000', runtime=90m]\n"
        "set-resources: ['distill:launcher=slurm', 'distill:slurm_partition=gpu']\n"
    )
    assert found["other rules"] == Asked(rule="other rules", partition="cpu", minutes=90)  # an expression: not known
    assert found["distill"].partition == "gpu"


def test_without_slurm_nothing_is_asked(asks) -> None:
    assert asks("cores: all\n") == {}
    assert not profile.read("mine").needs_slurm


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("runtime: soon", "distill: runtime is 'soon'; write minutes, or 2h"),
        ("mem_mb: 16 potatoes", "distill: mem_mb is '16 potatoes'; write 32000, or 32GB"),
        ("nodes: two", "distill: nodes is 'two'; write a whole number"),
        ("slurm_extra: --time=3", "slurm_extra sets --time, which comes from the resource `runtime`"),
        ("tries: never", "the resource tries is 'never'; write a whole number"),
    ],
)
def test_a_value_that_cannot_be_is_named(asks, line: str, told: str) -> None:
    with pytest.raises(UserError) as mistake:
        asks(f"set-resources:\n  distill:\n    launcher: slurm\n    {line}\n")
    assert told in str(mistake.value)


def test_the_projects_own_profiles_can_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    for path in sorted(Path("profiles").glob("*/config.yaml")):
        found = profile.read(path.parent.name)
        assert {asked.rule for asked in found.asks()} >= (
            {"distill", "extract", "pretrain"} if found.needs_slurm else set()
        )


def test_no_such_profile(asks) -> None:
    asks("cores: all\n")
    with pytest.raises(UserError, match=r"there is no profile 'mien' .*did you mean 'mine'"):
        profile.read("mien")
    with pytest.raises(UserError, match="not valid YAML"):
        asks("cores: [\n")
    with pytest.raises(UserError, match="holds no keys"):
        asks("- cores\n")
