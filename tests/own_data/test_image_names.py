"""In which folder images are, where several fit."""

import pytest

from vlkd_steps.own_data import image_names

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
NAMES = [f"{n}.png" for n in range(20)]


def test_of_folders_with_equal_names_the_one_of_the_split_is_taken() -> None:
    images = {"images/train": [*NAMES, "20.png"], "images/val": NAMES}
    for split in ("train", "val"):
        for fit in (image_names.by_id(range(20), images, split), image_names.by_name(NAMES, images, split)):
            assert fit
            assert (fit.folder, fit.fits, fit.rivals) == (f"images/{split}", 20, ())


def test_of_folders_with_equal_names_the_one_called_images_is_taken() -> None:
    images = {"masks": NAMES, "my_photos": NAMES, "thumbs": NAMES}
    for fit in (image_names.by_id(range(20), images, "all"), image_names.by_name(NAMES, images, "train")):
        assert fit
        assert (fit.folder, fit.rivals) == ("my_photos", ())


def test_folders_between_which_no_name_decides_are_rivals() -> None:
    images = {"images/b": NAMES, "images/a": NAMES, "thumbs": NAMES, "other": NAMES[:9]}
    for fit in (image_names.by_id(range(20), images, "train"), image_names.by_name(NAMES, images, "all")):
        assert fit
        assert (fit.folder, fit.rivals) == ("images/a", ("images/b",))


def test_folders_that_share_the_images_are_no_rivals() -> None:
    for first in (10, 12):
        images = {"a": NAMES[:first], "b": NAMES[first:], "c": NAMES[:3]}
        for fit in (image_names.by_id(range(20), images, "train"), image_names.by_name(NAMES, images, "all")):
            assert fit
            assert (fit.folder, fit.fits, fit.rivals, fit.elsewhere) == ("a", first, (), ("b",))


@pytest.mark.parametrize(("there", "named"), [(DECOMPOSED, COMPOSED), (COMPOSED, DECOMPOSED)])
def test_names_match_in_either_form_of_unicode(there: str, named: str) -> None:
    images = {f"photos_{there}": [f"{there}_{n}.png" for n in range(20)]}
    names = [f"{named}_{n}" for n in range(20)]
    by_id = image_names.by_id(names, images, "all")
    by_name = image_names.by_name([f"photos_{named}/{name}.png" for name in names], images, "all")
    by_number = image_names.by_id(range(20), {there: images[f"photos_{there}"]}, "all")
    assert by_id
    assert by_name
    assert by_number
    assert (by_id.folder, by_id.pattern, by_id.fits) == (f"photos_{there}", "{image_id}.png", 20)  # as on the disk
    assert (by_name.folder, by_name.fits) == (".", 20)
    assert (by_number.folder, by_number.pattern, by_number.fits) == (there, "{folder}_{image_id}.png", 20)
