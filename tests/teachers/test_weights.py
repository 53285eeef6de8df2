import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.models.weights import resolve


def test_a_path_is_itself_and_a_package_says_where_its_files_are() -> None:
    assert str(resolve(None, "models/mine", "x")) == "models/mine"
    assert resolve("numpy", "numpy/__init__.py", "x").is_file()


def test_what_to_install_is_said() -> None:
    with pytest.raises(UserError, match="package no-such-weights-here, which is missing; pip install no-such-weights"):
        resolve("no-such-weights-here", "a.pth", "x")
    with pytest.raises(UserError, match=r"numpy is installed but has no numpy/weights\.pth; correct that path"):
        resolve("numpy", "numpy/weights.pth", "x")
