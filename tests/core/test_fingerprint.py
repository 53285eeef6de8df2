import os
import shutil
from pathlib import Path

import pytest

from vlkd_steps.core import components, syntax
from vlkd_steps.core import fingerprint as module


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package under the real one's name, so that edits touch nothing of ours."""
    folder = tmp_path / "vlkd_steps"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "inner" / "__init__.py").write_text("")
    (folder / "step.py").write_text("from vlkd_steps.inner import used\nimport os\n\nx = used.y\n")
    (folder / "inner" / "used.py").write_text('"""Doc."""\nfrom .deep import z\n\ny = z  # why\n')
    (folder / "inner" / "deep.py").write_text("def z():\n    return 1\n")
    (folder / "inner" / "unused.py").write_text("w = 1\n")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return folder


def fresh(*modules: str) -> str:
    for cached in (module.fingerprint, module._syntax, module._imports, syntax.sources):
        cached.cache_clear()
    return module.fingerprint(*modules)


@pytest.fixture(autouse=True)
def _forget_the_small_package():
    yield
    for cached in (module.fingerprint, module._syntax, module._imports, syntax.sources):
        cached.cache_clear()


def test_the_closure_follows_absolute_and_relative_imports(package: Path) -> None:
    fresh("vlkd_steps.step")
    assert module.closure(("vlkd_steps.step",)) == {
        "vlkd_steps.step",
        "vlkd_steps.inner",
        "vlkd_steps.inner.used",
        "vlkd_steps.inner.deep",
    }


def test_comments_docstrings_and_layout_change_nothing(package: Path) -> None:
    before = fresh("vlkd_steps.step")
    (package / "inner" / "used.py").write_text('"""Another text."""\n\n\nfrom .deep import z\ny = z\n')
    assert fresh("vlkd_steps.step") == before


def test_an_edit_deep_below_is_seen_even_with_an_old_mtime(package: Path) -> None:
    before = fresh("vlkd_steps.step")
    deep = package / "inner" / "deep.py"
    old = deep.stat().st_mtime - 1e6
    deep.write_text("def z():\n    return 2\n")
    os.utime(deep, (old, old))
    assert fresh("vlkd_steps.step") != before


def test_code_that_is_not_imported_does_not_count(package: Path) -> None:
    before = fresh("vlkd_steps.step")
    (package / "inner" / "unused.py").write_text("w = 2\n")
    assert fresh("vlkd_steps.step") == before
    assert fresh("vlkd_steps.step", "vlkd_steps.inner.unused") != before


def test_a_missing_module_is_named(package: Path) -> None:
    shutil.rmtree(package / "inner")
    with pytest.raises(ModuleNotFoundError, match=r"vlkd_steps\.inner\.unused"):
        fresh("vlkd_steps.inner.unused")


def test_the_words_of_a_message_change_nothing_and_when_it_is_raised_does(package: Path) -> None:
    deep = package / "inner" / "deep.py"
    raising = "def z(x):\n    if x > 1:\n        raise UserError(f'{x} is large; %s')\n"
    deep.write_text(raising % "take 1")
    before = fresh("vlkd_steps.step")
    deep.write_text(raising % "write 1")
    assert fresh("vlkd_steps.step") == before
    deep.write_text(raising.replace("> 1", "> 2") % "take 1")
    assert fresh("vlkd_steps.step") != before


def test_modules_that_only_refuse_values_do_not_count(package: Path) -> None:
    (package / "config").mkdir()
    (package / "config" / "__init__.py").write_text("")
    (package / "step.py").write_text("from vlkd_steps.config.validation import validated\n")
    for text in ("validated = 1\n", "validated = 2\n"):
        (package / "config" / "validation.py").write_text(text)
        fresh("vlkd_steps.step")
        assert module.closure(("vlkd_steps.step",)) == {"vlkd_steps.step"}


@pytest.mark.parametrize("checks", sorted(module.CHECKS))
def test_what_does_not_count_is_there(checks: str) -> None:
    assert module._source(checks)


@pytest.mark.parametrize("step", ["prepare", "split", "extract", "targets", "pretrain", "distill", "evaluate"])
def test_how_an_experiment_is_composed_and_scheduled_is_no_code_of_a_step(step: str) -> None:
    """A job has its part of the composition as an argument, which is compared by itself."""
    found = module.closure((f"vlkd_steps.steps.{step}",))
    apart = ("config.composition", "config.jobs", "config.phases", "config.models.preset", "graph", "planning", "cli")
    assert not [each for each in found for name in apart if f"{each}.".startswith(f"vlkd_steps.{name}.")]


def test_a_plugin_may_lack_its_init_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    reader = tmp_path / "plugin_without_init" / "datasets" / "mine.py"
    reader.parent.mkdir(parents=True)
    reader.write_text("x = 1\n")
    before = fresh("plugin_without_init.datasets.mine")
    reader.write_text("x = 2\n")
    assert fresh("plugin_without_init.datasets.mine") != before


def test_a_package_of_several_folders_is_looked_for_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, name in (("a", "one"), ("b", "two")):
        part = tmp_path / folder / "package_in_two_folders" / name
        part.mkdir(parents=True)
        (part / "code.py").write_text("x = 1\n")
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    fresh("package_in_two_folders.one.code", "package_in_two_folders.two.code")
    with pytest.raises(ModuleNotFoundError, match=f"{tmp_path / 'b'} or {tmp_path / 'a'}"):
        fresh("package_in_two_folders.three.code")


def test_what_a_plugin_imports_of_another_or_from_beside_it_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, elsewhere, site = tmp_path / "project", tmp_path / "elsewhere", tmp_path / "site-packages"
    for name in ("near_plugin", "far_plugin", "helper_of_plugins", "installed_helper"):
        folder = {"far_plugin": elsewhere, "installed_helper": site}.get(name, project) / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("x = 1\n")
        monkeypatch.syspath_prepend(str(folder.parent))
    (project / "near_plugin/__init__.py").write_text("import os, far_plugin, helper_of_plugins, installed_helper\n")
    monkeypatch.chdir(project)
    monkeypatch.setenv(components.VARIABLE, "near_plugin,far_plugin")
    fresh("near_plugin")
    assert module.closure(("near_plugin",)) == {"near_plugin", "far_plugin", "helper_of_plugins"}
