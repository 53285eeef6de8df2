"""The layers of the package: a module imports from its own subpackage and from those below it, nothing from above."""

import ast
from pathlib import Path

LAYERS = (
    "core",
    "metrics benchmarks pretrained",
    "sources tasks",
    "config splits",
    "datasets",
    "data",
    "teachers",
    "students",
    "methods",
    "engine",
    "launch tracking",
    "runs evaluation",
    "checks reporting scoring",
    "graph",
    "planning verification",
    "gpu_bench deployment",
    "steps",
    "cli",
)
"""From low to high. Subpackages of one layer do not import each other either."""
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names.split()}


def imports(path: Path) -> set[str]:
    """The subpackages that a module imports by name, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vlkd_steps"):
            module = (node.module or "").split(".")
            found |= {module[1]} if len(module) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("vlkd_steps.")}
    return found


def test_no_module_imports_from_a_layer_above_it_or_beside_it(root: Path) -> None:
    package = root / "vlkd_steps"
    wrong = []
    for path in sorted(package.rglob("*.py")):
        own, *rest = path.relative_to(package).parts
        if not rest:
            continue
        assert own in HEIGHT, f"{path}: name its subpackage's layer here"
        wrong += [f"{path} imports {other}" for other in imports(path) if own != other and HEIGHT[other] >= HEIGHT[own]]
    assert not wrong, "\n".join(wrong)


def test_every_module_is_in_a_subpackage(root: Path) -> None:
    assert {path.name for path in (root / "vlkd_steps").glob("*.py")} == {"__init__.py", "__main__.py"}
