import pytest

from vlkd_steps.cli import plan
from vlkd_steps.core.errors import UserError
from vlkd_steps.graph import dry_run
from vlkd_steps.graph.dry_run import Job

OUTPUT = """Building DAG of jobs...

[Mon Nov 23 01:20:45 2026]
rule manifest_pretrain:
    output: manifests/scenes/pretrain.json
    resources: tmpdir=/tmp
[Mon Nov 23 01:20:45 2026]
localrule distill:
    input: data/a.parquet
    output: runs/a, runs/b
    wildcards: dataset=scenes_vqa, student=vilt_scenes, variant=clip_td, shot=1pct
    resources: tmpdir=/tmp
[Mon Nov 23 01:20:45 2026]
rule compare:
    input: runs/a
    jobid: 3
Job stats:
job    count
"""


def test_jobs_are_listed_from_download_to_report_whatever_the_dry_runs_order() -> None:
    blocks = OUTPUT.split("\n\n")[1].replace("Job stats:\njob    count\n", "").split("[Mon")[1:]
    mixed = "\n".join(f"[Mon{block}" for block in reversed(blocks))
    assert [job.rule for job in dry_run.parse(mixed)] == ["distill", "compare"]


def test_jobs_are_read_with_their_wildcards_and_without_manifests() -> None:
    cell = {"dataset": "scenes_vqa", "student": "vilt_scenes", "variant": "clip_td", "shot": "1pct"}
    assert dry_run.parse(OUTPUT) == [Job("distill", cell), Job("compare", {})]
    assert dry_run.parse("Nothing to be done.\n") == []


def test_outside_the_project_is_reported(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"Snakefile is not in .*; run this in a project's folder"):
        dry_run.dry_run()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu", "a100", "--tflops", "3"], "--gpu and --tflops both give the device's speed"),
        (["--gpu", "a100", "--utilisation", "30"], "--utilisation is 30; give a share of the peak, such as 0.3"),
        (["--tflops", "-1"], "--tflops is -1; give what the device sustains"),
        (["--tflops", "nan"], "--tflops is nan; give what the device sustains"),
        (["--tflops", "inf"], "--tflops is inf; give what the device sustains"),
        (["--cores", "0"], "'--cores': Input should be greater than or equal to 1"),
        (["paper_vqq"], "did you mean 'paper_vqa'?"),
    ],
)
def test_mistakes_in_calling_it(root, monkeypatch, capsys, arguments: list[str], message: str) -> None:
    monkeypatch.chdir(root)
    assert plan.main(arguments) == 2
    assert message in capsys.readouterr().err
