from pathlib import Path

import pytest
import yaml

from vlkd_steps.checks import profile
from vlkd_steps.checks.profile import options
from vlkd_steps.core.errors import UserError
from vlkd_steps.launch.slurm.request import Request

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
    launcher: slurm
    mem: 16GB
    workers: 4
  compare:
    mem: 2GB
"""


@pytest.fixture
def requested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def read(text: str) -> dict[str, Request]:
        path = tmp_path / "profiles" / "mine" / "config.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return profile.read("mine").requests()

    return read


def test_each_rule_requests_its_own_resources(requested) -> None:
    found = requested(GPU)
    assert set(found) == {"distill", "extract", "compare", "other rules"}
    assert found["distill"] == Request(
        slurm_partition="gpu", slurm_account="ours", qos="long", gpu=2, gpu_model="a100", runtime=240, mem_mb=32000,
        cpus_per_task=8, nodes=2, tasks=2, warning=90,
    )  # fmt: skip
    assert (found["extract"].mem_mb, found["extract"].workers) == (16000, 4)
    assert options(found["other rules"]) == [
        "--partition=cpu", "--time=60", "--nodes=1", "--ntasks-per-node=1", "--cpus-per-task=1", "--mem=8000M",
        "--requeue",
    ]  # fmt: skip
    assert "--mem=2000M" in options(found["compare"])
    assert "--time=60" in options(found["compare"])
    assert options(found["distill"]) == [
        "--partition=gpu", "--account=ours", "--qos=long", "--time=240", "--nodes=2", "--ntasks-per-node=2",
        "--cpus-per-task=8", "--mem=32000M", "--requeue", "--gres=gpu:a100:2",
    ]  # fmt: skip
    assert profile.read("mine").here() == ["pretrain"]
    assert profile.read("mine").needs_slurm


def test_the_ways_of_the_command_line_are_read_too(requested) -> None:
    found = requested(
        "executor: slurm\ndefault-resources: [slurm_partition=cpu, 'mem_mb=attempt * 4000', runtime=90m]\n"
        "set-resources: ['distill:launcher=slurm', 'distill:slurm_partition=gpu']\n"
    )
    assert "--time=90" in options(found["other rules"])
    assert not any(option.startswith("--mem") for option in options(found["other rules"]))  # an expression: not known
    assert found["distill"].slurm_partition == "gpu"


def test_what_a_rule_does_not_name_is_what_the_launcher_takes_and_the_executor_leaves_out(requested) -> None:
    found = requested(
        "executor: slurm\nset-resources:\n  distill: {launcher: slurm, slurm_extra: --nice=100 --exclusive}\n"
    )
    assert "--time=60" in options(found["distill"])
    assert "--mem=4000M" in options(found["distill"])
    assert options(found["distill"])[-2:] == ["--nice=100", "--exclusive"]
    others = options(found["other rules"])
    assert not any(option.startswith(("--time", "--mem", "--partition")) for option in others)


@pytest.mark.parametrize(
    ("written", "option"),
    [
        ("runtime: 2h", "--time=120"), ("runtime: 1d", "--time=1440"), ("runtime: 1w", "--time=10080"),
        ("runtime: 90", "--time=90"), ("runtime: 150m", "--time=150"), ("runtime: 30 minutes", "--time=30"),
        ("mem: 16GB", "--mem=16000M"), ("mem: 1 TB", "--mem=1000000M"), ("mem: 512MiB", "--mem=537M"),
        ("mem_mb: 4000", "--mem=4000M"), ("mem_mb: 1500.7", "--mem=1501M"),
        ("slurm_partition: \"'all'\"", "--partition=all"), ("slurm_extra: \"'--nice=100'\"", "--nice=100"),
    ],
)  # fmt: skip
def test_units_are_read_as_snakemake_reads_them(requested, written: str, option: str) -> None:
    found = requested(f"executor: slurm\nset-resources:\n  distill:\n    launcher: slurm\n    {written}\n")
    assert option in options(found["distill"])


def test_without_slurm_nothing_is_queried(requested) -> None:
    assert requested("cores: all\n") == {}
    assert not profile.read("mine").needs_slurm


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("runtime: soon", "the resource runtime is 'soon'; write minutes, or 2h"),
        ("mem: 16 loaves", "the resource mem is '16 loaves'; write 32GB"),
        ("nodes: two", "the resource nodes is 'two'; write a whole number"),
        ("slurm_extra: --time=3", "slurm_extra sets --time, which comes from the resource `runtime`"),
        ("tries: never", "the resource tries is 'never'; write a whole number"),
    ],
)
def test_a_value_that_cannot_be_is_named(requested, line: str, message: str) -> None:
    with pytest.raises(UserError) as mistake:
        requested(f"set-resources:\n  distill:\n    launcher: slurm\n    {line}\n")
    assert message in str(mistake.value)
    assert "profiles/mine/config.yaml: distill: " in str(mistake.value)


def notes(text: str) -> list[str]:
    return profile.Profile(Path("config.yaml"), yaml.safe_load(text)).notes()


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("set-resources: {distill: {gpus: 1}}", ["distill", "'gpus'", "did you mean 'gpu'"]),
        ("set-resources: ['extract:partition=gpu']", ["extract", "'partition'", "did you mean 'slurm_partition'"]),
        ("set-resources: {distil: {launcher: slurm}}", ["'distil'", "does not exist", "did you mean 'distill'"]),
    ],
)
def test_what_nothing_reads_is_a_note(text: str, facts: list[str]) -> None:
    [note] = notes(text)
    assert all(fact in note for fact in facts), note


def test_what_is_read_is_none(root: Path) -> None:
    for path in (root / "profiles").glob("*/config.yaml"):
        assert notes(path.read_text()) == []
    assert notes("resources: [net=3]\nset-resources: {distill: {net: 1, mem: 32GB}, manifest_split: {mem: 1GB}}") == []
    assert notes("set-resources: {compare: {slurm_account: }}\nresources: net=3") == []  # drops the default
    mem = "set-resources: {distill: {mem_mb: attempt * 4000, cpus_per_task: threads, detach: 'True'}}"
    assert notes(f"{mem}\ndefault-resources: {{mem_mb: 4000 if attempt < 2 else 8000}}") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("set-resources: {distill: {slurm_partition: all}}", "set-resources: distill: slurm_partition is all, a word"),
        ("default-resources: [qos=max]", "default-resources: qos is max, a word of Python"),
        ("set-resources: {distill: {mem_mb: 32GB}}", "set-resources: distill: mem_mb is '32GB'; write a number"),
        ("set-resources: {distill: {slurm_account: }}", "set-resources: distill: slurm_account is empty"),
    ],
)
def test_what_snakemake_cannot_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        notes(text)


def test_the_projects_own_profiles_can_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    for path in sorted(Path("profiles").glob("*/config.yaml")):
        found = profile.read(path.parent.name)
        assert set(found.requests()) >= ({"distill", "extract", "pretrain"} if found.needs_slurm else set())


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"jobs: \xff\n", "is not valid YAML"), (b"a: 2024-99-99\n", "is not valid YAML"), (b"3\n", "has no keys")],
)
def test_a_profile_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/config.yaml").write_bytes(content)
    with pytest.raises(UserError, match=f"^mine/config.yaml {message}"):
        profile.read("mine")


@pytest.mark.parametrize("name", ["mine", "mine/config.v8+.yaml"])
def test_a_profile_for_a_version_of_snakemake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/config.yaml").write_text("jobs: 7\n")
    Path("mine/config.v8+.yaml").write_text("jobs: 8\n")
    Path("mine/config.v99+.yaml").write_text("jobs: 99\n")
    assert profile.read(name).content == {"jobs": 8}


@pytest.mark.parametrize("text", ["set-resources: 3\n", "default-resources: 3\n", "resources: 3\n"])
def test_one_value_instead_of_a_list_of_resources_is_no_traceback(requested, text: str) -> None:
    assert requested(f"executor: slurm\n{text}")["other rules"] is not None


def test_no_such_profile(requested) -> None:
    requested("cores: all\n")
    with pytest.raises(UserError, match=r"there is no profile 'mien' .*did you mean 'mine'"):
        profile.read("mien")
    with pytest.raises(UserError, match="not valid YAML"):
        requested("cores: [\n")
    with pytest.raises(UserError, match="has no keys"):
        requested("- cores\n")
