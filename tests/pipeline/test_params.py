"""A wrong params.yaml ends in its message, before anything runs."""

import pytest

EXHAUSTIVE = pytest.mark.exhaustive  # tests/config has these messages; here, that they pass through Snakemake


@pytest.fixture(scope="module")
def project(new_project):
    return new_project("params")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"experimentt": "scenes"},
            "error: params.yaml: unknown key 'experimentt' at the top level; did you mean 'experiment'?",
        ),
        pytest.param(
            {"overrides": {"training.step": 1}},
            "overrides has unknown key 'training.step'; did you mean 'training.steps'?",
            marks=EXHAUSTIVE,
        ),
        (
            {"overrides": {"variants.clip_td.distance": "l3"}},
            "error: params.yaml: overrides: variants.clip_td.distance is 'l3'; choose from: l1, mse, cosine, "
            "relation; did you mean 'l1'?",
        ),
        pytest.param(
            {"grid": {"seed": [True]}},
            "error: params.yaml: grid.seed.0 is true; write a whole number",
            marks=EXHAUSTIVE,
        ),
        pytest.param({"conf": ["nowhere"]}, "error: params.yaml: conf names 'nowhere'", marks=EXHAUSTIVE),
        pytest.param(
            {"plugins": ["no_such_plugin"]},
            "error: params.yaml: plugins names 'no_such_plugin'",
            marks=EXHAUSTIVE,
        ),
    ],
)
def test_a_typo_in_params_ends_in_its_message_and_nothing_else(project, changes, message) -> None:
    good = (project.folder / "params.yaml").read_text()
    project.params(**changes)
    output = project.snakemake("-n", status=2)
    (project.folder / "params.yaml").write_text(good)
    lines = [line for line in output.splitlines() if not line.startswith("Using workflow specific profile")]
    assert len(lines) == 1
    assert message in lines[0]


def test_an_unknown_config_argument(project) -> None:
    output = project.snakemake("-n", "--config", "experimemt=scenes", status=2)
    assert "did you mean 'experiment'?" in output
    assert "Traceback" not in output


def test_a_job_on_a_cluster_does_not_make_what_was_not_planned(project) -> None:
    planned = project.folder / ".snakemake/vlkd_planned.json"
    planned.parent.mkdir()
    planned.write_text('{"data/raw/scenes_smoke/manifest.json": "other"}')
    job = ("--mode", "remote", "--target-jobs", "download:source=scenes_smoke")
    output = project.run("snakemake", "--cores", "1", *job, status=2)
    assert "what makes data/raw/scenes_smoke/manifest.json was edited since this run began" in output
    assert "Traceback" not in output
    assert not (project.folder / "data/raw").exists()


def test_resources_that_nothing_reads_and_such_that_cannot_be_read(project) -> None:
    output = project.snakemake("-n", "--set-resources", "distill:gpus=1", "distil:launcher=slurm")
    assert "note: set-resources: distill: nothing reads 'gpus'; did you mean 'gpu'?" in output
    assert "note: set-resources names the rule 'distil'" in output
    output = project.snakemake("-n", "--set-resources", "distill:slurm_partition=all", status=2)
    assert "error: set-resources: distill: slurm_partition is all" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(b"", "is empty", marks=EXHAUSTIVE),
        (b"name: scenes_smoke_vqa\nname: scenes_smoke_vqa\n", "the key 'name' appears twice (line 2"),
        pytest.param(b"name: \xff\n", "is not UTF-8", marks=EXHAUSTIVE),
        pytest.param(
            b"defaults: [scenes_vqa, _self_]\nname: other\n",
            "name is 'other'; write name: scenes_smoke_vqa",
            marks=EXHAUSTIVE,
        ),
        (
            b"defaults: [scenes_vqa, _self_]\nname: scenes_smoke_vqa\nsource: scenes_smoke\nimage_name: ${nothing}\n",
            "image_name: Interpolation key 'nothing' not found",
        ),
    ],
)
def test_a_mistake_in_a_file_of_the_users_ends_in_its_message(project, text: bytes, message: str) -> None:
    good = (project.folder / "params.yaml").read_text()
    file = project.folder / "mine/dataset/scenes_smoke_vqa.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text)
    project.params(experiment="scenes_smoke", grid={"dataset": ["scenes_smoke_vqa"]}, conf=["mine"])
    output = project.snakemake("-n", status=2)
    (project.folder / "params.yaml").write_text(good)
    lines = [line for line in output.splitlines() if not line.startswith("Using workflow specific profile")]
    assert len(lines) == 1
    assert lines[0].startswith("error: mine/dataset/scenes_smoke_vqa.yaml")
    assert message in lines[0]
