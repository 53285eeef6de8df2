"""The result of a check: one line of `vlkd doctor`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckResult:
    """One line.

    Attributes:
        level: ``ok``, ``warn`` (works, but needs attention) or ``fail`` (the chosen profile cannot work).
        subject: what was checked, in a word or two.
        found: the state.
        remedy: what to do; empty: nothing.
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
