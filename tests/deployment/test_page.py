"""The page answers as the runs do, and nobody but its own page in a browser of this machine."""

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from in_browser import opened, violations
from PIL import Image

from vlkd_steps.cli import demo
from vlkd_steps.core import image_file, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.deployment import finished_run, page
from vlkd_steps.deployment.finished_run import Query


@pytest.fixture
def server(run: Path) -> Iterator[page.Server]:
    model = finished_run.load(run)
    with page.Server(page.Page([model, model]), 0) as served:
        thread = threading.Thread(target=served.serve_forever, args=[0.01])
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def call(
    server: page.Server, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(page.HOST, server.server_address[1], timeout=20)
    own = {} if body is None else {"Content-Type": "application/json"}
    content = None if body is None else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, content, own | (headers or {}))
    reply = connection.getresponse()
    return reply, reply.read()


def ask(server: page.Server, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(server, "/ask", query)[1])
    return found


def test_both_runs_answer_as_they_do_elsewhere(server: page.Server) -> None:
    item = server.page.items[3]
    expected = [{"text": a.text, "probability": a.probability} for a in server.page.runs[0].answers(item.query)]
    assert ask(server, item=3, question=item.query.text) == {"answers": [expected, expected]}
    uploaded = base64.b64encode(item.query.image.read_bytes()).decode()
    assert ask(server, image=uploaded, question=item.query.text) == {"answers": [expected, expected]}


def test_the_page_shows_the_items_of_the_test_set(server: page.Server) -> None:
    reply, content = call(server, "/")
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
    text = content.decode()
    assert text.count("<option") == 1 + page.SHOWN
    assert text.count("<section>") == 2
    assert "<script>" not in text
    assert " style=" not in text
    image, content = call(server, "/image/0")
    assert image.headers["Content-Type"] == "image/png"
    assert content == server.page.items[0].query.image.read_bytes()
    for path in page.ASSETS:
        assert call(server, path)[0].status == 200
    for path in ("/image/24", "/image/../../words.txt", "/words.txt", "/demo.html.j2", "/ask"):
        assert call(server, path)[0].status == 404


def test_images_that_a_browser_shows_otherwise_are_sent_as_png(server: page.Server, tmp_path: Path) -> None:
    """A browser shows no CMYK as students see it, turns a photo by its EXIF, and knows no TIFF."""
    shown = tmp_path / "shown"
    shown.mkdir()
    noise = Image.frombytes("RGB", (8, 4), bytes(range(96)))
    turned = Image.Exif()
    turned[0x0112] = 6
    noise.convert("P").save(shown / "palette.png")
    noise.convert("RGBA").save(shown / "alpha.png")
    noise.save(shown / "x.tiff")
    noise.convert("CMYK").save(shown / "cmyk.jpg")
    noise.save(shown / "turned.jpg", exif=turned)
    for path in shown.glob("*.*"):
        server.page.items[0] = replace(server.page.items[0], query=Query(path, "what"))
        reply, content = call(server, "/image/0")
        assert (reply.status, reply.headers["Content-Type"]) == (200, "image/png")
        assert image_file.decode(content, "sent").tobytes() == image_file.read(path).tobytes()


def test_an_image_that_is_missing_or_damaged_is_not_found(server: page.Server, tmp_path: Path) -> None:
    (tmp_path / "damaged.png").write_bytes(b"no image")
    for name in ("damaged.png", "missing.png"):
        server.page.items[0] = replace(server.page.items[0], query=Query(tmp_path / name, "what"))
        assert call(server, "/image/0")[0].status == 404
    assert call(server, f"/image/{'9' * 5000}")[0].status == 404


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"question": "what"}, "there is no image; choose one"),
        ({"item": 99, "question": "what"}, "there is no image; choose one"),
        ({"item": 0, "question": " "}, "the question is empty"),
        ({"item": 0, "question": 3}, "must be texts"),
        ({"item": 0, "question": "what", "choices": 3}, "a list of texts"),
        ({"image": "%%", "question": "what"}, "not in base64"),
        ({"image": "é", "question": "what"}, "not in base64"),
        ({"image": base64.b64encode(b"no image").decode(), "question": "what"}, "upload"),
        ([1], "must be JSON of an object"),
    ],
)
def test_a_mistake_is_one_message(server: page.Server, query: Any, message: str) -> None:
    reply, content = call(server, "/ask", query)
    assert reply.status == 200
    assert message in json.loads(content)["error"]


def test_other_pages_cannot_ask(server: page.Server) -> None:
    assert call(server, "/", headers={"Host": "evil.example"})[0].status == 403
    assert call(server, "/ask", {"item": 0}, {"Host": "evil.example"})[0].status == 403
    assert call(server, "/ask", {"item": 0}, {"Content-Type": "text/plain"})[0].status == 404
    assert "larger than 48 MB" in call(server, "/ask", {}, {"Content-Length": str(page.LARGEST + 1)})[1].decode()


def test_texts_of_data_are_escaped(server: page.Server) -> None:
    server.page.items[0] = page.Item(Query(Path("a.png"), '"><script>x</script>'), "<b>bold</b>", '"')
    text = call(server, "/")[1].decode()
    assert "<script>x" not in text
    assert "<b>bold" not in text


def test_a_taken_port_and_runs_of_two_tasks_are_refused(server: page.Server, run: Path, capsys: Any) -> None:
    assert demo.main([str(run), "--port", str(server.server_address[1])]) == 2
    assert "choose another, or 0 for any free one" in capsys.readouterr().err
    one, other = finished_run.load(run), finished_run.load(run)
    other.task_name = "entailment"
    with pytest.raises(UserError, match="name two of one task"):
        page.Page([one, other])


def test_without_the_data_there_is_an_upload_alone(run: Path) -> None:
    layout.instances("toy").unlink()
    shown = page.Page([finished_run.load(run)])
    assert shown.items == []
    assert 'id="item"' not in shown.html()


def test_in_a_browser(server: page.Server, tmp_path: Path) -> None:
    item = server.page.items[5] = replace(server.page.items[5], gold="mauve")
    best = server.page.runs[0].answers(item.query)
    photo = tmp_path / "photo.png"
    photo.write_bytes(item.query.image.read_bytes())
    problems: list[str] = []
    with opened(server.address, problems=problems) as shown:
        assert violations(shown) == []
        shown.get_by_label("or an item of test").select_option("5")
        assert shown.get_by_label("The question").input_value() == item.query.text
        shown.get_by_role("button", name="Ask").click()
        shown.locator("li").nth(7).wait_for()
        texts = shown.locator("li").all_inner_texts()
        assert len(texts) == 8
        for texts_of_a_run in (texts[:4], texts[4:]):
            assert [text.split()[0] for text in texts_of_a_run] == [answer.text for answer in best]
        assert shown.locator("#gold").inner_text() == "In the data: mauve"
        assert shown.locator("#image").evaluate("image => image.complete && image.naturalWidth") == 32
        shown.get_by_label("An image", exact=True).set_input_files(photo)
        assert shown.locator("li").count() == 0  # what was answered before is gone
        shown.get_by_role("button", name="Ask").click()
        shown.locator("li").nth(7).wait_for()
        assert shown.locator("li").all_inner_texts() == texts
        shown.get_by_label("The question").fill("")
        shown.get_by_role("button", name="Ask").click()
        shown.get_by_text("the question is empty").wait_for()
        assert problems == []


def test_a_tunnel_may_have_another_port(server: page.Server) -> None:
    for host in ("localhost:8000", "127.0.0.1"):
        assert call(server, "/", headers={"Host": host})[0].status == 200
    for host in ("localhost.evil.example:8000", "127.0.0.1.evil.example", "evil.example:localhost"):
        assert call(server, "/", headers={"Host": host})[0].status == 403


def test_a_browser_that_goes_away_leaves_no_traceback(
    server: page.Server, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(page.Handler, "_send", gone)
    with pytest.raises(http.client.RemoteDisconnected):
        call(server, "/")
    assert capsys.readouterr().err == ""


def test_an_uploaded_image_is_shown_as_the_student_sees_it_and_not_sent_if_too_large(
    server: page.Server, tmp_path: Path
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (80, 40)).save(tmp_path / "turned.jpg", exif=turned)
    (tmp_path / "large.jpg").write_bytes(bytes(page.LARGEST * 3 // 4))
    with opened(server.address) as shown:
        shown.get_by_label("An image", exact=True).set_input_files(tmp_path / "turned.jpg")
        shown.wait_for_function("document.getElementById('image').naturalWidth > 0")
        assert shown.locator("#image").evaluate("image => image.clientWidth > image.clientHeight")
        shown.get_by_label("An image", exact=True).set_input_files(tmp_path / "large.jpg")
        shown.get_by_label("The question").fill("what")
        shown.get_by_role("button", name="Ask").click()
        shown.get_by_text(page.TOO_LARGE).wait_for()
