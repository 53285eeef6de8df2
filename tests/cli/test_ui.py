import contextlib
import socket
from pathlib import Path

import pytest
from tracked_runs import MakeRun, client

from vlkd_steps.cli import track, ui
from vlkd_steps.core.errors import UserError
from vlkd_steps.reporting import mlflow_links, mlflow_view
from vlkd_steps.tracking import journal


def test_without_runs_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").touch()
    assert ui.main([]) == 2
    assert "vlkd run" in capsys.readouterr().err


def test_a_busy_port_is_passed_over() -> None:
    with socket.socket() as busy:
        busy.bind((ui.HOST, 0))
        busy.listen()
        taken = busy.getsockname()[1]
        assert taken < ui.free_port(taken) <= taken + ui.PORTS_TRIED


def test_no_free_port_is_a_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "PORTS_TRIED", 1)
    with socket.socket() as busy:
        busy.bind((ui.HOST, 0))
        busy.listen()
        with pytest.raises(UserError, match="--port"):
            ui.free_port(busy.getsockname()[1])


@pytest.mark.parametrize("port", ["-1", "0", "65536"])
def test_a_number_that_is_no_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ui.main(["--port", port]) == 2
    assert "'--port'" in capsys.readouterr().err


def test_there_is_no_port_after_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui.socket, "socket", lambda: contextlib.nullcontext(AlwaysBusy()))
    with pytest.raises(UserError, match="ports 65500 to 65535 are all taken"):
        ui.free_port(65500)


class AlwaysBusy:
    """A socket that finds every port taken."""

    def setsockopt(self, *_: int) -> None:
        pass

    def bind(self, address: tuple[str, int]) -> None:
        assert address[1] <= 65535, "as a real one, which raises OverflowError"
        raise OSError


def test_the_compare_link_opens_the_view_that_track_writes() -> None:
    link = mlflow_view.compare_link("http://127.0.0.1:5000/", "3", mlflow_view.view_key("scenes_vqa", "vilt scenes"))
    assert link.startswith("http://127.0.0.1:5000/#/experiments/3/runs?")
    assert link.endswith("viewStateShareKey=gain-scenes_vqa-vilt+scenes")


def test_links_are_printed_without_reading_the_runs(
    make_run: MakeRun, uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(steps=20)
    make_run("scenes", "scenes_ve", steps=20)
    track.main(["scenes", "--tracking-uri", uri])
    monkeypatch.setattr(journal, "read", lambda _: pytest.fail("a journal was read"))
    capsys.readouterr()
    ui.print_links("http://127.0.0.1:5000", uri, ["scenes"])
    shown = [line.split(": ")[0].strip() for line in capsys.readouterr().out.splitlines() if ": http" in line]
    of_data = [
        f"{what} on {name}, vilt_scenes" for name in ("scenes_ve", "scenes_vqa") for what in ("mean gains", "gains")
    ]
    assert shown == ["means over seeds", "all runs", *of_data]


def test_an_experiment_that_was_deleted_in_mlflow_does_not_keep_the_others_from_being_shown(
    make_run: MakeRun, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for experiment in ("gone", "scenes"):
        make_run(experiment, steps=20)
        track.main([experiment, "--tracking-uri", uri])
    client(uri).delete_experiment(client(uri).get_experiment_by_name("gone").experiment_id)
    assert [ui.caught_up(name, uri) for name in ("gone", "scenes")] == [False, True]
    assert "skipped: the MLflow experiment 'gone'" in capsys.readouterr().err
    ui.print_links("http://127.0.0.1:5000", uri, ["gone", "scenes"])
    shown = capsys.readouterr()
    assert "\nscenes\n" in shown.out
    assert "gone" not in shown.out
    assert "skipped: the MLflow experiment 'gone'" in shown.err


def test_links_of_a_report_lead_to_the_port_that_was_last_used(make_run: MakeRun, tmp_path: Path) -> None:
    assert mlflow_links.page("sqlite:///mlflow.db") == "http://127.0.0.1:5000"
    mlflow_links.remember(5007)
    assert mlflow_links.page("sqlite:///mlflow.db") == "http://127.0.0.1:5007"
    assert mlflow_links.page("http://node:80") == "http://node:80"
    (tmp_path / ".vlkd" / "ui.json").write_text("50")
    assert mlflow_links.page("sqlite:///mlflow.db") == "http://127.0.0.1:5000"
