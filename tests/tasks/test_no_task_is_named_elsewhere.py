"""A task is its module: no other one compares with, looks up, or lists the name of a task."""

import ast
from pathlib import Path

from vlkd_steps.core import components

OTHER_MEANINGS = {
    "benchmarks": "folders of the generator's files, and the labels of its hypotheses",
    "datasets": "files of the official formats",
    "config/models/dataset.py": "readers of official formats, and the labels of SNLI-VE's files",
    "cli/score.py": "the official formats that are scored",
    "cli/shift.py": "the official formats that are shifted",
    "own_data": "readers of official formats",
    "planning/volumes.py": "data sets, by their names",
    "runs/forgetting.py": "a probe of what a student can do with text",
}
"""Where a string that is also the name of a task means something else."""


def named(path: Path, names: set[str]) -> list[int]:
    """The lines of a module on which a string is the name of a task; docstrings and longer texts are none."""
    tree = ast.parse(path.read_bytes())
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value in names]


def test_no_module_but_its_own_names_a_task(root: Path) -> None:
    package, names = root / "vlkd_steps", set(components.names("task"))
    assert {"captioning", "entailment", "vcr", "vqa"} <= names
    found = {
        str(path.relative_to(package)): lines
        for path in sorted(package.rglob("*.py"))
        if path.relative_to(package).parts[0] != "tasks" and (lines := named(path, names))
    }
    meant = {name for name in found if any(name == other or name.startswith(f"{other}/") for other in OTHER_MEANINGS)}
    assert not {name: found[name] for name in set(found) - meant}
    left = {other for other in OTHER_MEANINGS if not any(name.startswith(other) for name in meant)}
    assert not left, "these name no task any more: take them off the list"


def test_the_search_sees_comparisons_keys_and_lists(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""vqa"""\nif task == "vqa":\n    pass\nheads = {"vqa": 1}\nwords = ("vqa", "a vqa task")\n')
    assert named(module, {"vqa"}) == [1, 2, 4, 5]
