"""The files of a project that come with the package: those in a clone's root, which `vlkd init` writes.

In a clone users edit them directly. A wheel has copies in ``vlkd_steps/project`` (``setup.py`` reads `NAMES`
when it builds one), so the repository has no second copy.
"""

from pathlib import Path

NAMES = (
    ".dvc/plots/learning_curves.json",
    ".dvcignore",
    ".gitignore",
    "Snakefile",
    "data/incoming/.gitignore",
    "dvc.yaml",
    "profiles/default",
    "profiles/local",
    "profiles/slurm",
    "requirements.lock",
    "workflow",
)
"""Files and folders, relative to a project's root."""

_INSTALLED = Path(__file__).absolute().parents[1] / "project"
FOLDER = _INSTALLED if _INSTALLED.is_dir() else _INSTALLED.parents[1]
"""The folder that contains them. Not resolved: a compute node may know it by this path only."""
