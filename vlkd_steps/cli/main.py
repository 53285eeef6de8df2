"""The command ``vlkd``: one subcommand a module of this subpackage."""

import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "plan": "cli.plan",
    "doctor": "cli.doctor",
    "sync": "graph.sync",
    "score": "cli.score",
    "shift": "cli.shift",
    "claims": "cli.claims",
    "leaderboard": "cli.leaderboard",
    "verify": "cli.verify",
    "ui": "cli.ui",
    "track": "cli.track",
    "table": "cli.table",
}


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        print(f"usage: vlkd {{{','.join(COMMANDS)}}} ...", file=sys.stderr)
        return 2
    status: int = importlib.import_module(f"vlkd_steps.{COMMANDS[arguments[0]]}").main(arguments[1:])
    return status
