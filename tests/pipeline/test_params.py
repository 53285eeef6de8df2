"""A wrong params.yaml ends in its message, before anything runs."""

import pytest


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
        (
            {"overrides": {"training.step": 1}},
            "overrides has unknown key 'training.step'; did you mean 'training.steps'?",
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
