from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from vlkd_steps.core import image_file, layout, scratch
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets.image_files import ImageFolder
from vlkd_steps.datasets.tally import Unusable
from vlkd_steps.sources import manifest

IMAGE = layout.raw("toy") / "images" / "1.png"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A downloaded source of one image."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VLKD_SCRATCH", str(tmp_path / "node"))
    IMAGE.parent.mkdir(parents=True)
    Image.new("RGB", (4, 4), "red").save(IMAGE)
    manifest.write(layout.raw("toy"), "toy")
    return tmp_path


def copied(path: Path) -> Image.Image:
    """Read from the node's disk, as training does; what cannot be copied is read where it is."""
    return image_file.read(scratch.local_copy([path])[path])


@pytest.mark.parametrize("read", [image_file.read, copied])
@pytest.mark.parametrize("before", [True, False])
def test_an_image_other_than_the_downloaded_one_is_named(
    project: Path, read: Callable[[Path], object], before: bool
) -> None:
    if before:
        image_file.read(IMAGE)
    Image.new("RGB", (4, 4), "blue").save(IMAGE)
    with pytest.raises(UserError) as raised:
        read(IMAGE)
    assert f"{IMAGE} is damaged, or was changed after it was downloaded" in str(raised.value)
    assert not isinstance(raised.value, image_file.ImageError)  # which a corpus may leave out


def test_an_image_that_was_added_is_named(project: Path) -> None:
    other = IMAGE.with_name("2.png")
    Image.new("RGB", (4, 4)).save(other)
    with pytest.raises(UserError, match=f"{other} is not among the files"):
        image_file.read(other)


def test_the_downloaded_one_is_read_and_copied(project: Path) -> None:
    assert image_file.read(IMAGE).getpixel((0, 0)) == (255, 0, 0)
    assert scratch.local_copy([IMAGE])[IMAGE] != IMAGE


def test_files_elsewhere_are_not_compared(project: Path) -> None:
    Image.new("RGB", (4, 4), "green").save("mine.png")
    assert image_file.read(Path("mine.png")).getpixel((0, 0)) == (0, 128, 0)


def test_a_downloaded_image_that_is_missing_is_damage_and_no_gap_in_the_data(project: Path) -> None:
    again = f"download it again: snakemake --cores 1 -f {layout.raw_manifest('toy')}"
    folder = ImageFolder(IMAGE.parent)
    IMAGE.write_bytes(b"")
    with pytest.raises(UserError, match=f"{IMAGE} is damaged.*{again}"):
        ImageFolder(IMAGE.parent).path(IMAGE.name, Path("records.json"), "1")
    IMAGE.unlink()
    for read in (image_file.read, lambda path: ImageFolder(path.parent).path(path.name, Path("records.json"), "1")):
        with pytest.raises(UserError) as raised:
            read(IMAGE)
        assert str(raised.value) == f"{IMAGE} is missing, although {layout.raw_manifest('toy')} lists it; {again}"
    with pytest.raises(Unusable, match="is missing; add it"):
        folder.path("2.png", Path("records.json"), "1")
