"""Running another program with a time limit."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """A program's output; `status` None: it did not end in time, or could not be started."""

    status: int | None
    out: str
    err: str

    @property
    def words(self) -> str:
        """The last line of stderr, or else of stdout."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else "no output"


def run(command: Sequence[str], seconds: float) -> Answer:
    """Run a command, for at most `seconds`."""
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as late:
        return Answer(None, _text(late.stdout), _text(late.stderr))
    except OSError as error:
        return Answer(None, "", str(error))
    return Answer(done.returncode, _text(done.stdout), _text(done.stderr))


def _text(content: bytes | None) -> str:
    return (content or b"").decode(errors="replace")
