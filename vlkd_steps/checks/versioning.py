"""DVC: the repository, its remote, and how its cache is linked into the work tree."""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from vlkd_steps.checks.check_result import CheckResult, fail, ok, warn
from vlkd_steps.core import file_system, files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.redaction import redacted

# The folders of dvc.yaml's outputs.
ABOVE_RECORDED = (
    "data", "data/raw", "data/instances", "data/splits", "features", "targets", "models", "runs", "results",
    "manifests",
)  # fmt: skip
FICLONE = 0x40049409  # ioctl_ficlone(2)


def check(root: Path) -> list[CheckResult]:
    """Reads DVC's configuration as DVC does, its user and system files included."""
    if shutil.which("git") is None:
        return [fail("git", "not on PATH", "install it: DVC and provenance need it")]
    if not (root / ".dvc").is_dir():
        return [warn("repository", f"no .dvc in {root}, so no bytes are versioned", "dvc init")]
    from dvc.config import Config, ConfigError

    try:
        file_system.expanded("~")  # where DVC reads its settings, or ends with a traceback
        config: Any = Config(str(root / ".dvc"))
    except UserError as mistake:
        return [fail("configuration", str(mistake), "name a folder of yours: export HOME=/path")]
    except ConfigError as error:
        return [fail("configuration", f".dvc/config: {error}", "correct it: dvc config --list")]
    if not config["core"].get("no_scm") and not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return [fail("git", f"{root} is no git repository, which DVC needs", "git init")]
    recorded = "dvc.lock records the last full run" if (root / "dvc.lock").is_file() else "nothing recorded yet"
    return [ok("repository", recorded), remote(config), cache(config, root), *lists(root), *links(root)]


def lists(root: Path) -> list[CheckResult]:
    """The file without which DVC cannot read dvc.yaml."""
    if not (root / "dvc.yaml").is_file() or (root / layout.DVC_VARS).is_file():
        return []
    remedy = "python -m vlkd_steps.graph.dvc_vars writes it from params.yaml"
    return [fail("lists", f"{layout.DVC_VARS} is missing, and dvc.yaml reads it", remedy)]


def links(root: Path) -> list[CheckResult]:
    """Links out of the repository: Snakemake follows them, `dvc commit` refuses their content.

    DVC also follows a recorded folder that is itself a link (runs/EXPERIMENT).
    """
    above = [root / name for name in ABOVE_RECORDED]
    above += [path for path in sorted((root / "features").glob("*")) if path.is_dir()]
    leading_out = [path for path in above if path.exists() and not path.resolve().is_relative_to(root.resolve())]
    return [
        warn(
            "links",
            f"{path.relative_to(root)} points to {path.resolve()}, out of this repository: snakemake follows, but "
            "`dvc commit`, and with it every dvc command, refuses its content",
            "link the folders that DVC records instead (runs/EXPERIMENT, features/TEACHER/DATASET), "
            "or only DVC's cache: dvc cache dir --local FOLDER",
        )
        for path in leading_out
        if not any(other != path and path.is_relative_to(other) for other in leading_out)
    ]


def remote(config: Any) -> CheckResult:
    names = sorted(config["remote"])
    default = config["core"].get("remote")
    if default and default in names:
        url = str(config["remote"][default].get("url", ""))
        return ok("remote", f"{default} ({redacted(url if '://' in url else os.path.normpath(url))})")
    if default:
        return fail(
            "remote", f"core.remote names {default!r}, which is not configured", f"dvc remote add {default} URL"
        )
    if names:
        return warn("remote", f"{', '.join(names)}, but none is the default", f"dvc remote default {names[0]}")
    return warn("remote", "none: dvc push and pull have no remote", "dvc remote add --default NAME URL")


def link_types(config: Any) -> list[str]:
    """The link types that DVC may use between cache and work tree, in order of preference."""
    kinds = config["cache"].get("type") or ["reflink", "copy"]
    return kinds.split(",") if isinstance(kinds, str) else list(kinds)


def cache_folder(config: Any, root: Path) -> tuple[Path, Path]:
    """DVC's cache, and the nearest folder of its path that exists."""
    folder = file_system.expanded(config["cache"].get("dir") or root / ".dvc" / "cache")
    folder = folder if folder.is_absolute() else root / ".dvc" / folder
    return folder, next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())


def doubles(root: Path) -> Path | None:
    """DVC's cache, if it holds a second copy, on the disk of `root`, of every file that is recorded."""
    from dvc.config import Config, ConfigError

    if not (root / ".dvc").is_dir():
        return None
    try:
        config: Any = Config(str(root / ".dvc"))
        folder, there = cache_folder(config, root)
    except (UserError, ConfigError, OSError):  # `vlkd doctor` says what is wrong
        return None
    same_disk = there.stat().st_dev == root.stat().st_dev
    works = next((kind for kind in link_types(config) if _works(kind, there, root)), None)
    return folder if same_disk and works == "copy" else None


def cache(config: Any, root: Path) -> CheckResult:
    """The first of the configured link types that works between cache and work tree."""
    kinds, (folder, there) = link_types(config), cache_folder(config, root)
    if not there.is_dir() or not files.writable(there):
        what = "is no folder" if not there.is_dir() else "cannot be written to by this user"
        return fail("cache", f"DVC's cache {folder}: {there} {what}", "dvc cache dir --local FOLDER")
    works = next((kind for kind in kinds if _works(kind, there, root)), None)
    if works is None:
        return fail("cache", f"none of {', '.join(kinds)} works from {folder}", "dvc config cache.type reflink,copy")
    if works == "copy" and kinds != ["copy"]:
        remedy = "to avoid that: dvc config cache.type reflink,hardlink,copy"
        return ok("cache", f"{folder}, linked by copy: every file is stored twice ({remedy})")
    return ok("cache", f"{folder}, linked by {works}")


def _works(kind: str, cache: Path, root: Path) -> bool:
    if kind in ("copy", "symlink"):
        return True
    if cache.stat().st_dev != root.stat().st_dev:
        return False
    return kind == "hardlink" or (kind == "reflink" and _reflinks(root / ".dvc"))


def _reflinks(folder: Path) -> bool:
    """Whether a file can share its blocks with another one here."""
    try:
        with tempfile.TemporaryFile(dir=folder) as source, tempfile.TemporaryFile(dir=folder) as target:
            source.write(b"x")
            source.flush()
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
    except OSError:
        return False
    return True
