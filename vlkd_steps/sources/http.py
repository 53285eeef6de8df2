"""Files from the web, by pooch: several at once, checksums, retries, and a resumed transfer where the server allows it.

A file whose checksum no one has published is trusted on first use: its sha256 is recorded in
``data/checksums/<source>.json`` and every later download is checked against it.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pooch
import requests

from vlkd_steps.core import files, layout, records
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.step import log
from vlkd_steps.sources import archive

PARALLEL = 4
RETRIES = 5
BACKOFF = 1.0  # seconds before the first retry; twice as long before each further one
LONGEST_WAIT = 60.0  # seconds, also if Retry-After is longer
TIMEOUT = (20, 60)  # seconds: to connect, between two pieces
PIECE = 1 << 16  # bytes; a connection that breaks loses the piece it was in
PROGRESS_EVERY = 5.0  # seconds
FINAL = frozenset(range(400, 500)) - {408, 425, 429}
"""Status codes that a retry does not change, such as 404."""

Item = Mapping[str, Any]


def fetch(source: Mapping[str, Any], folder: Path) -> None:
    """Download every file of ``files`` [{url, path, sha256 | null, bytes | null, unpack}] into `folder`.

    What has arrived waits in ``data/raw/.downloads/<source>``: an interrupted download goes on there. ``listed`` {in,
    key, url, name, folder} fetches, after these, what the records of a JSON file name (NoCaps' photos). ``parallel``
    files are fetched at a time.

    Raises:
        UserError: a file cannot be had, is not what the checksum says, or does not fit on the disk.
    """
    arriving = layout.raw(source["name"]).parent / ".downloads" / source["name"]
    arriving.mkdir(parents=True, exist_ok=True)
    archive.check_space(arriving, sum(item.get("bytes") or 0 for item in source["files"]))
    pooch.get_logger().setLevel("WARNING")
    items = list(source["files"])
    _fetch_all(source, items, arriving)
    if source.get("listed"):
        more = list(_listed(source, arriving))
        _fetch_all(source, more, arriving)
        items += more
    for item in items:
        target = folder / item["path"]
        if item.get("unpack"):
            archive.unpack(arriving / item["path"], target.parent, int(source.get("limit_gib", 64) * archive.GIB))
            (arriving / item["path"]).unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            (arriving / item["path"]).replace(target)


def _listed(source: Mapping[str, Any], arriving: Path) -> Iterator[Item]:
    """The files that the records of a downloaded JSON file name.

    Raises:
        UserError: the file is not in the form that the conf says, or a name would leave the folder.
    """
    conf = source["listed"]
    path = arriving / conf["in"]
    for number, record in enumerate(records.array(path, conf["key"])):
        where = f"{conf['key']}[{number}]"
        name = records.field(record, conf["name"], str, path, where)
        if not name or name.startswith(".") or "/" in name or "\\" in name:
            raise records.complaint(path, f"{where}.{conf['name']}", f"{name!r} is no plain file name")
        yield {"url": records.field(record, conf["url"], str, path, where), "path": f"{conf['folder']}/{name}"}


def _fetch_all(source: Mapping[str, Any], items: Sequence[Item], arriving: Path) -> None:
    """Every file, some at a time; the first that cannot be had ends the others, and what has arrived is kept."""
    name = source["name"]
    known = _recorded(name)
    given_up = threading.Event()
    with ThreadPoolExecutor(source.get("parallel", PARALLEL)) as pool:
        transfers = {
            pool.submit(_download, item, arriving, item.get("sha256") or known.get(item["url"]), name, given_up): item
            for item in items
        }
        try:
            done, _ = wait(transfers, return_when=FIRST_EXCEPTION)
        finally:
            given_up.set()  # also when the user interrupts: the pool waits for its threads
            pool.shutdown(cancel_futures=True)
    new = [item for transfer, item in transfers.items() if transfer in done and not transfer.exception()]
    new = [item for item in new if not item.get("sha256") and item["url"] not in known]
    for item in new:
        known[item["url"]] = files.sha256(arriving / item["path"])
        log.info(
            "[download %s] %s has no published checksum: trusted this once, recorded in %s as sha256 %s",
            name, item["path"], layout.checksums(name), known[item["url"]],
        )  # fmt: skip
    if new:
        files.write_json(layout.checksums(name), known)
    for transfer in transfers:
        if transfer in done:
            transfer.result()


def _download(item: Item, folder: Path, sha256: str | None, source: str, given_up: threading.Event) -> Path:
    """One file, whole and checked; a transfer that broke is taken up ``retries`` times, ever later."""
    url, path = item["url"], item["path"]
    # pooch replaces an arrived file whose hash is wrong and leaves a right one alone
    (folder / path).parent.mkdir(parents=True, exist_ok=True)  # pooch fails where two of its transfers make one folder
    keeper = pooch.create(folder, base_url="", registry={path: sha256}, urls={path: url})
    retries = item.get("retries", RETRIES)
    for attempt in range(retries + 1):
        try:
            resuming = Resuming(f"[download {source}] {path}", item.get("bytes"), given_up)
            return Path(keeper.fetch(path, downloader=resuming))
        except requests.exceptions.RequestException as error:
            if attempt == retries or given_up.is_set() or _status(error) in FINAL:
                raise UserError(
                    f"source {source!r}: {url} cannot be downloaded ({type(error).__name__}: {str(error)[:200]}); what "
                    f"has arrived is kept: try again later, or put the file into {layout.INCOMING} (docs/own_data.md)"
                ) from error
            pause = _pause(error, attempt)
            log.info("[download %s] %s: %s; once more in %.0f s", source, path, str(error)[:120], pause)
        except ValueError as error:
            if attempt == retries or given_up.is_set():
                raise UserError(
                    f"source {source!r}: {url} is not the file that is expected, sha256 {sha256}; it has been changed "
                    "at its origin or on the way. If the change is meant, correct sha256 in the source's conf or "
                    f"delete the entry in {layout.checksums(source)}"
                ) from error
            pause = _pause(None, attempt)
            log.info("[download %s] %s arrived with another sha256; once more in %.0f s", source, path, pause)
        given_up.wait(pause)
    raise AssertionError("unreachable")


def _status(error: requests.exceptions.RequestException) -> int:
    return error.response.status_code if error.response is not None else 0


def _pause(error: requests.exceptions.RequestException | None, attempt: int) -> float:
    """Seconds until the next attempt: twice as long each time, or the server's Retry-After."""
    after = error.response.headers.get("Retry-After", "") if error is not None and error.response is not None else ""
    wanted = float(after) if after.isdigit() else BACKOFF * 2**attempt
    return min(wanted, LONGEST_WAIT)


class Resuming:
    """A pooch downloader that goes on where the last attempt broke off, if the file is still the same.

    The first bytes wait in ``<path>.part`` beside the target; the server's ETag or date, kept in
    ``<path>.part.json``, proves by If-Range that the rest belongs to them.
    """

    def __init__(self, label: str, size: int | None, given_up: threading.Event) -> None:
        """`size`: how many bytes the file has, where the conf says it; `given_up` ends the transfer."""
        self.label = label
        self.size = size
        self.given_up = given_up

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
                raise requests.exceptions.ConnectionError("the file has become shorter")
            response.raise_for_status()
            resumed = response.status_code == 206
            if resumed and not response.headers.get("Content-Range", f"bytes {start}-").startswith(f"bytes {start}-"):
                part.unlink(missing_ok=True)
                raise requests.exceptions.ConnectionError("the server sent another range than requested")
            etag = response.headers.get("ETag", "")
            # a weak ETag does not promise equal bytes, so If-Range must not carry it
            validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
            files.write_json(state, {"validator": validator})
            done = start if resumed else 0
            length = response.headers.get("Content-Length", "")
            expected = done + int(length) if length.isdigit() else self.size
            if resumed:
                log.info("%s: goes on at %.1f MiB", self.label, done / 2**20)
            said = time.monotonic()
            with part.open("ab" if resumed else "wb") as out:
                for piece in response.iter_content(PIECE):
                    out.write(piece)
                    done += len(piece)
                    if self.given_up.is_set():
                        raise requests.exceptions.ConnectionError("given up with another file")
                    if time.monotonic() - said > PROGRESS_EVERY:
                        said = time.monotonic()
                        total = f" of {expected / 2**20:.1f}" if expected else ""
                        log.info("%s: %.1f%s MiB", self.label, done / 2**20, total)
        if expected is not None and done != expected:
            raise requests.exceptions.ConnectionError(f"{done} of {expected} bytes arrived")
        if self.size is not None and done != self.size:
            part.unlink()
            raise requests.exceptions.ConnectionError(f"{done} bytes arrived, the source's conf says {self.size}")
        part.replace(output_file)
        state.unlink()


def _state(part: Path, state: Path) -> tuple[int, str]:
    validator = files.known_json(state).get("validator")
    return (part.stat().st_size, validator) if validator is not None and part.is_file() else (0, "")


def _recorded(source: str) -> dict[str, str]:
    path = layout.checksums(source)
    remedy = "repair it, or delete it to trust the next download"
    return files.read_json(path, remedy) if path.is_file() else {}
