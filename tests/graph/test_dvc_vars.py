"""dvc.yaml, the list of phases and dvc_vars.yaml agree, for every preset; who writes the file, and when."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import dumps_yaml, parse_yaml

from vlkd_steps.config import composition
from vlkd_steps.config.phases import PHASES, of_phase
from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.graph import dvc_vars


@pytest.fixture(scope="module")
def stages(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "dvc.yaml").read_text())["stages"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    Path("params.yaml").write_text("experiment: scenes_smoke\n")
    return tmp_path


class Expression(Template):
    """DVC's ``${a.b}``."""

    braceidpattern = r"[a-z_.]+"


def recorded(stage: Mapping[str, Any], values: Mapping[str, Any]) -> list[Path]:
    """The paths that a stage of dvc.yaml records, for one instance of it."""
    return [Path(Expression(next(iter(out))).substitute(values)) for out in stage["outs"]]


def test_dvc_yaml_has_the_stages_of_the_list_and_no_others(stages: Mapping[str, Any]) -> None:
    assert set(stages) == {*PHASES, *(name for phase in PHASES.values() for name in phase.bytes)}


def test_each_stage_of_bytes_is_repeated_for_its_own_lists(stages: Mapping[str, Any]) -> None:
    c = composition.compose(experiment="scenes_smoke")
    for phase in PHASES.values():
        for stage, names in phase.bytes.items():
            assert stages[stage]["matrix"] == {key: f"${{{stage}.{key}}}" for key in names(c)}


def test_every_phase_watches_params_and_the_lists(stages: Mapping[str, Any]) -> None:
    for phase in PHASES:
        assert stages[phase]["params"] == [{"params.yaml": None}, {"dvc_vars.yaml": None}]


@pytest.mark.parametrize("name", composition.options("experiment"))
def test_dvc_versions_every_file_of_every_phase(name: str, stages: Mapping[str, Any], shared_data: Path) -> None:
    c = composition.compose(experiment=name)
    lists = parse_yaml(dvc_vars.text(c), "dvc_vars.yaml")
    for phase, described in PHASES.items():
        outs = recorded(stages[phase], {"experiment": name})
        for stage in described.bytes:
            keys = list(lists[stage])
            for items in product(*lists[stage].values()):
                outs += recorded(stages[stage], {f"item.{key}": item for key, item in zip(keys, items, strict=True)})
        made = [path for job in of_phase(c, phase) for path in job.outputs]
        assert [path for path in made if not any(path.is_relative_to(out) for out in outs)] == []
        # and nothing that the experiment does not make
        of_others = [out for out in outs[1:] if not any(path.is_relative_to(out) for path in made)]
        assert of_others == []


def test_the_committed_file_is_that_of_the_committed_params(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert layout.DVC_VARS.read_text() == dvc_vars.text(composition.compose())


def test_a_name_that_yaml_takes_for_a_number_stays_a_name() -> None:
    c = composition.compose(experiment="scenes_smoke")
    c.artifacts.source[:] = ["1e3", "no", "007"]
    assert parse_yaml(dvc_vars.text(c), "dvc_vars.yaml")["raw_bytes"]["source"] == ["1e3", "no", "007"]


def test_it_is_written_where_it_is_not_current_and_only_there(project: Path, capsys: pytest.CaptureFixture) -> None:
    c = composition.compose()
    for damage in (None, b"<<<<<<< HEAD\n", b"\xff"):
        if damage is not None:
            layout.DVC_VARS.write_bytes(damage)
        dvc_vars.keep_current(c)
        assert layout.DVC_VARS.read_text() == dvc_vars.text(c)
        assert "commit it with params.yaml" in capsys.readouterr().err
    before = layout.DVC_VARS.stat()
    dvc_vars.keep_current(c)
    assert layout.DVC_VARS.stat().st_mtime_ns == before.st_mtime_ns
    assert capsys.readouterr().err == ""


def test_another_experiment_than_that_of_params_writes_nothing(project: Path) -> None:
    dvc_vars.keep_current(composition.compose(experiment="scenes"))
    assert not layout.DVC_VARS.exists()


def test_dvc_lock_forgets_the_bytes_that_are_no_longer_needed(project: Path) -> None:
    """In DVC's own formatting, so that the rest of the file does not change."""
    c = composition.compose()
    names = ["download", *dvc_vars.instances(c)]
    assert "features_bytes@clip_scenes-scenes_smoke_vqa" in names
    out = {"path": "x", "hash": "md5", "md5": "0" * 32, "size": 3}
    lock = {"schema": "2.0", "stages": {name: {"cmd": "true", "outs": [out]} for name in names}}
    more = {"instances_bytes@another": {"cmd": "true"}, "corpus_bytes@another": {"cmd": "true"}}
    Path("dvc.lock").write_text(dumps_yaml({**lock, "stages": {**lock["stages"], **more}}))
    dvc_vars.keep_current(c)
    assert Path("dvc.lock").read_text() == dumps_yaml(lock)


@pytest.mark.parametrize("lock", ["", "stages: 3", "<<<<<<< HEAD", "stages: ["])
def test_a_dvc_lock_that_says_nothing_is_unchanged(project: Path, lock: str) -> None:
    Path("dvc.lock").write_text(lock)
    dvc_vars.keep_current(composition.compose())
    assert Path("dvc.lock").read_text() == lock


def test_a_stage_of_dvc_writes_it_and_stops(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    c = composition.compose()
    dvc_vars.check_stage(c)
    assert not layout.DVC_VARS.exists()
    monkeypatch.setenv("DVC_STAGE", "download")
    with pytest.raises(UserError, match="repeat the command: dvc repro"):
        dvc_vars.check_stage(c)
    dvc_vars.check_stage(c)
    assert dvc_vars.is_current(c)
