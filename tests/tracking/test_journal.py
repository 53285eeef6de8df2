import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vlkd_steps.core import locks, step
from vlkd_steps.tracking import journal
from vlkd_steps.tracking.journal import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "journal.jsonl"


def test_events_come_back_in_order_with_their_time(path: Path) -> None:
    with Journal(path) as log:
        log.append("start", run_key="a", attempt=1, params={"lr": 1e-3})
        log.append("metrics", step=10, epoch=0.5, metrics={"loss": 0.25})
    events = journal.read(path)
    assert [event["event"] for event in events] == ["start", "metrics"]
    assert events[1]["metrics"] == {"loss": 0.25}
    assert events[0]["time"] <= events[1]["time"]


def test_no_journal_is_an_empty_one(path: Path) -> None:
    assert journal.read(path) == []
    assert locks.is_open(path) is False


def test_the_file_is_strict_json_and_not_a_number_survives(path: Path) -> None:
    with Journal(path) as log:
        log.append("metrics", step=1, metrics={"a": math.nan, "b": -math.inf, "c": np.float32("inf"), "d": np.int64(3)})

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    raw = json.loads(path.read_text(), parse_constant=refuse)
    assert raw["metrics"] == {"a": "NaN", "b": "-Infinity", "c": "Infinity", "d": 3}
    metrics = journal.read(path)[0]["metrics"]
    assert math.isnan(metrics["a"])
    assert (metrics["b"], metrics["c"], metrics["d"]) == (-math.inf, math.inf, 3.0)


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_last_line_is_skipped_and_closed_by_the_next_writer(path: Path, cut: int) -> None:
    with Journal(path) as log:
        log.append("start", run_key="a", attempt=1)
        log.append("metrics", step=1, metrics={"loss": 1.0})
    whole = path.read_bytes()
    path.write_bytes(whole[: -cut - 1])  # without the line's end and some of its bytes
    assert [event["event"] for event in journal.read(path)] == ["start"]
    with Journal(path) as log:
        log.append("start", run_key="a", attempt=2)
    assert [event.get("attempt") for event in journal.read(path)] == [1, 2]


def test_a_whole_line_that_only_lacks_its_end_counts(path: Path) -> None:
    with Journal(path) as log:
        log.append("start", run_key="a", attempt=1)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    with Journal(path) as log:
        log.append("end", status="FINISHED")
    assert [event["event"] for event in journal.read(path)] == ["start", "end"]


WRITER = """
import sys
from pathlib import Path
from vlkd_steps.tracking.journal import Journal
log = Journal(Path(sys.argv[1]))
for step in range(int(sys.argv[3])):
    log.append("metrics", step=step, metrics={"loss": 1.0}, writer=sys.argv[2], padding="x" * 5000)
    if step == 0:
        print("ready", flush=True)
"""


def test_lines_of_concurrent_writers_do_not_mix(path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, "200"]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    events = journal.read(path)
    assert len([line for line in path.read_bytes().splitlines() if line]) == len(events) == 600
    for name in "abc":
        assert [event["step"] for event in events if event["writer"] == name] == list(range(200))


def test_what_was_appended_survives_kill_9_and_the_dead_writer_is_noticed(path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), "a", "100000000"], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    assert locks.is_open(path) is True
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    assert locks.is_open(path) is False
    steps = [event["step"] for event in journal.read(path)]
    assert steps
    assert steps == list(range(len(steps)))


def test_an_attempt_continues_its_run_and_a_new_key_begins_another(path: Path) -> None:
    with Journal(path) as log:
        log.append("start", run_key="old", attempt=1)
        log.append("metrics", step=1, metrics={"loss": 9.0})
        log.append("start", run_key="new", attempt=1)
        log.append("metrics", step=10, metrics={"loss": 3.0})
        log.append("metrics", step=20, metrics={"loss": 2.5})
        log.append("start", run_key="new", attempt=2)
        log.append("metrics", step=20, metrics={"loss": 2.0})
        log.append("evaluation", step=20, set="dev", metrics={"accuracy": 40.0})
    runs = journal.by_run(journal.read(path))
    assert list(runs) == ["old", "new"]
    assert journal.curves(runs["new"]) == {"loss": {10: 3.0, 20: 2.0}, "dev/accuracy": {20: 40.0}}
    assert journal.next_attempt(path, "new") == 3
    assert journal.next_attempt(path, "other") == 1


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_journal_linked_into_a_cache_is_copied_before_it_is_written(tmp_path: Path, link: object, path: Path) -> None:
    cached = tmp_path / "cache"
    cached.write_text('{"event":"end","time":1}\n')
    cached.chmod(0o444)
    path.parent.mkdir()
    assert callable(link)
    link(cached, path)
    with Journal(path) as log:
        log.append("start", run_key="a", attempt=1)
    assert cached.read_text() == '{"event":"end","time":1}\n'
    assert [event["event"] for event in journal.read(path)] == ["end", "start"]


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"[]", b"null", b"\x00\x00\x00", b'"event"', b"\xff{}", b"[" * 100_000, b'{"event":"metrics"}',
        b'{"event":["start"],"time":1}', b'{"event":"end","time":"noon"}', b'{"event":"start","time":1}',
        b'{"event":"start","time":1,"run_key":"a","tags":[]}', b'{"event":"metrics","time":1,"step":1,"metrics":[]}',
        b'{"event":"metrics","time":1,"step":1,"metrics":{"loss":"small"}}',
        b'{"event":"metrics","time":1,"step":1,"metrics":{"loss":[]}}',
        b'{"event":"metrics","time":1,"step":1,"metrics":{"loss":1' + b"0" * 400 + b"}}",
        b'{"event":"evaluation","time":1,"step":1,"metrics":{"accuracy":1}}',
        b'{"event":"metrics","time":NaN,"step":1,"metrics":{}}', b'{"event":"end","time":1e999,"status":"FINISHED"}',
        b'{"event":"metrics","time":1,"step":' + b"9" * 30 + b',"metrics":{}}', b'{"event":7,"time":1}',
        b'{"event":"end","time":1,"status":"FINISHED","seconds":1e999}', b'{"event":"end","time":1,"peak_mib":"a"}',
        b'{"event":"end","time":1,"status":"FINISHED","cpu_seconds":"a"}',
        b'{"event":"start","time":1,"run_key":"a","allocation":{"cpus":"a"}}',
    ],
)  # fmt: skip
def test_damaged_lines_are_left_out_counted_and_reported_once(
    path: Path, line: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    step.log_to(None)
    with Journal(path) as writer:
        writer.append("start", run_key="a", attempt=1)
    with path.open("ab") as stream:
        stream.write(line + b"\n\n" + line + b"\n")
    with Journal(path) as writer:
        writer.append("end", status="FINISHED")
    assert [[event["event"] for event in journal.read(path)] for _ in range(2)] == [["start", "end"]] * 2
    assert journal.damaged(path) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"{path}: 2 of its lines cannot be read")
    assert "the first is line 2" in said


def test_a_line_that_is_being_written_is_not_damaged(path: Path) -> None:
    with Journal(path) as writer:
        writer.append("start", run_key="a", attempt=1)
        with path.open("ab") as stream:
            stream.write(b'{"event":"end","ti')
        assert journal.damaged(path) == 0
    assert journal.damaged(path) == 1  # its writer is gone


def test_no_secret_is_written_into_a_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as opened:
        opened.append(
            "start", run_key="a", attempt=1, datasets=[{"source": "https://ada:hunter2@host/a?token=hunter2"}]
        )
    (event,) = journal.read(tmp_path / "journal.jsonl")
    assert event["datasets"] == [{"source": "https://host/a?token=***"}]
