"""In which folder images are, where several fit."""

from vlkd_steps.own_data import image_names

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
