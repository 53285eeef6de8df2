"""Nothing reaches a terminal, a log or a file of ours with a secret in it, or steers the terminal."""

import ast
import io
import json
import logging
import sys
from pathlib import Path

import pytest

from vlkd_steps.core import step, terminal
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.redaction import redacted

SECRETS = [
    "https://ada:hunter2@host/x", "https://ada:hu@nt/er2@host/x.zip", "http://hunter2@host:80/a",
    "https://host/f?token=hunter2", "https://host/f?id=1&X-Amz-Signature=hunter2&x=1", "/f?api_key=hunter2 (Caused by",
    "https://h/f?AWSAccessKeyId=hunter2", "https://h/f#access_token=hunter2", "postgresql://u:hunter2@db/x?password=hunter2",
    "https://h/f?sv=1;sig=hunter2", "{'Authorization': 'Bearer hunter2'}", "Authorization: Basic hunter2",
    "socks5h://ada:hunter2@proxy:1080", "ada:hunter2@host:5000",
    "env MLFLOW_TRACKING_PASSWORD=hunter2 vlkd track", "HF_TOKEN='hunter2'", "{'AWS_SECRET_ACCESS_KEY': 'hunter2'}",
    "Set-Cookie: sid=hunter2; Path=/", "PRIVATE-TOKEN: hunter2", "{'X-Api-Key': 'hunter2'}", "https://h/x;jsessionid=hunter2",
    '{"password": "hunter2"}', '{"password": "a\'hunter2"}', '"password": "hunter2', "PASSWORD='a hunter2'",
    "TOKEN='hunter2", "invalid token hf_hunter2abcdefghijklmnopqrst",
    "API_KEY: hunter2", "Cookie: a=1; b=hunter2", "{'Cookie': 'a=1; b=hunter2'}", "Authorization: Negotiate hunter2",
    'Authorization: Digest username="u", response="hunter2"', "A_PASSWORD=a,hunter2",
]  # fmt: skip
HARMLESS = [
    "https://host/a@b.json", "http://127.0.0.1:5000/#/experiments/1/runs?compareRunsMode=CHART&viewStateShareKey=ab",
    "https://drive.example/uc?id=1&export=download", "ask ada@example.org", "sqlite:////home/ada@site/mlflow.db",
    "http://host:80/x@1.png", "a = b?", "key=value", "files.train: is 3; write x=y",
    "max_tokens=40", "[MASK]: token 3", "x-axis: steps", "KEY=1", '{"token": "cat"}', "hf_hub: x", "SECRETS of 3",
]  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_no_secret_is_in_a_message_or_in_the_log(text: str, tmp_path: Path) -> None:
    assert "hunter2" not in redacted(text)
    assert "hunter2" not in str(UserError(f"source 'x': {text}"))
    step.log_to(tmp_path / "x.log")
    try:
        raise ValueError(text)
    except ValueError:
        step.log.exception("of a library: %s", text)
    logged = (tmp_path / "x.log").read_text()
    assert "of a library" in logged
    assert "hunter2" not in logged


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_what_a_stream_cannot_encode_is_written_out() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    terminal.say("caf\u00e9 \u0416", file=stream, flush=True)
    assert stream.buffer.getvalue() == b"caf\xe9 \\u0416\n"


@pytest.mark.parametrize(
    "letter", ["\x1b", "\x07", "\r", "\x00", "\x9b", "\u202e", "\u2066", "\u200b", "\u2028", "\ud83d"]
)
def test_what_steers_a_terminal_is_written_out(letter: str, capsys: pytest.CaptureFixture[str]) -> None:
    step.log_to(None)
    step.log.info("before %s after", letter)
    terminal.say("before", letter, "after")

    @step.entry
    def main(argv: object = None) -> int:
        raise UserError(f"the caption is {letter}; correct it")

    assert main() == 2
    out, err = capsys.readouterr()
    written = letter.encode("unicode_escape").decode()
    assert out == f"before {written} after\n"
    assert err == f"before {written} after\nerror: the caption is {written}; correct it\n"


def test_letters_of_every_script_stay() -> None:
    text = "naïve Ελλάδα हिन्दी 日本語 עברית 👩\u200d🚀 €\tx\n"
    assert terminal.shown(text) == text


def test_a_traceback_shows_no_secret(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(step.log, "handlers", [])

    @step.entry
    def main(argv: object = None) -> int:
        raise ZeroDivisionError("https://ada:hunter2@host \x1b[2J")

    with pytest.raises(ZeroDivisionError) as raised:
        main()
    sys.excepthook(raised.type, raised.value, raised.tb)
    err = capsys.readouterr().err
    assert "ZeroDivisionError: https://host \\x1b[2J" in err
    assert "Traceback" in err


def test_nothing_in_the_package_prints_in_another_way(root: Path) -> None:
    printing = [
        f"{module.relative_to(root)}:{node.lineno}"
        for module in sorted((root / "vlkd_steps").rglob("*.py"))
        for node in ast.walk(ast.parse(module.read_bytes()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert {each.rpartition(":")[0] for each in printing} == {"vlkd_steps/core/terminal.py"}


def test_a_log_record_keeps_its_arguments(tmp_path: Path) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "%d of %s", (1, json.dumps({"a": 1})), None)
    assert terminal.Formatter("%(message)s").format(record) == '1 of {"a": 1}'
