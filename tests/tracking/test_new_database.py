import gc
from pathlib import Path

from sqlalchemy import create_engine, text

from vlkd_steps.tracking import new_database
from vlkd_steps.tracking.mlflow_sync import MlflowSync

WAITS, DOES_NOT_WAIT = 2, 0  # sqlite's names: FULL, OFF


def level(path: Path) -> int:
    with create_engine(f"sqlite:///{path}").connect() as connection:
        return connection.execute(text("PRAGMA synchronous")).scalar_one()


def test_only_commits_to_this_file_do_not_wait_and_only_within_the_block(tmp_path: Path) -> None:
    new, other = tmp_path / "new.db", tmp_path / "other.db"
    with new_database.filled(new):
        assert (level(new), level(other)) == (DOES_NOT_WAIT, WAITS)
    assert level(new) == WAITS


def test_a_connection_that_stays_open_waits_again_after_the_block(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'new.db'}")
    with new_database.filled(tmp_path / "new.db"), engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (a)"))
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == WAITS


def test_a_file_that_exists_may_hold_what_no_journal_has_so_its_commits_wait(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    sync = MlflowSync("sqlite:///mlflow.db", "mine")
    with sync.filling():
        sync.connect()
        assert level(tmp_path / "mlflow.db") == DOES_NOT_WAIT
    with sync.filling():
        assert level(tmp_path / "mlflow.db") == WAITS


def test_while_runs_are_sent_garbage_is_looked_for_less_often(tmp_path: Path) -> None:
    before = gc.get_threshold()
    with MlflowSync("http://127.0.0.1:1", "mine").filling():
        assert gc.get_threshold()[0] > 10 * before[0]
    assert gc.get_threshold() == before
