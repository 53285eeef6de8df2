"""Files from the web, by pooch: several at once, checksums, retries, and a resumed transfer where the server allows it.

A file whose checksum no one has published is trusted on first use: its sha256 is recorded in
``data/checksums/<source>.json`` and every later download is checked against it. Nothing that a server says is believed:
not its sizes, not its pauses, not the names in a list of files.
"""

import email.utils
import queue
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pooch
import requests
import urllib3

from vlkd_steps.core import files, inside, interruption, layout, records
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.redaction import redacted
from vlkd_steps.core.step import log
from vlkd_steps.sources import archive

PARALLEL = 4
RETRIES = 5
BACKOFF = 1.0  # seconds before the first retry; twice as long before each further one
LONGEST_WAIT = 60.0  # seconds, whatever Retry-After says
TIMEOUT = (20, 60)  # seconds: to connect, between two pieces
PIECE = 1 << 16  # bytes at most
PROGRESS_EVERY = 5.0  # seconds
HEARD_WITHIN = 0.5  # seconds after a stop signal, and again as long for the transfers to end
FINAL = frozenset(range(400, 500)) - {408, 425, 429}
"""Status codes that a retry does not change, such as 404."""
_DIGITS = re.compile(r"[0-9]+")  # str.isdigit takes a superscript for one

Item = Mapping[str, Any]


class Refused(Exception):
    """What the server sends is not the file, and a second try would not change that."""


def fetch(source: Mapping[str, Any], folder: Path) -> None:
    """Download every file of ``files`` [{url, path, sha256 | null, bytes | null, unpack}] into `folder`.

    What has arrived waits in ``data/raw/.downloads/<source>``: an interrupted download goes on there. ``listed`` {in,
    key, url, name, folder} fetches, after these, what the records of a JSON file name (NoCaps' photos). ``parallel``
    files are fetched at a time. No file is longer than its ``bytes`` or, where the conf does not say, ``limit_gib``.

    Raises:
        UserError: a file cannot be had, is not what the checksum says, or does not fit on the disk.
        Interrupted: a stop signal came; the same call goes on.
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
    for item in sorted(items, key=lambda item: not item.get("unpack")):  # a damaged zip is seen before files move
        _put(item, source, arriving, folder)
    shutil.rmtree(arriving, ignore_errors=True)


def _put(item: Item, source: Mapping[str, Any], arriving: Path, folder: Path) -> None:
    """Move what has arrived to its place in `folder`, or unpack it there."""
    where = f"source {source['name']!r}: path"
    arrived, target = inside.path(arriving, item["path"], where), inside.path(folder, item["path"], where)
    if item.get("unpack"):
        archive.unpack(arrived, target.parent, _limit(source), most=source.get("limit_files", archive.FILES))
        return
    if target.exists():
        raise UserError(f"{where} {item['path']!r} is also the name of a file in one of its zips; rename one")
    target.parent.mkdir(parents=True, exist_ok=True)
    arrived.replace(target)


def _limit(source: Mapping[str, Any]) -> int:
    """The most bytes of a file, also unpacked."""
    return int(source.get("limit_gib", 64) * archive.GIB)


def _listed(source: Mapping[str, Any], arriving: Path) -> Iterator[Item]:
    """The files that the records of a downloaded JSON file name.

    Raises:
        UserError: the file is not in the form that the conf says, a name would leave the folder, or is there twice.
    """
    conf = source["listed"]
    path = inside.path(arriving, conf["in"], f"source {source['name']!r}: listed.in")
    seen = {item["path"] for item in source["files"]}
    for number, record in enumerate(records.array(path, conf["key"])):
        where = f"{conf['key']}[{number}]"
        name = records.field(record, conf["name"], str, path, where)
        if name.startswith(".") or "/" in name or inside.fault(name):
            raise records.complaint(path, f"{where}.{conf['name']}", f"{name!r} is no plain file name")
        target = PurePosixPath(conf["folder"], name).as_posix()
        if target in seen:
            raise records.complaint(path, f"{where}.{conf['name']}", f"{name!r} already names another file")
        seen.add(target)
        yield {"url": records.field(record, conf["url"], str, path, where), "path": target}


def _fetch_all(source: Mapping[str, Any], items: Sequence[Item], arriving: Path) -> None:
    """Every file, some at a time; the first that cannot be had ends the others, and what has arrived is kept."""
    name = source["name"]
    known = _recorded(name)
    _check_recordable(items, name)
    given_up = threading.Event()
    limit = _limit(source)
    with interruption.stop_request() as stop:
        transfers = _in_threads(
            [
                partial(
                    _download,
                    item,
                    arriving,
                    item.get("sha256") or known.get(redacted(item["url"])),
                    name,
                    limit,
                    given_up,
                )
                for item in items
            ],
            source.get("parallel", PARALLEL),
        )
        pending: set[Future[Path]] = set(transfers)
        while pending and not stop and not any(each.done() and each.exception() for each in transfers):
            _, pending = wait(pending, timeout=HEARD_WITHIN, return_when=FIRST_EXCEPTION)
        given_up.set()
        for transfer in transfers:
            transfer.cancel()
        wait(transfers, timeout=HEARD_WITHIN)
        _record(
            name,
            [(item, each.result()) for item, each in zip(items, transfers, strict=True) if _succeeded(each)],
            known,
        )
        stop.raise_if_set()
    for transfer in transfers:
        if transfer.done() and not transfer.cancelled():
            transfer.result()


def _in_threads(jobs: Sequence[Callable[[], Path]], number: int) -> list[Future[Path]]:
    """Start `number` threads for the jobs; a thread that waits for a silent server ends with the process, unlike those
    of an executor."""
    waiting: queue.SimpleQueue[tuple[Future[Path], Callable[[], Path]]] = queue.SimpleQueue()
    futures = [Future[Path]() for _ in jobs]
    for future, job in zip(futures, jobs, strict=True):
        waiting.put((future, job))

    def work() -> None:
        while True:
            try:
                future, job = waiting.get_nowait()
            except queue.Empty:
                return
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job())
                except BaseException as error:
                    future.set_exception(error)

    for _ in range(min(number, len(jobs))):
        threading.Thread(target=work, daemon=True).start()
    return futures


def _succeeded(transfer: "Future[Path]") -> bool:
    return transfer.done() and not transfer.cancelled() and transfer.exception() is None


def _recorded(source: str) -> dict[str, str]:
    """sha256 by address of files without a published one; by the address as it may be shown."""
    path = layout.checksums(source)
    remedy = "repair it, or delete it to trust the next download"
    found = files.read_json(path, remedy) if path.is_file() else {}
    if wrong := [url for url, value in found.items() if not re.fullmatch(r"[0-9a-f]{64}", str(value))]:
        raise UserError(f"{path}: the entry of {wrong[0]} is no sha256; {remedy}")
    return {redacted(url): value for url, value in found.items()}


def _check_recordable(items: Sequence[Item], source: str) -> None:
    """Two addresses that differ in a secret alone cannot be told apart in `layout.checksums`."""
    shown = [redacted(item["url"]) for item in items if not item.get("sha256")]
    if len(set(shown)) < len({item["url"] for item in items if not item.get("sha256")}):
        twice = next(url for url in shown if shown.count(url) > 1)
        raise UserError(
            f"source {source!r}: several files have the address {twice}, but for users and tokens, which are not "
            "recorded; give each its sha256 in the source's conf"
        )


def _record(source: str, arrived: Sequence[tuple[Item, Path]], known: dict[str, str]) -> None:
    new = [each for each in arrived if not each[0].get("sha256") and redacted(each[0]["url"]) not in known]
    for item, path in new:
        url = redacted(item["url"])
        known[url] = files.sha256(path)
        log.info(
            "[download %s] %s has no published checksum: trusted this once, recorded in %s as sha256 %s",
            source, item["path"], layout.checksums(source), known[url],
        )  # fmt: skip
    if new:
        files.write_json(layout.checksums(source), known)


def _download(item: Item, folder: Path, sha256: str | None, source: str, limit: int, given_up: threading.Event) -> Path:
    """One file, whole and checked; a transfer that broke is taken up ``retries`` times, ever later."""
    url, path, size = item["url"], item["path"], item.get("bytes")
    # pooch replaces an arrived file whose hash is wrong and leaves a right one alone
    target = inside.path(folder, path, f"source {source!r}: path")
    target.parent.mkdir(parents=True, exist_ok=True)  # pooch fails where two of its transfers make one folder
    keeper = pooch.create(folder, base_url="", registry={path: sha256}, urls={path: url})
    retries = item.get("retries", RETRIES)
    label = f"[download {source}] {path}"
    kept = f"try again later, or put the file into {layout.INCOMING} (docs/own_data.md)"
    for attempt in range(retries + 1):
        try:
            resuming = Resuming(label, size, limit if size is None else size, given_up)
            return Path(keeper.fetch(path, downloader=resuming))
        except Refused as error:
            raise UserError(
                f"source {source!r}: {url} cannot be downloaded ({error}); correct its conf, or {kept}"
            ) from error
        except requests.exceptions.RequestException as error:
            if attempt == retries or given_up.is_set() or _status(error) in FINAL or isinstance(error, ValueError):
                why = f"{type(error).__name__}: {redacted(str(error))[:200]}"
                raise UserError(
                    f"source {source!r}: {url} cannot be downloaded ({why}); what has arrived is kept: {kept}"
                ) from error
            pause = _pause(error, attempt)
            log.info("%s: %s; once more in %.0f s", label, redacted(str(error))[:120], pause)
        except ValueError as error:
            if attempt == retries or given_up.is_set():
                raise UserError(
                    f"source {source!r}: {url} is not the file that is expected, sha256 {sha256}; it has been changed "
                    "at its origin or on the way. If the change is meant, correct sha256 in the source's conf or "
                    f"delete the entry in {layout.checksums(source)}"
                ) from error
            pause = _pause(None, attempt)
            log.info("%s arrived with another sha256; once more in %.0f s", label, pause)
        except OSError as error:
            raise UserError(
                f"{target} cannot be written ({error.strerror}); free some space, then try again"
            ) from error
        given_up.wait(pause)
    raise AssertionError("unreachable")


def _status(error: requests.exceptions.RequestException) -> int:
    return error.response.status_code if error.response is not None else 0


def _pause(error: requests.exceptions.RequestException | None, attempt: int) -> float:
    """Seconds until the next attempt: twice as long each time, or the server's Retry-After, where that is one."""
    after = error.response.headers.get("Retry-After", "") if error is not None and error.response is not None else ""
    wanted = _retry_after(after.strip())
    if wanted is None:
        wanted = BACKOFF * 2 ** min(attempt, 10)
    return min(max(wanted, 0.0), LONGEST_WAIT)


def _retry_after(text: str) -> float | None:
    """Seconds, or until a date; None where the text is neither."""
    if _DIGITS.fullmatch(text):
        return float(text)
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError, IndexError, OSError):
        return None


def _whole_number(text: str | None) -> int | None:
    """A header's number of bytes; None where it is none."""
    return int(text) if text and len(text) < 20 and _DIGITS.fullmatch(text) else None


class Resuming:
    """A pooch downloader that goes on where the last attempt broke off, if the file is still the same.

    The first bytes wait in ``<path>.part`` beside the target; the server's ETag or date, kept in
    ``<path>.part.json``, proves by If-Range that the rest belongs to them. A part that is not the file's, or is longer
    than the file may be, is removed.
    """

    def __init__(self, label: str, size: int | None, limit: int, given_up: threading.Event) -> None:
        """`size`: how many bytes the file has, where the conf says it; `limit`: the most; `given_up` ends the
        transfer."""
        self.label = label
        self.size = size
        self.limit = limit
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
            start = self._start(response, part, start)
            etag = response.headers.get("ETag", "")
            # a weak ETag does not promise equal bytes, so If-Range must not carry it
            validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
            files.write_json(state, {"validator": validator})
            length = _whole_number(response.headers.get("Content-Length"))
            expected = self.size if length is None else start + length
            self._check_length(expected or 0, part)
            done = self._receive(response, part, start, expected)
        if expected is not None and done != expected:
            raise requests.exceptions.ConnectionError(f"{done} of {expected} bytes arrived")
        if self.size is not None and done != self.size:
            part.unlink()
            raise requests.exceptions.ConnectionError(f"{done} bytes arrived, the source's conf says {self.size}")
        part.replace(output_file)
        state.unlink()

    def _start(self, response: requests.Response, part: Path, start: int) -> int:
        """Where the answer's bytes begin: at `start`, or at 0."""
        if response.status_code == 416:  # the part is longer than the file has become: begin again next time
            part.unlink(missing_ok=True)
            raise requests.exceptions.ConnectionError("the file has become shorter")
        response.raise_for_status()
        if response.status_code not in (200, 206):
            raise Refused(f"the server answers {response.status_code} instead of sending it")
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise Refused(f"the server sends it as {encoding[:40]!r}, although the file itself was requested")
        if response.status_code != 206:
            return 0
        if not response.headers.get("Content-Range", f"bytes {start}-").startswith(f"bytes {start}-"):
            part.unlink(missing_ok=True)
            raise requests.exceptions.ConnectionError("the server sent another range than requested")
        log.info("%s: resumes at %.1f MiB", self.label, start / 2**20)
        return start

    def _check_length(self, length: int, part: Path) -> None:
        if length > self.limit:
            part.unlink(missing_ok=True)
            expected = (
                f"the source's conf says {self.size}" if self.size is not None else f"limit_gib allows {self.limit}"
            )
            raise Refused(f"{length} bytes or more are sent, {expected}")

    def _receive(self, response: requests.Response, part: Path, done: int, expected: int | None) -> int:
        """Append what arrives; how many bytes there are then."""
        said = time.monotonic()
        with part.open("ab" if done else "wb") as out:
            for piece in _pieces(response):
                done += len(piece)
                self._check_length(done, part)
                out.write(piece)
                if self.given_up.is_set():
                    raise requests.exceptions.ConnectionError("given up with another file")
                if time.monotonic() - said > PROGRESS_EVERY:
                    said = time.monotonic()
                    total = f" of {expected / 2**20:.1f}" if expected else ""
                    log.info("%s: %.1f%s MiB", self.label, done / 2**20, total)
        return done


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The body's bytes as soon as they arrive, as they are sent: at a byte a second none is lost with a broken
    connection."""
    try:
        while piece := response.raw.read1(PIECE, decode_content=False):
            yield piece
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise requests.exceptions.ConnectionError(str(error)) from error


def _state(part: Path, state: Path) -> tuple[int, str]:
    validator = files.known_json(state).get("validator")
    return (part.stat().st_size, validator) if isinstance(validator, str) and part.is_file() else (0, "")
