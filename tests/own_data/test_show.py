"""``vlkd show``: items of the sample or of the prepared data, as text and as a page."""

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from in_browser import opened, violations
from official_files import annotation, question, write_images, write_json

from vlkd_steps.cli import init_data, show
from vlkd_steps.core import checksums, layout


@pytest.fixture
def pets(project: Path, mine: Path) -> Path:
    numbers = range(1, 41)
    write_json(mine / "train_q.json", {"questions": [question(n, n, f"<b>What</b> is {n}?") for n in numbers]})
    write_json(mine / "train_a.json", {"annotations": [annotation(n, n, ["cat", "dog"]) for n in numbers]})
    write_images(mine / "images", [f"{n}.png" for n in numbers])
    assert init_data.main(["pets", "--task", "vqa", "--from", str(mine)]) == 0
    return mine


def test_items_of_the_sample_as_text(pets: Path, capsys: pytest.CaptureFixture) -> None:
    capsys.readouterr()
    assert show.main(["pets", "--set", "test", "--items", "2"]) == 0
    said = capsys.readouterr().out
    assert re.match(r"role test of a sample of pets: \d+ instances \(train \d+\), \d+ images, 1 class\n", said)
    assert said.count("  question   <b>What</b> is ") == 2
    assert "  annotated  cat 5, dog 5" in said
    assert "  learned    cat (1)" in said
    assert "images/" in said


def test_a_page_is_complete_in_itself(pets: Path) -> None:
    assert show.main(["pets", "--html", "pets.html", "--items", "4"]) == 0
    page = Path("pets.html").read_text()
    assert page.count('src="data:image/png;base64,') == 4
    assert len(re.findall(r'alt="Image \d+ of split train"', page)) == 4
    assert "&lt;b&gt;What&lt;/b&gt;" in page
    assert "<b>What" not in page
    assert not re.search(r"https?://|<script|<link rel=\"stylesheet", page)
    for scheme in ("light", "dark"):
        with opened(Path("pets.html").resolve().as_uri(), scheme) as shown:
            assert violations(shown) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pets", "--set", "val"], "pets has no role 'val'; its roles are: train, dev, test"),
        (["petz"], "there is no data set 'petz'; did you mean 'pets'?"),
        (
            ["scenes_vqa"],
            "there is no sample of it; name it in params.yaml (grid: {dataset: [scenes_vqa]}), then run: ",
        ),
    ],
)
def test_mistakes(pets: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert show.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_sample_of_a_file_that_was_corrected_since_is_read_again(pets: Path, capsys: pytest.CaptureFixture) -> None:
    path = Path("conf/dataset/pets.yaml")
    conf = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(conf | {"evaluation_sets": ["test"]}))  # changes no item
    assert show.main(["pets"]) == 0
    path.write_text(yaml.safe_dump(conf | {"vocabulary": {"minimum": 1, "splits": ["train"]}}))
    assert "read again" not in capsys.readouterr().out
    assert show.main(["pets"]) == 0
    assert "was read before vocabulary of its file was changed; it is read again" in capsys.readouterr().out
    assert show.main(["pets"]) == 0
    assert "read again" not in capsys.readouterr().out
    path.write_text(yaml.safe_dump(conf | {"image_name": "{image_id}.jpg"}))
    for _ in range(2):  # the file is wrong
        assert show.main(["pets"]) == 2
        assert "is missing" in capsys.readouterr().err
    path.write_text(yaml.safe_dump(conf))
    assert show.main(["pets"]) == 0
    source = Path("conf/source/pets.yaml")
    source.write_text(source.read_text() + "unpack: [more.zip]\n")
    path.write_text(yaml.safe_dump(conf | {"vocabulary": {"minimum": 1, "splits": ["train"]}}))
    assert show.main(["pets"]) == 2
    assert "params.yaml (grid: {dataset: [pets]}), then run: snakemake --cores 1 -- " in capsys.readouterr().err
    (layout.sample("pets") / "dataset.json").unlink()  # as an earlier version left it
    assert show.main(["pets"]) == 0


def test_a_sample_of_data_that_were_corrected_since_is_read_again(pets: Path, capsys: pytest.CaptureFixture) -> None:
    path = pets / "train_q.json"
    path.write_text(path.read_text().replace("What", "Which"))
    assert show.main(["pets"]) == 0
    said = capsys.readouterr().out
    assert "was read before train_q.json was changed; it is read again" in said
    assert "question   <b>Which</b> is " in said
    assert show.main(["pets"]) == 0
    assert "read again" not in capsys.readouterr().out
    pets.rename(pets.with_name("elsewhere"))
    assert show.main(["pets"]) == 0


def test_what_was_read_last_is_shown(pets: Path, capsys: pytest.CaptureFixture) -> None:
    sample, instances = layout.sample("pets"), layout.instances("pets")
    instances.parent.mkdir(parents=True)
    shutil.copy(sample / "instances.parquet", instances)
    shutil.copy(sample / "labels.json", layout.labels("pets"))
    checksums.write(layout.instances_checksums("pets"), [instances, layout.labels("pets")])
    assert show.main(["pets"]) == 0
    said = capsys.readouterr().out
    assert "all of pets: 40 instances" in said
    assert "was changed" not in said
    later = instances.stat().st_mtime + 1
    os.utime(pets / "train_q.json", (later, later))
    assert show.main(["pets"]) == 0
    assert "train_q.json was changed after data/instances/pets.parquet was made" in capsys.readouterr().out
    os.utime("conf/dataset/pets.yaml", (later, later))
    assert show.main(["pets"]) == 0
    said = capsys.readouterr().out
    assert "conf/dataset/pets.yaml was changed after data/instances/pets.parquet was made" in said
    assert "snakemake --cores 1 -- data/instances/pets.parquet" in said
    assert init_data.main(["pets", "--task", "vqa", "--from", str(pets), "--overwrite"]) == 0
    assert show.main(["pets"]) == 0
    assert "all of a sample of pets: 40 instances" in capsys.readouterr().out
