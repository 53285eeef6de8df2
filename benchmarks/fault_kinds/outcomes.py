"""What was done in a trial, and what came of it."""

from dataclasses import dataclass, field

GOOD = ("same", "message", "doctor")
BAD = ("WRONG", "traceback", "unhelpful", "unsaid", "leftovers", "not ended", "hangs")


@dataclass
class Trial:
    """What was done, and what came of it."""

    number: int
    fault: str
    where: str = ""
    outcome: str = ""
    restored: bool = False  # every file is as it was without the fault, so what follows is too
    notes: list[str] = field(default_factory=list)
