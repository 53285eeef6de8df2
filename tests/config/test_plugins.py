"""Methods of one's own, from a package that params.yaml names or that is installed with entry points."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from vlkd_steps.cli import command, table
from vlkd_steps.config import composition, jobs, step_code
from vlkd_steps.config.models import kinds
from vlkd_steps.config.models.composition import Cell
from vlkd_steps.core import components, fingerprint
from vlkd_steps.core.errors import UserError

DECLARATION = """
from vlkd_steps.config.models.base import FromZero
from vlkd_steps.config.models.method import Method, Settings, never


class Toy(Settings):
    strength: FromZero


METHOD = Method(Toy, needs_teacher=never)
"""
OBJECTIVE = """
from {package}.strong import factor
from vlkd_steps.methods.objective import Objective
from vlkd_steps.students.heads import task_loss


class Toy(Objective):
    def forward(self, output, batch, step):
        return {{"task": factor(self.settings.strength) * task_loss(output.logits, batch.labels)}}


OBJECTIVE = Toy
"""
PRESET = """# @package _global_
defaults: [scenes_smoke, _self_]
grid:
  dataset: [scenes_smoke_vqa]
  variant: [finetune, toy]
variants:
  toy: {method: toy, strength: 2}
overrides: {}
"""
PARAMS = "experiment: mine\ngrid: {}\nconf: [mine]\n"


def write(folder: Path, name: str) -> Path:
    """A package with a method, laid out as vlkd_steps is."""
    package = folder / name
    (package / "methods/toy").mkdir(parents=True)
    for part in ("", "methods"):
        (package / part / "__init__.py").write_text("")
    (package / "strong.py").write_text("def factor(strength):\n    return strength\n")
    (package / "methods/toy/__init__.py").write_text(DECLARATION)
    (package / "methods/toy/objective.py").write_text(OBJECTIVE.format(package=name))
    return package


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder with a preset of the user's that has a variant of method toy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv(components.VARIABLE, "")
    for group, name, text in (("experiment", "mine", PRESET), ("method", "toy", "name: toy\nstrength: 1\n")):
        path = tmp_path / f"mine/{group}/{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    forget()
    yield tmp_path
    monkeypatch.undo()
    forget()


def forget() -> None:
    components.forget()
    for cached in (fingerprint.fingerprint, fingerprint._syntax, fingerprint._imports):
        cached.cache_clear()
    fingerprint._folders_of.cache_clear()
    for name in [
        name for name in sys.modules if name.partition(".")[0] in ("toy_plugin", "other_plugin", "toy_installed")
    ]:
        del sys.modules[name]


def code_now() -> str:
    forget()
    return step_code.code(composition.compose(), "distill", variant="toy", student="vilt_scenes")


def check_method(package: Path) -> None:
    """It is found, its values are checked, its job knows it, and its source is watched."""
    composed = composition.compose()
    job = jobs.distill(composed, Cell("scenes_smoke_vqa", "vilt_scenes", "toy", "40"))
    assert job["method"] == {"name": "toy", "strength": 2}
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params + "overrides: {variants.toy.strength: weak}\n")
    with pytest.raises(UserError, match=r"params.yaml: overrides: variants.toy.strength is 'weak'; write a number"):
        composition.compose()
    Path("params.yaml").write_text(params)

    before = code_now()
    other = step_code.code(composition.compose(), "distill", variant="finetune", student="vilt_scenes")
    (package / "strong.py").write_text("def factor(strength):  # how strong\n    return strength\n")
    assert code_now() == before
    (package / "strong.py").write_text("def factor(strength):\n    return strength**2\n")
    after = code_now()
    assert after != before
    (package / "methods/toy/__init__.py").write_text(DECLARATION.replace("FromZero", "Positive"))
    assert code_now() not in (before, after)
    assert step_code.code(composition.compose(), "distill", variant="finetune", student="vilt_scenes") == other


def test_a_method_of_a_plugin_that_params_names(project: Path) -> None:
    package = write(project, "toy_plugin")
    (project / "params.yaml").write_text(PARAMS)
    with pytest.raises(UserError, match=r"mine/experiment/mine.yaml: variants.toy.method is 'toy', .*no code"):
        composition.compose()
    (project / "params.yaml").write_text(PARAMS + "plugins: [toy_plugin]\n")
    check_method(package)


def test_a_method_with_code_and_no_file_is_said_to_lack_the_file(project: Path) -> None:
    write(project, "toy_plugin")
    (project / "params.yaml").write_text(PARAMS + "plugins: [toy_plugin]\n")
    (project / "mine/method/toy.yaml").unlink()
    with pytest.raises(
        UserError, match=r"has code \(toy_plugin\.methods\.toy\) and no file; write conf/method/toy\.yaml"
    ):
        composition.compose()


@pytest.mark.parametrize("name", ["finetune", "toy"])  # the package's, and another plugin's
def test_a_component_with_the_name_of_another_is_refused(project: Path, name: str) -> None:
    """It would never be used. A helper module may have any name."""
    package, other = write(project, "toy_plugin"), write(project, "other_plugin")
    (other / "methods/toy").rename(other / f"methods/{name}")
    (package / "students").mkdir()
    (package / "students/heads.py").touch()
    (project / "params.yaml").write_text(PARAMS + "plugins: [toy_plugin, other_plugin]\n")
    with pytest.raises(
        UserError, match=rf"other_plugin.methods.{name} has the name of another method, '{name}'.*rename"
    ):
        composition.compose()


def test_a_method_of_an_installed_package(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = project / "site"
    package = write(site, "toy_installed")
    (site / "toy_installed-1.0.dist-info").mkdir()
    (site / "toy_installed-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: toy-installed\nVersion: 1.0\n"
    )
    (site / "toy_installed-1.0.dist-info/entry_points.txt").write_text(
        "[vlkd_steps.methods]\ntoy = toy_installed.methods.toy\n"
    )
    monkeypatch.syspath_prepend(str(site))
    (project / "params.yaml").write_text(PARAMS)
    check_method(package)


def test_a_job_finds_the_plugin_and_trains_by_it(project: Path, root: Path) -> None:
    """What the Snakefile's process looks up, a process that it starts looks up as well."""
    write(project, "toy_plugin")
    (project / "params.yaml").write_text(PARAMS + "plugins: [toy_plugin]\n")
    composition.compose()
    program = (
        "from vlkd_steps.methods import objective\n"
        "method = objective.create({'name': 'toy', 'strength': 2}, 10)\n"
        "print(type(method).__module__, method.settings.strength)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["toy_plugin.methods.toy.objective", "2"], done.stderr


def test_commands_that_compose_nothing_find_the_plugin(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project, "toy_plugin")
    (project / "params.yaml").write_text(PARAMS + "plugins: [toy_plugin]\n")
    results = project / "results/mine/gains.csv"
    results.parent.mkdir(parents=True)
    results.write_text(
        "dataset,student,variant,method,teacher,shot,evaluation_set,metric,seeds,n,images,mean,sd,gain,gain_low,p\n"
        "d,s,toy,toy,,40,test,accuracy,1,9,9,50.0,,,,\n"
    )
    assert table.main(["mine"]) == 0, capsys.readouterr().err
    assert "50.0" in capsys.readouterr().out
    os.environ[components.VARIABLE] = ""
    forget()
    command.from_project(Path("runs/mine"))
    assert components.used() == ("toy_plugin",)


def test_a_metric_that_means_something_else_in_another_task_is_refused(project: Path) -> None:
    package = write(project, "toy_plugin")
    (package / "tasks").mkdir()
    (package / "tasks/__init__.py").write_text("")
    task = "from vlkd_steps.tasks import Metric, Task\n\n\nclass Toy(Task):\n    head = 'classes'\n"
    task += "    compared_by = (Metric('NAME'),)\n\n\nTASK = Toy()\n"
    (project / "params.yaml").write_text(PARAMS + "plugins: [toy_plugin]\n")
    (package / "tasks/toy.py").write_text(task.replace("NAME", "CIDEr"))
    with pytest.raises(UserError, match="tasks captioning and toy are both compared by 'CIDEr', with another"):
        composition.compose()
    forget()
    (package / "tasks/toy.py").write_text(task.replace("NAME", "accuracy"))
    composition.compose()


def test_a_student_of_a_plugin_declares_its_settings_beside_it(project: Path) -> None:
    package = write(project, "toy_plugin")
    (package / "students").mkdir()
    (package / "students/__init__.py").write_text("")
    (package / "students/toy_student.py").write_text("import torch\n")
    (package / "students/toy_student_settings.py").write_text(
        "from vlkd_steps.config.models.base import Count\n"
        "from vlkd_steps.config.models.student import Student\n\n\n"
        "class Settings(Student):\n    layers: Count\n    heads: Count = 4\n"
    )
    conf = project / "mine/student/toy_student.yaml"
    conf.parent.mkdir()
    params = {"experiment": "mine", "grid": {"student": ["toy_student"]}, "conf": ["mine"], "plugins": ["toy_plugin"]}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    conf.write_text("name: toy_student\nkind: toy_student\nlayers: 2\n")
    job = jobs.distill(composition.compose(), Cell("scenes_smoke_vqa", "toy_student", "toy", "40"))
    written = {"name": "toy_student", "kind": "toy_student", "layers": 2}
    assert job["student"] == {**written, "heads": 4, "pretrained": False}
    shipped = {"name": "mine", "kind": "vilt", "weights": "a/model"}
    assert kinds.model("student", "vilt").model_validate(shipped).written() == shipped
    conf.write_text("name: toy_student\nkind: toy_student\nlayers: few\n")
    with pytest.raises(
        UserError, match=r"mine/student/toy_student.yaml: layers is 'few'; write a whole number above 0"
    ):
        composition.compose()


def test_the_users_files_come_before_the_packages(project: Path) -> None:
    """A file of the same name replaces the package's, and may include files of either."""
    write(project, "toy_plugin")
    (project / "params.yaml").write_text(PARAMS + "plugins: [toy_plugin]\n")
    (project / "mine/student").mkdir()
    text = "defaults: [vilt_b32, _self_]\nname: vilt_scenes\nimage_size: 64\n"
    (project / "mine/student/vilt_scenes.yaml").write_text(text)
    job = jobs.distill(composition.compose(), Cell("scenes_smoke_vqa", "vilt_scenes", "toy", "40"))
    assert (job["student"]["weights"], job["student"]["image_size"]) == ("dandelin/vilt-b32-mlm", 64)
