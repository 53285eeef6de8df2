"""Downloads with pooch: in parallel, with checksums and retries, resumed where the server allows it.

A file without a published checksum is trusted on first use: its sha256 is recorded in
``data/checksums/<source>.json`` and every later download is checked against it. Nothing from a server is trusted:
neither sizes, nor pauses, nor the names in a list of files.
"""

import email.utils
import os
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
BACKOFF = 1.0  # seconds before the first retry; doubled before each further one
LONGEST_WAIT = 60.0  # seconds, whatever Retry-After says
TIMEOUT = (20, 60)  # seconds: to connect, between two chunks
PIECE = 1 << 16  # bytes at most
PROGRESS_EVERY = 5.0  # seconds
HEARD_WITHIN = 0.5  # seconds until a stop signal is noticed, and again for the transfers to end
FINAL = frozenset(range(400, 500)) - {408, 425, 429}
"""Status codes that a retry does not change, such as 404."""
VERSION = 1
"""Increased whenever a change of this package changes the files that a download leaves, as unpacked."""
TRANSFER = ("about_gb", "parallel", "limit_gib", "limit_files")
"""Keys of a source that change no file, as `retries` of a file does not."""
_DIGITS = re.compile(r"[0-9]+")  # str.isdigit accepts superscripts

Item = Mapping[str, Any]


class Refused(Exception):
    """The server does not send the file, and a retry would not help."""


def fetch(source: Mapping[str, Any], folder: Path) -> None:
    """Download every file of ``files`` [{url, path, sha256 | null, bytes | null, unpack}] into `folder`.

    Files arrive in ``data/raw/.downloads/<source>``, where an interrupted download continues; the caller removes that
    once it has published `folder`. ``listed`` {in, key, url, name, folder} then fetches the files that the records of a
    JSON file name (NoCaps' images). ``parallel`` files are fetched at a time. No file may be longer than its ``bytes``
    or, if the conf has none, than ``limit_gib``.

    Raises:
        UserError: a file cannot be downloaded, has another checksum, or does not fit on the disk.
        Interrupted: a stop signal came; the same call resumes.
    """
    arriving = layout.arriving(source["name"])
    arriving.mkdir(parents=True, exist_ok=True)
    archive.check_space(arriving, missing(source))
    pooch.get_logger().setLevel("WARNING")
    items = list(source["files"])
    _fetch_all(source, items, arriving)
    if source.get("listed"):
        try:
            more = list(_listed(source))
        except UserError:
            _arrived({"path": source["listed"]["in"]}, source["name"]).unlink()  # an error page, perhaps
            raise
        _fetch_all(source, more, arriving)
        items += more
    for item in sorted(items, key=lambda item: not item.get("unpack")):  # a damaged zip fails first
        _put(item, source, folder)
    _record(source["name"], items)


def decisive(source: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides which files a download leaves, with which bytes.

    What was trusted on first use is a part of it: a file is fetched again once its recorded checksum is deleted.
    """
    items = [{key: value for key, value in item.items() if key != "retries"} for item in source["files"]]
    return {
        **{key: value for key, value in source.items() if key not in TRANSFER},
        "files": [{**item, "url": redacted(item["url"])} for item in items],
        "recorded": _recorded(source["name"]),
        "version": VERSION,
    }


def missing(source: Mapping[str, Any]) -> int:
    """Bytes of a source that have not arrived yet, of the files whose size its conf states."""
    total = 0
    for item in source["files"]:
        arrived = _arrived(item, source["name"])
        there = sum(path.stat().st_size for path in (arrived, _part(arrived)) if path.is_file())
        total += max(0, (item.get("bytes") or 0) - there)
    return total


def _arrived(item: Item, source: str) -> Path:
    """Where a file of a source arrives."""
    return inside.path(layout.arriving(source), item["path"], f"source {source!r}: path")


def _part(arrived: Path) -> Path:
    """Where the first bytes of a file are."""
    return arrived.with_name(f"{arrived.name}.part")


def _put(item: Item, source: Mapping[str, Any], folder: Path) -> None:
    """Give a downloaded file its path in `folder`, or unpack it there; a damaged zip is removed and fetched again."""
    where = f"source {source['name']!r}: path"
    arrived, target = _arrived(item, source["name"]), inside.path(folder, item["path"], where)
    if item.get("unpack") and item["path"].endswith(archive.TABLE):
        from vlkd_steps.sources import parquet_images  # pyarrow, as in `local`

        parquet_images.unpack(arrived, folder, item["path"], _limit(source))
        return
    if item.get("unpack"):
        try:
            archive.unpack(arrived, target.parent, _limit(source), most=source.get("limit_files", archive.FILES))
        except archive.Damaged:
            arrived.unlink()
            raise
        return
    archive.free_place(target, where)
    try:
        os.link(arrived, target)
    except OSError:  # a file system without hard links
        archive.check_space(target.parent, arrived.stat().st_size)
        shutil.copyfile(arrived, target)


def _limit(source: Mapping[str, Any]) -> int:
    """Bytes that a file may have, also unpacked."""
    return int(source.get("limit_gib", 64) * archive.GIB)


def _listed(source: Mapping[str, Any]) -> Iterator[Item]:
    """The files that the records of a downloaded JSON file name.

    Raises:
        UserError: the file does not have the structure that the conf states, or a name would leave the folder or occurs
            twice.
    """
    conf = source["listed"]
    path = _arrived({"path": conf["in"]}, source["name"])
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
    """Download every file, some at a time; the first failure ends the others, and finished parts are kept."""
    name = source["name"]
    known = _recorded(name)
    _check_recordable(items, name)
    _forget_other_addresses(items, name)
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
        failed: list[Future[Path]] = []
        while pending and not stop and not failed:
            _, pending = wait(pending, timeout=HEARD_WITHIN, return_when=FIRST_EXCEPTION)
            failed = [each for each in transfers if each.done() and each.exception()]
        given_up.set()  # by which others fail too, which is not to be told
        for transfer in transfers:
            transfer.cancel()
        wait(transfers, timeout=HEARD_WITHIN)
        stop.raise_if_set()
    for transfer in failed:
        transfer.result()


def _forget_other_addresses(items: Sequence[Item], source: str) -> None:
    """Remove what an interrupted download left under the path of a file whose address was corrected since."""
    noted = layout.arriving(source) / layout.RAW_MANIFEST  # a name that no file of a source may have
    before = files.known_json(noted)
    now = {item["path"]: redacted(item["url"]) for item in items}
    for item in items:
        if before.get(item["path"], now[item["path"]]) != now[item["path"]]:
            arrived = _arrived(item, source)
            arrived.unlink(missing_ok=True)
            _part(arrived).unlink(missing_ok=True)
    files.write_json(noted, before | now)


def _in_threads(jobs: Sequence[Callable[[], Path]], number: int) -> list[Future[Path]]:
    """Start `number` threads for the jobs; a thread that waits for a server that does not answer ends with the process,
    unlike those of an executor."""
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


def _recorded(source: str) -> dict[str, str]:
    """Recorded sha256 of files without a published one, by their redacted address."""
    path = layout.checksums(source)
    remedy = "repair it, or delete it to trust the next download"
    found = files.read_json(path, remedy) if path.is_file() else {}
    if wrong := [url for url, value in found.items() if not re.fullmatch(r"[0-9a-f]{64}", str(value))]:
        raise UserError(f"{path}: the entry of {wrong[0]} is no sha256; {remedy}")
    return {redacted(url): value for url, value in found.items()}


def _check_recordable(items: Sequence[Item], source: str) -> None:
    """Refuse addresses that differ only in a secret: `layout.checksums` cannot distinguish them."""
    shown = [redacted(item["url"]) for item in items if not item.get("sha256")]
    if len(set(shown)) < len({item["url"] for item in items if not item.get("sha256")}):
        twice = next(url for url in shown if shown.count(url) > 1)
        raise UserError(
            f"source {source!r}: several files have the address {twice}, apart from users and tokens, which are not "
            "recorded; give each its sha256 in the source's conf"
        )


def _record(source: str, items: Sequence[Item]) -> None:
    """Trust what has arrived, and could be unpacked, for the first time."""
    known = _recorded(source)
    new = [item for item in items if not item.get("sha256") and redacted(item["url"]) not in known]
    for item in new:
        url = redacted(item["url"])
        known[url] = files.sha256(_arrived(item, source))
        log.info(
            "[download %s] %s has no published checksum: trusted on first use, recorded in %s as sha256 %s",
            source, item["path"], layout.checksums(source), known[url],
        )  # fmt: skip
    if new:
        files.write_json(layout.checksums(source), known)


def _download(item: Item, folder: Path, sha256: str | None, source: str, limit: int, given_up: threading.Event) -> Path:
    """Download and check one file; a broken transfer is resumed ``retries`` times, after growing pauses."""
    url, path, size = item["url"], item["path"], item.get("bytes")
    # pooch replaces an existing file whose hash is wrong, and keeps one whose hash is right
    target = inside.path(folder, path, f"source {source!r}: path")
    target.parent.mkdir(parents=True, exist_ok=True)  # pooch fails if two of its transfers create one folder
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
        except urllib3.exceptions.LocationValueError as error:  # of a host such as a..org, which requests lets through
            raise UserError(f"source {source!r}: {url} names no host ({error}); correct it") from error
        except requests.exceptions.RequestException as error:
            if attempt == retries or given_up.is_set() or _status(error) in FINAL or isinstance(error, ValueError):
                why = f"{type(error).__name__}: {redacted(str(error))[:200]}"
                raise UserError(
                    f"source {source!r}: {url} cannot be downloaded ({why}); the part that arrived is kept: {kept}"
                ) from error
            pause = _pause(error, attempt)
            log.info("%s: %s; retrying in %.0f s", label, redacted(str(error))[:120], pause)
        except ValueError as error:
            if attempt == retries or given_up.is_set():
                raise UserError(
                    f"source {source!r}: {url} is not the expected file, sha256 {sha256}; it was changed "
                    "at its origin or in transit. If the change is intended, correct sha256 in the source's conf or "
                    f"delete the entry in {layout.checksums(source)}"
                ) from error
            pause = _pause(None, attempt)
            log.info("%s arrived with another sha256; retrying in %.0f s", label, pause)
        except OSError as error:
            raise UserError(
                f"{target} cannot be written ({error.strerror}); free some space, then try again"
            ) from error
        given_up.wait(pause)
    raise AssertionError("unreachable")


def _status(error: requests.exceptions.RequestException) -> int:
    return error.response.status_code if error.response is not None else 0


def _pause(error: requests.exceptions.RequestException | None, attempt: int) -> float:
    """Seconds until the next attempt: doubled each time, or the server's Retry-After if that is valid."""
    after = error.response.headers.get("Retry-After", "") if error is not None and error.response is not None else ""
    wanted = _retry_after(after.strip())
    if wanted is None:
        wanted = BACKOFF * 2 ** min(attempt, 10)
    return min(max(wanted, 0.0), LONGEST_WAIT)


def _retry_after(text: str) -> float | None:
    """Seconds, given as such or as a date; None: neither."""
    if _DIGITS.fullmatch(text):
        return float(text)
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError, IndexError, OSError):
        return None


def _whole_number(text: str | None) -> int | None:
    """A header's number of bytes; None: not a number."""
    return int(text) if text and len(text) < 20 and _DIGITS.fullmatch(text) else None


class Resuming:
    """A pooch downloader that resumes the last attempt if the file is unchanged.

    The first bytes are in ``<path>.part`` beside the target; the server's ETag or date, in ``<path>.part.json``, is
    sent as If-Range, and compared with that of the answer, as some servers know Range but not If-Range: so the rest
    belongs to the same file. A part of another file, or one that is too long, is removed.
    """

    def __init__(self, label: str, size: int | None, limit: int, given_up: threading.Event) -> None:
        """`size`: the file's bytes, if the conf states them; `limit`: the most allowed; `given_up` aborts it."""
        self.label = label
        self.size = size
        self.limit = limit
        self.given_up = given_up

    def __call__(self, url: str, output_file: str, keeper: pooch.Pooch) -> None:
        (name,) = keeper.registry
        part = _part(Path(keeper.abspath) / name)
        state = part.with_name(part.name + ".json")
        part.parent.mkdir(parents=True, exist_ok=True)
        start, validator = _state(part, state)
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": validator}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            start = self._start(response, part, start, validator)
            if not start:  # before the state is that of another file
                part.unlink(missing_ok=True)
            etag = response.headers.get("ETag", "")
            # a weak ETag does not promise equal bytes, so If-Range must not carry it
            validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
            files.write_json(state, {"validator": validator})
            length = _whole_number(response.headers.get("Content-Length"))
            expected = self.size if length is None else start + length
            if response.status_code == 206:  # what is sent may be less than all that is missing
                expected = _whole_number(response.headers.get("Content-Range", "").rpartition("/")[2]) or expected
            self._check_length(expected or 0, part)
            done = self._receive(response, part, start, expected)
        if expected is not None and done != expected:
            raise requests.exceptions.ConnectionError(f"{done} of {expected} bytes arrived")
        if self.size is not None and done != self.size:
            part.unlink()
            raise requests.exceptions.ConnectionError(f"{done} bytes arrived, the source's conf says {self.size}")
        part.replace(output_file)
        state.unlink()

    def _start(self, response: requests.Response, part: Path, start: int, validator: str) -> int:
        """The offset at which the response begins: `start`, or 0; `validator` is of the file that the part is of."""
        if response.status_code == 416:  # the part is longer than the file is now: start over next time
            part.unlink(missing_ok=True)
            raise requests.exceptions.ConnectionError("the file has become shorter")
        response.raise_for_status()
        if response.status_code not in (200, 206):
            raise Refused(f"the server answers {response.status_code} instead of sending it")
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise Refused(f"the server sends it encoded as {encoding[:40]!r}, although the plain file was requested")
        if response.status_code != 206:
            return 0
        if not response.headers.get("Content-Range", f"bytes {start}-").startswith(f"bytes {start}-"):
            part.unlink(missing_ok=True)
            raise requests.exceptions.ConnectionError("the server sent another range than requested")
        # a server that heeds If-Range may leave out the date, so only another one tells of another file
        header = "ETag" if validator.startswith('"') else "Last-Modified"
        if start and response.headers.get(header, validator) != validator:
            part.unlink(missing_ok=True)
            raise requests.exceptions.ConnectionError("the file was changed while it was downloaded")
        log.info("%s: resumes at %.1f MiB", self.label, start / 2**20)
        return start

    def _check_length(self, length: int, part: Path) -> None:
        if length > self.limit:
            part.unlink(missing_ok=True)
            expected = (
                f"the source's conf says {self.size}" if self.size is not None else f"limit_gib allows {self.limit}"
            )
            raise Refused(f"the server sends {length} bytes or more, {expected}")

    def _receive(self, response: requests.Response, part: Path, done: int, expected: int | None) -> int:
        """Append what arrives, and flush it to the disk; returns how many bytes there are."""
        said = time.monotonic()
        with part.open("ab" if done else "wb") as out:
            for piece in _pieces(response):
                done += len(piece)
                self._check_length(done, part)
                out.write(piece)
                if self.given_up.is_set():
                    raise requests.exceptions.ConnectionError("given up because another file failed")
                if time.monotonic() - said > PROGRESS_EVERY:
                    said = time.monotonic()
                    total = f" of {expected / 2**20:.1f}" if expected else ""
                    log.info("%s: %.1f%s MiB", self.label, done / 2**20, total)
            out.flush()
            os.fsync(out.fileno())  # a file without a published checksum is trusted as it is found
        return done


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The body's raw bytes as soon as they arrive, so that a broken connection loses none even at a byte a second."""
    try:
        while piece := response.raw.read1(PIECE, decode_content=False):
            yield piece
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise requests.exceptions.ConnectionError(str(error)) from error


def _state(part: Path, state: Path) -> tuple[int, str]:
    """The bytes that have arrived, and what tells whether the file is still the same; 0 where nothing tells it."""
    validator = files.known_json(state).get("validator")
    return (part.stat().st_size, validator) if validator and isinstance(validator, str) and part.is_file() else (0, "")
