"""Recording a finished run in DVC: called once by the Snakefile, after the whole graph has run."""

import subprocess
import sys

DVC = [sys.executable, "-m", "dvc"]
COMMIT = [*DVC, "--wait-for-lock", "commit", "--force", "--quiet"]
# A user's data first: their .dvc files lie in data/incoming, which the download stage depends on as a whole.
COMMANDS = ([*COMMIT, "--recursive", "data/incoming"], COMMIT)


def commit() -> None:
    """``dvc commit``: every byte that the graph made goes into DVC's cache, and `dvc.lock` says so.

    A failure does not undo a finished run: it is reported, with the commands that repeat the commit.
    """
    for command in COMMANDS:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(
                f"The results are whole, but DVC did not record them: {done.stderr.strip() or done.stdout.strip()}\n"
                "Repeat that with: dvc commit -f -R data/incoming && dvc commit -f",
                file=sys.stderr,
            )
            return
