"""Files from outside are opened, decoded and parsed in one module a format, which names the file in every message."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

IMAGES = ("core/image_file.py",)

OWNERS = {
    "Image.open": IMAGES,
    "imread": IMAGES,
    "read_image": IMAGES,
    "decode_image": IMAGES,
    "decode_jpeg": IMAGES,
    "decode_png": IMAGES,
    "exif_transpose": IMAGES,
}
"""A call, by the end of its dotted name, and the modules that may make it."""


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every function that a module calls or hands on."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Attribute | ast.Name):
            yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("call", OWNERS)
def test_a_format_is_read_by_its_own_module_alone(call: str, root: Path) -> None:
    package = root / "vlkd_steps"
    wrong = [
        f"{path}:{line}: {name}; call {OWNERS[call][0]}"
        for path in sorted(package.rglob("*.py"))
        if path.relative_to(package).as_posix() not in OWNERS[call]
        for line, name in calls(path)
        if f".{name}".endswith(f".{call}")
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_reader_of_images_makes_rgb_of_them(root: Path) -> None:
    """``convert("RGB")`` clips 16 bits to white and drops alpha."""
    package = root / "vlkd_steps"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".convert")
        and [ast.unparse(argument) for argument in node.args] == ["'RGB'"]
    }  # fmt: skip
    assert found == set(IMAGES)
