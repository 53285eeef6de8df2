"""DVC watches the user's files and code, or records nothing."""

from pathlib import Path

import pytest

from vlkd_steps.config import composition
from vlkd_steps.config.models.preset import Params
from vlkd_steps.core.errors import UserError
from vlkd_steps.graph import commit, dvc_vars, watched


@pytest.fixture
def dvc_yaml(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """dvc.yaml of this project in a new one, with a plugin and two folders of files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("watched_plugin", "conf/experiment", "other"):
        Path(name).mkdir(parents=True)
    Path("watched_plugin/__init__.py").touch()
    Path("dvc.yaml").write_text((root / "dvc.yaml").read_text())
    return tmp_path / "dvc.yaml"


def params(**given: tuple[str, ...]) -> Params:
    return Params(experiment="scenes_smoke", **given)


def test_what_dvc_yaml_does_not_list_is_refused_until_it_is_listed(dvc_yaml: Path) -> None:
    given = params(conf=("./conf", str(Path("other").absolute())), plugins=("watched_plugin",))
    with pytest.raises(UserError) as mistake:
        watched.check(given)
    assert "`- conf` and `- other` and `- watched_plugin` below every `- workflow`" in str(mistake.value)
    text = dvc_yaml.read_text()
    more = "".join(f"\n      - {name}" for name in ("conf", "other", "watched_plugin"))
    dvc_yaml.write_text(text.replace("      - workflow", f"      - workflow{more}"))
    watched.check(given)


def test_the_package_and_what_lies_elsewhere_need_no_line(dvc_yaml: Path) -> None:
    watched.check(params(conf=("vlkd_steps/conf",), plugins=("yaml",)))  # yaml: installed into an environment
    dvc_yaml.unlink()
    watched.check(params(conf=("conf",)))


def test_nothing_is_recorded_and_a_stage_stops(dvc_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("params.yaml").write_text("experiment: scenes_smoke\nconf: [conf]\n")
    c = composition.compose()
    with pytest.raises(UserError, match="does not watch"):
        commit.check(c)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    dvc_vars.check_stage(c)
    monkeypatch.setenv("DVC_STAGE", "download")
    with pytest.raises(UserError, match="does not watch"):
        dvc_vars.check_stage(c)
