import subprocess
import sys
from pathlib import Path

import pytest

from vlkd_steps.checks import versioning


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("HOME", str(tmp_path))
    subprocess.run(["git", "init", "-q"], check=True)
    dvc("init", "-q")
    return tmp_path


def dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)


def test_a_remote_and_its_default(repository: Path) -> None:
    _, remote, _ = versioning.check(repository)
    assert (remote.level, remote.remedy) == ("warn", "dvc remote add --default NAME URL")
    config = repository / ".dvc" / "config"
    config.write_text("['remote \"store\"']\n    url = https://ada:secret@example.org/store\n")
    _, remote, _ = versioning.check(repository)
    assert remote.line() == "  warn  remote           store, but none is the default; dvc remote default store"
    dvc("remote", "default", "store")
    _, remote, _ = versioning.check(repository)
    assert (remote.level, remote.found) == ("ok", "store (https://example.org/store)")
    config.write_text("[core]\n    remote = gone\n")
    assert versioning.check(repository)[1].level == "fail"
    config.write_text("[core]\n    no_such_key = 1\n")
    assert versioning.check(repository)[0].level == "fail"


def test_how_the_cache_is_linked(repository: Path) -> None:
    dvc("config", "cache.type", "hardlink,copy")
    assert versioning.check(repository)[2].found.endswith("linked by hardlink")
    dvc("config", "cache.type", "reflink,copy")
    found = versioning.check(repository)[2].found
    assert found.endswith("linked by reflink") or "linked by copy: every file is stored twice" in found
    dvc("config", "cache.dir", "/dev/shm/vlkd-no-such-cache")  # another file system: it can only be copied
    dvc("config", "cache.type", "hardlink")
    if Path("/dev/shm").is_dir():
        assert versioning.check(repository)[2].level == "fail"
    assert not Path("/dev/shm/vlkd-no-such-cache").exists()


def test_a_cache_of_copies_takes_the_space_again(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versioning, "_reflinks", lambda folder: False)
    assert versioning.doubles(repository) == repository / ".dvc" / "cache"
    dvc("config", "cache.type", "reflink,hardlink,copy")
    assert versioning.doubles(repository) is None
    assert versioning.doubles(repository / "elsewhere") is None


def test_without_its_lists_dvc_cannot_read_its_stages(repository: Path) -> None:
    (repository / "dvc.yaml").write_text("vars: [dvc_vars.yaml]\n")
    assert subprocess.run([sys.executable, "-m", "dvc", "status"], capture_output=True).returncode
    [found] = [each for each in versioning.check(repository) if each.level == "fail"]
    assert "dvc_vars.yaml is missing" in found.found
    assert "python -m vlkd_steps.graph.dvc_vars" in found.remedy
    (repository / "dvc_vars.yaml").write_text("{}\n")
    assert [each for each in versioning.check(repository) if each.level == "fail"] == []


def test_no_repository(tmp_path: Path) -> None:
    assert versioning.check(tmp_path)[0].remedy == "dvc init"


def test_a_link_that_dvc_refuses_is_named_and_one_that_it_follows_is_not(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    disk = tmp_path_factory.mktemp("disk")
    (disk / "runs" / "mine").mkdir(parents=True)
    (disk / "runs" / "mine" / "metrics.json").write_text("{}")
    (repository / "dvc.yaml").write_text("stages:\n  distill:\n    cmd: 'true'\n    outs: [runs/mine]\n")
    (repository / ".gitignore").write_text("/runs\n")
    runs = repository / "runs"
    commit = [sys.executable, "-m", "dvc", "commit", "--force"]

    runs.symlink_to(disk / "runs")
    assert subprocess.run(["git", "check-ignore", "-q", "runs"], check=False).returncode == 0
    assert subprocess.run(commit, capture_output=True, check=False).returncode != 0
    (found,) = versioning.links(repository)
    assert (found.level, found.found.split(",")[0]) == ("warn", f"runs points to {disk}/runs")
    assert found in versioning.check(repository)

    runs.unlink()
    runs.mkdir()
    (runs / "mine").symlink_to(disk / "runs" / "mine")
    assert subprocess.run(commit, capture_output=True, check=False).returncode == 0
    assert versioning.links(repository) == []
    (repository / "features").symlink_to(disk)
    (disk / "clip").mkdir()
    assert [each.found.split(" ")[0] for each in versioning.links(repository)] == ["features"]
