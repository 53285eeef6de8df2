"""Whether the current folder is a project's, for all commands in the same words."""

from pathlib import Path

from vlkd_steps.core.errors import UserError


def check(*files: Path) -> None:
    """Refuse a folder without these files of a project's root.

    Raises:
        UserError: one is missing.
    """
    for file in files:
        if not file.is_file():
            where = file.absolute().parent
            raise UserError(
                f"{file.name} is not in {where}; run this in a project's folder, or make one: vlkd init FOLDER"
            )
