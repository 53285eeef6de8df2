"""Links from an experiment's report to its runs in MLflow, which alone knows their ids.

`track` and `ui` write them to a script of this machine, and the page loads it if it is there. So the report's bytes do
not depend on MLflow, and its links are right whenever the experiment was tracked, also after `track --rebuild`.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from vlkd_steps.core import files, layout
from vlkd_steps.core.redaction import redacted
from vlkd_steps.reporting import mlflow_view

HOST, PORT = "127.0.0.1", 5000
"""Where `vlkd ui` serves a local file: the page has no password, so it is for this machine only."""


def page(uri: str) -> str:
    """The address of MLflow's page for a tracking address: the server's own, or that of `vlkd ui`, at its last port."""
    if uri.lower().startswith("http"):
        return redacted(uri)
    return f"http://{HOST}:{files.known_json(layout.MLFLOW_PAGE).get('port', PORT)}"


def remember(port: int) -> None:
    """Let `page` find `vlkd ui` at this port, unless this user cannot write into the project."""
    if _writable():
        files.write_json(layout.MLFLOW_PAGE, {"port": port})


def write(experiment: str, address: str, experiment_id: str, runs: Mapping[str, str]) -> None:
    """Write the links, unless this user cannot write into the project.

    Args:
        address: of MLflow's page.
        runs: run key -> id in MLflow.
    """
    if not _writable():
        return
    links = {
        "experiment": mlflow_view.table_link(address, experiment_id, mlflow_view.MEANS),
        "run": f"{address.rstrip('/')}/#/experiments/{experiment_id}/runs/",
        "runs": dict(sorted(runs.items())),
    }
    files.write_text(layout.mlflow_links(experiment), f"linkToMlflow({json.dumps(links)})\n")


def _writable() -> bool:
    return files.writable(layout.MACHINE if layout.MACHINE.exists() else Path.cwd())
