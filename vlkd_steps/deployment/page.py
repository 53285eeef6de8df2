"""A local page that queries one or two finished runs: Python's own HTTP server, on the loopback address only.

It answers only to requests that name this machine, at any port, since that of a tunnel may be another one, and takes
questions only as JSON, so that no other page in the same browser can query it. All text on the page is escaped, and
nothing is loaded from elsewhere.
"""

import base64
import io
import re
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jinja2
import polars as pl

from vlkd_steps.core import artifacts, files, image_file, layout, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.step import log
from vlkd_steps.data import passages
from vlkd_steps.deployment.finished_run import FinishedRun, Query

HOST = "127.0.0.1"  # the page has no password: for this machine only
OWN = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]+)?")
TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
SHOWN = 24  # items of the data set to choose from
LARGEST = 64 << 20  # bytes of a request; an image of 48 MB in base64
TOO_LARGE = f"the image is larger than {LARGEST * 3 // 4 >> 20} MB; take a smaller one"
ASSETS = {"/demo.css": "text/css", "/demo.js": "text/javascript"}
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'"


@dataclass(frozen=True)
class Item:
    """An item of an evaluation set: the query, its text in the list, the right answer."""

    query: Query
    shown: str
    gold: str


class Page:
    """The content of the page.

    Raises:
        UserError: the runs have different tasks.
    """

    def __init__(self, runs: Sequence[FinishedRun]) -> None:
        first, *others = self.runs = list(runs)
        for other in others:
            if other.task_name != first.task_name:
                raise UserError(
                    f"{first.folder} is a run on {first.task_name} and {other.folder} on {other.task_name}; name two "
                    "of one task"
                )
        sets = first.described["dataset"]["evaluation_sets"]
        self.evaluation_set = "test" if "test" in sets else next(iter(sets), "")
        self.items = items_of(first, self.evaluation_set) if sets else []
        self._one_at_a_time = threading.Lock()

    def html(self) -> str:
        environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
        first = self.runs[0]
        return environment.get_template("demo.html.j2").render(
            runs=[{"folder": run.folder, "title": title(run)} for run in self.runs],
            dataset=first.dataset,
            head=first.task.head,
            own_images=all(run.own_images for run in self.runs),
            evaluation_set=self.evaluation_set,
            items=self.items,
            question=first.task.input_label,
            largest=LARGEST * 3 // 4 - (1 << 16),  # there is a question beside it
            too_large=TOO_LARGE,
        )

    def image(self, number: int) -> tuple[bytes, str]:
        """An item's image and its media type, for the browser: what it would show otherwise is sent as PNG.

        Raises:
            UserError: the image is missing or damaged.
        """
        path = self.items[number].query.image
        content = image_file.read_bytes(path)
        if kind := image_file.shown_as(content, path):
            return content, kind
        stream = io.BytesIO()
        image_file.decode(content, path).save(stream, "PNG")
        return stream.getvalue(), "image/png"

    def answers(self, request: dict[str, Any]) -> list[list[dict[str, Any]]]:
        """Each run's best answers to ``{question, image (base64) or item (its number), choices?, answer?}``.

        Raises:
            UserError: the request or its query is invalid (`FinishedRun.answers`).
        """
        texts, choices = [request.get(key, "") for key in ("question", "answer")], request.get("choices", [])
        number, content = request.get("item"), request.get("image")
        if not isinstance(choices, list) or not all(isinstance(text, str) for text in [*texts, *choices]):
            raise UserError("question and answer must be texts, and choices a list of texts")
        with TemporaryDirectory() as folder:
            path = Path(folder) / "upload"
            if isinstance(content, str):
                path.write_bytes(decoded(content))
            elif isinstance(number, int) and 0 <= number < len(self.items):
                path = self.items[number].query.image
            else:
                raise UserError("there is no image; choose one")
            query = Query(path, texts[0], tuple(choices), texts[1])
            with self._one_at_a_time:
                return [[asdict(answer) for answer in run.answers(query)] for run in self.runs]


def decoded(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except ValueError as error:  # binascii.Error is one; letters that are not ASCII are another
        raise UserError(f"the image is not in base64 ({error})") from error


def title(run: FinishedRun) -> str:
    described = run.described
    return f"{described['student']['name']}, {described['variant']}, {described['shot']}, seed {described['seed']}"


def items_of(run: FinishedRun, evaluation_set: str) -> list[Item]:
    """The first items of an evaluation set, each with another image; none, with a warning, if they are not here."""
    try:
        ids = artifacts.split_ids(layout.eval_split(run.dataset, evaluation_set))
        table = tables.read(artifacts.instances(run.dataset))
    except UserError as missing:
        log.warning(f"the page has no items of {run.dataset} to choose from: {missing}")
        return []
    rows = pl.DataFrame({"instance_id": ids}).join(table, on="instance_id", maintain_order="left")
    rows = rows.unique("image_id", keep="first", maintain_order=True).head(SHOWN)
    read, passage_rows = passages.of(rows)
    segments = map(read.segments_of, passage_rows[:, 0])
    return [_item(run, row, each) for row, each in zip(rows.iter_rows(named=True), segments, strict=True)]


def _item(run: FinishedRun, row: dict[str, Any], segments: Sequence[str]) -> Item:
    """An item from a row; `segments` are its first passage's, in VCR with the answer if it is given."""
    question = "" if run.task.head == "written" else segments[0]
    answer = segments[1] if len(segments) > 2 else ""
    query = Query(Path(row["image_path"]), question, tuple(row["choices"]), answer)
    return Item(query, run.task.question(row), run.task.gold(row))


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: "Server"

    def do_GET(self) -> None:
        if not self._is_ours():
            return
        page = self.server.page
        if self.path == "/":
            self._send(page.html().encode(), "text/html; charset=utf-8")
        elif self.path in ASSETS:
            self._send((TEMPLATES / self.path[1:]).read_bytes(), f"{ASSETS[self.path]}; charset=utf-8")
        elif self.path in map("/image/{}".format, range(len(page.items))):
            self._send_image(int(self.path.removeprefix("/image/")))
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send_image(self, number: int) -> None:
        try:
            self._send(*self.server.page.image(number))
        except UserError as mistake:
            log.warning(f"the page shows no image of item {number}: {mistake}")
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        if not self._is_ours():
            return
        length = self.headers.get("Content-Length", "")
        if self.path != "/ask" or self.headers.get_content_type() != "application/json":
            self.send_error(HTTPStatus.NOT_FOUND)
        elif not length.isdecimal() or int(length) > LARGEST:
            self.close_connection = True
            self._send_json({"error": TOO_LARGE})
        else:
            self._send_json(self._answered(self.rfile.read(int(length))))

    def _answered(self, body: bytes) -> dict[str, Any]:
        try:
            request = files.parse_json(body.decode("utf-8", "replace"), "the request", "ask by the page")
            return {"answers": self.server.page.answers(request)}
        except UserError as mistake:
            return {"error": str(mistake)}

    def _is_ours(self) -> bool:
        """Whether the request names this machine: another site's name may resolve to this address."""
        if OWN.fullmatch(self.headers.get("Host", "")):
            return True
        self.send_error(HTTPStatus.FORBIDDEN)
        return False

    def _send_json(self, value: dict[str, Any]) -> None:
        self._send(files.canonical(value).encode(), "application/json")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store"}
        headers |= {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""


class Server(ThreadingHTTPServer):
    """Serves the page on a port of this machine; 0 is any free one.

    Raises:
        UserError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, page: Page, port: int) -> None:
        self.page = page
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise UserError(f"--port {port}: {error.strerror}; choose another, or 0 for any free one") from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a page that is reloaded goes away meanwhile
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}"
