import shlex

import pytest
from snakemake.cli import parse_config

from vlkd_steps.core import experiment_option


@pytest.mark.parametrize("name", ["scenes", "2024_05", "2024", "1e3", "nan", "infinity", "on", "null", "True", "_1"])
def test_snakemake_reads_the_name(name: str) -> None:
    assert parse_config([experiment_option.entry(name)]) == {"experiment": name}
    assert shlex.split(experiment_option.typed(name)) == ["--config", experiment_option.entry(name)]


def test_ordinary_names_are_not_quoted() -> None:
    assert experiment_option.typed("scenes_vqa") == "--config experiment=scenes_vqa"
