"""Files from the web, by pooch: checksum, retries, and a resumed transfer where the server allows it.

A file whose checksum no one has published is trusted on first use: its sha256 is recorded in
``data/checksums/<source>.json`` and every later download is checked against it (DESIGN 4, PAPERS 4).
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pooch
import requests

from vlkd_steps import files, layout
from vlkd_steps.errors import UserError
from vlkd_steps.sources import archive
from vlkd_steps.step import log

RETRIES = 5
TIMEOUT = (20, 60)  # seconds: to connect, between two pieces
PIECE = 1 << 16  # bytes; a connection that breaks loses the piece it was in
PROGRESS_EVERY = 5.0  # seconds


def fetch(source: Mapping[str, Any], folder: Path) -> None:
    """Download every file of ``files`` [{url, path, sha256 | null, bytes | null, unpack}] into `folder`.

    What has arrived waits in ``data/raw/.downloads/<source>``: an interrupted download goes on there.

    Raises:
        UserError: a file cannot be had, is not what the checksum says, or does not fit on the disk.
    """
    known = _recorded(source["name"])
    arriving = layout.raw(source["name"]).parent / ".downloads" / source["name"]
    arriving.mkdir(parents=True, exist_ok=True)
    archive.check_space(arriving, sum(item.get("bytes") or 0 for item in source["files"]))
    pooch.get_logger().setLevel("WARNING")
    for item in source["files"]:
        path = _download(item, arriving, item.get("sha256") or known.get(item["url"]), source["name"])
        if not item.get("sha256") and item["url"] not in known:
            known[item["url"]] = files.sha256(path)
            files.write_json(layout.checksums(source["name"]), known)
            log.info(
                "[download %s] %s has no published checksum: trusted this once, recorded in %s as sha256 %s",
                source["name"], item["path"], layout.checksums(source["name"]), known[item["url"]],
            )  # fmt: skip
    for item in source["files"]:
        target = folder / item["path"]
        if item.get("unpack"):
            archive.unpack(arriving / item["path"], target.parent, int(source.get("limit_gib", 64) * archive.GIB))
            (arriving / item["path"]).unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            (arriving / item["path"]).replace(target)


def _download(item: Mapping[str, Any], folder: Path, sha256: str | None, source: str) -> Path:
    """One file, whole and checked; a transfer that broke is taken up up to `RETRIES` times."""
    url, path = item["url"], item["path"]
    # pooch replaces an arrived file whose hash is wrong and leaves a right one alone
    keeper = pooch.create(
        folder, base_url="", registry={path: sha256}, urls={path: url}, retry_if_failed=item.get("retries", RETRIES)
    )
    try:
        return Path(keeper.fetch(path, downloader=Resuming(f"[download {source}] {path}")))
    except requests.exceptions.RequestException as error:
        raise UserError(
            f"source {source!r}: {url} cannot be downloaded ({type(error).__name__}: {str(error)[:200]}); what has "
            f"arrived is kept: try again later, or put the file into {layout.INCOMING} (docs/own_data.md)"
        ) from error
    except ValueError as error:
        raise UserError(
            f"source {source!r}: {url} is not the file that is expected, sha256 {sha256}; it has been changed at its "
            "origin or on the way. If the change is meant, correct sha256 in the source's conf or delete the entry in "
            f"{layout.checksums(source)}"
        ) from error


class Resuming:
    """A pooch downloader that goes on where the last attempt broke off, if the file is still the same.

    The first bytes wait in ``<path>.part`` beside the target; the server's ETag or date, kept in
    ``<path>.part.json``, proves by If-Range that the rest belongs to them.
    """

    def __init__(self, label: str) -> None:
        self.label = label

    def __call__(self, url: str, output_file: str, keeper: pooch.Pooch) -> None:
        (name,) = keeper.registry
        part = Path(keeper.abspath) / f"{name}.part"
        state = part.with_name(part.name + ".json")
        part.parent.mkdir(parents=True, exist_ok=True)
        start, validator = _state(part, state)
        headers = {"Accept-Encoding": "identity"}
        if start and validator:
            headers |= {"Range": f"bytes={start}-", "If-Range": validator}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code == 416:  # the part is longer than the file has become: begin again next time
                part.unlink(missing_ok=True)
            response.raise_for_status()
            resumed = response.status_code == 206
            etag = response.headers.get("ETag", "")
            # a weak ETag does not promise equal bytes, so If-Range must not carry it
            validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
            files.write_json(state, {"validator": validator})
            done = start if resumed else 0
            expected = done + int(response.headers.get("Content-Length", -1 - done))
            if resumed:
                log.info("%s: goes on at %.1f MiB", self.label, done / 2**20)
            said = time.monotonic()
            with part.open("ab" if resumed else "wb") as out:
                for piece in response.iter_content(PIECE):
                    out.write(piece)
                    done += len(piece)
                    if time.monotonic() - said > PROGRESS_EVERY:
                        said = time.monotonic()
                        total = f" of {expected / 2**20:.1f}" if expected > 0 else ""
                        log.info("%s: %.1f%s MiB", self.label, done / 2**20, total)
        if expected >= 0 and done != expected:
            raise requests.exceptions.ConnectionError(f"{done} of {expected} bytes arrived")
        part.replace(output_file)
        state.unlink()


def _state(part: Path, state: Path) -> tuple[int, str]:
    try:
        return part.stat().st_size, json.loads(state.read_text(encoding="utf-8"))["validator"]
    except (OSError, ValueError, KeyError):
        return 0, ""


def _recorded(source: str) -> dict[str, str]:
    path = layout.checksums(source)
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); repair it, or delete it to trust the next download") from error
