import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlkd_steps.teachers.features.claims import Claims, Marks, any_finished, round_name, rounds

HOLD = """
import sys
from pathlib import Path
from vlkd_steps.teachers.features.claims import Claims
claims = Claims.open(Path(sys.argv[1]))
with claims.chunk(3) as ours:
    print(ours, flush=True)
    sys.stdin.read(1)
"""


@pytest.fixture
def holder(tmp_path: Path, root: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds chunk 3."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert process.stdout
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.communicate()


def test_a_chunk_is_held_by_one_process_until_it_dies(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    claims = Claims.open(tmp_path)
    with claims.chunk(3) as third, claims.chunk(4) as fourth:
        assert (third, fourth) == (False, True)
    holder.kill()
    holder.wait()
    with claims.chunk(3) as ours:
        assert ours


def test_only_the_last_one_may_clean_up(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    claims = Claims.open(tmp_path)
    with claims.leaving() as last:
        assert not last
    claims.close()
    holder.communicate("x")
    claims = Claims.open(tmp_path)
    with claims.leaving() as last:
        assert last
        claims.remove()
    claims.close()
    assert list(tmp_path.iterdir()) == []


def test_who_comes_while_the_last_one_cleans_up_starts_anew(tmp_path: Path, root: Path) -> None:
    claims = Claims.open(tmp_path)
    with claims.leaving() as last:
        assert last
        comes = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        with pytest.raises(subprocess.TimeoutExpired):
            comes.wait(timeout=1)
        claims.remove()
    claims.close()
    assert comes.stdout
    assert comes.stdout.readline() == "True\n"
    with Claims.open(tmp_path).chunk(3) as ours:
        assert not ours, "both see the new file"
    comes.communicate("x")


def test_marks_of_a_round(tmp_path: Path) -> None:
    marks = Marks(tmp_path, "r", "plan", 3)
    assert marks.inputs() == [None, None, None]
    marks.mark(2, "0123456789abcdef and more")
    again = Marks(tmp_path, "r", "plan", 3)
    assert again.inputs() == [None, None, "0123456789abcdef"]
    assert not Marks(tmp_path, "s", "plan", 3).done(2), "another round"
    assert not Marks(tmp_path, "r", "other plan", 3).done(2), "other pictures"
    assert len(rounds(tmp_path)) == 3
    assert not any_finished(rounds(tmp_path))
    again.clear(2)
    again.finish()
    assert marks.inputs() == [None, None, None]
    assert marks.finished()
    assert any_finished(rounds(tmp_path))


def test_a_mark_that_was_written_in_part_does_not_count(tmp_path: Path) -> None:
    marks = Marks(tmp_path, "r", "plan", 2)
    marks.mark(1, "0" * 16)
    os.truncate(marks.path, marks.path.stat().st_size - 5)
    assert marks.inputs() == [None, None]


def test_the_round_is_the_arrays_or_ones_own() -> None:
    assert round_name({"SLURM_ARRAY_JOB_ID": "7"}) == round_name({"SLURM_ARRAY_JOB_ID": "7"})
    assert round_name({}) != round_name({})
