"""What a check found: one line of the doctor."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckResult:
    """One line.

    Attributes:
        level: ``ok``, ``warn`` (it works, but look at it) or ``fail`` (the chosen profile cannot work like this).
        subject: what was looked at, in a word or two.
        found: what is there.
        remedy: what to do; empty where there is nothing to do.
    """

    level: str
    subject: str
    found: str
    remedy: str = ""

    def line(self) -> str:
        text = " ".join(f"{self.found}; {self.remedy}".split() if self.remedy else self.found.split())
        return f"  {self.level:<4}  {self.subject:<16} {text}"


def ok(subject: str, found: str) -> CheckResult:
    return CheckResult("ok", subject, found)


def warn(subject: str, found: str, remedy: str = "") -> CheckResult:
    return CheckResult("warn", subject, found, remedy)


def fail(subject: str, found: str, remedy: str) -> CheckResult:
    return CheckResult("fail", subject, found, remedy)
