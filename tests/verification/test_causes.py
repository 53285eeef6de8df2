"""What has changed since a run was trained, from what its folder records."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from vlkd_steps.verification import causes, recorded_run
from vlkd_steps.verification.causes import Cause

THEN: dict[str, Any] = {
    "device": "cuda:0",
    "precision": "bf16",
    "threads": 1,
    "python": "3.11.7",
    "allocation": {"processes": 2, "cpus": 8},
    "host": {"machine": "x86_64", "cpu": "AMD EPYC", "cpus": 64, "gpus": ["NVIDIA H100"]},
    "versions": {"numpy": "2.4.6", "torch": "2.14.1", "mlflow": "3.0"},
}


def test_an_environment_is_compared_by_what_can_change_a_byte() -> None:
    assert list(causes.of_environment(THEN, THEN)) == []
    other = {**THEN, "versions": {"mlflow": "3.1", "numpy": "2.4.6", "torch": "2.15"}, "seconds": 3}
    assert list(causes.of_environment(THEN, other)) == [Cause("version of torch", "2.14.1", "2.15")]
    host = {"machine": "aarch64", "cpu": "", "cpus": 2, "gpus": []}
    found = list(causes.of_environment(THEN, {**THEN, "device": "cpu", "precision": "fp32", "host": host}))
    assert [each.what for each in found] == ["device", "precision", "machine type", "CPU", "GPUs"]
    assert str(found[-1]) == "GPUs: was NVIDIA H100, is none"
    assert list(causes.of_environment({}, THEN)) == []  # nothing was recorded
    variables = {**THEN, "kernels": {"MKL_CBWR": "AVX2"}}
    haswell = {**THEN, "kernels": {"MKL_CBWR": "AVX2", "OPENBLAS_CORETYPE": "Haswell"}}
    assert list(causes.of_environment(THEN, haswell)) == []
    (cause,) = causes.of_environment(variables, haswell)
    assert str(cause) == "environment variable OPENBLAS_CORETYPE: was not set, is Haswell"
    alone = {"processes": 1, "cpus": 8}
    assert list(causes.of_environment(THEN, {**THEN, "allocation": alone})) == [Cause("processes", 2, 1)]


def test_other_code_is_named_by_fingerprint_and_commit(run: Path) -> None:
    found = recorded_run.read(run)
    now = found.described["made_of"]["code"]
    assert list(causes.of_code(found, now, {"commit": "b" * 40})) == []
    found = replace(found, provenance={"git": {"commit": "a" * 40, "dirty": True}})
    (cause,) = causes.of_code(found, "0123456789abcdef", {"commit": None})
    assert (cause.then, cause.now) == (f"{now} ({'a' * 12} with uncommitted changes)", "0123456789abcdef")


def test_an_edited_configuration_is_seen_by_its_content_key_alone(run: Path) -> None:
    (run / "journal.jsonl").unlink()
    assert list(causes.of_configuration(recorded_run.read(run))) == []
    path = run / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["training"]["checkpoint_every"] = 5  # changes no byte
    path.write_text(yaml.safe_dump(config))
    assert list(causes.of_configuration(recorded_run.read(run))) == []
    config["student"]["architecture"]["hidden_dropout_prob"] = 0.2
    path.write_text(yaml.safe_dump(config))
    (cause,) = causes.of_configuration(recorded_run.read(run))
    assert cause.what.startswith(f"content key of {path}")
    assert cause.then == config["content_key"]
