import hashlib
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from vlkd_steps.core.errors import UserError
from vlkd_steps.splits import near_images


def picture(seed, size=160):
    """Overlapping coloured boxes: something with structure."""
    random = Random(seed)
    image = Image.new("RGB", (size, size), tuple(random.randbytes(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(25):
        x, y, w, h = (random.randrange(size) for _ in range(4))
        draw.rectangle((x, y, x + w // 2 + 4, y + h // 2 + 4), fill=tuple(random.randbytes(3)))
    return image


def groups(folder):
    paths = {path.name: path.as_posix() for path in sorted(folder.iterdir())}
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in paths}
    return near_images.groups(paths, hashes)


def test_changed_copies_are_near_and_other_images_are_not(tmp_path):
    for n in range(30):
        picture(n).save(tmp_path / f"{n}.png")
    picture(3).resize((107, 107)).save(tmp_path / "smaller.png")
    picture(4).save(tmp_path / "pressed.jpg", quality=40)
    picture(5).save(tmp_path / "copy.png")
    retouched = picture(6)
    retouched.putpixel((5, 5), (0, 0, 0))
    retouched.save(tmp_path / "retouched.png")
    found = groups(tmp_path)
    pairs = {frozenset(name for name in found if found[name] == number) for number in found.values()}
    assert pairs == {
        frozenset({"3.png", "smaller.png"}),
        frozenset({"4.png", "pressed.jpg"}),
        frozenset({"5.png", "copy.png"}),
        frozenset({"6.png", "retouched.png"}),
    }


def test_plain_images_are_near_only_where_their_bytes_are_equal(tmp_path):
    for name, colour in (("a", 10), ("b", 11), ("c", 10)):
        Image.new("RGB", (40, 40), (colour, colour, colour)).save(tmp_path / f"{name}.png")
    assert groups(tmp_path) == {"a.png": 0, "c.png": 0}


def test_nearness_is_passed_on():
    assert near_images._components(list("abcde"), np.array([[0, 3], [3, 4]])) == {"a": 0, "d": 0, "e": 0}


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_no_near_pair_is_missed(seed):
    """Against every pair, one by one."""
    generator = np.random.default_rng(seed)
    base = generator.integers(0, 2**63, 8, dtype=np.uint64)
    flips = generator.integers(0, 9, 60)
    codes = np.array(
        [
            int(base[n % 8]) ^ sum(1 << int(bit) for bit in generator.choice(63, flips[n], replace=False))
            for n in range(60)
        ],
        np.uint64,
    )
    thumbnails = generator.integers(0, 14, (60, 192)).astype(np.uint8)
    structured = [near_images.STRUCTURE <= int(code).bit_count() <= 64 - near_images.STRUCTURE for code in codes]
    expected = [
        [a, b]
        for a in range(60)
        for b in range(a + 1, 60)
        if structured[a]
        and structured[b]
        and int(codes[a] ^ codes[b]).bit_count() <= near_images.BITS
        and np.abs(thumbnails[a].astype(int) - thumbnails[b]).max() <= near_images.COLOUR
    ]
    found = np.concatenate(list(near_images.near_pairs(codes, thumbnails)))
    assert np.unique(found, axis=0).tolist() == expected
    connected = near_images._star(found)
    assert len(connected) == len(np.unique(found))
    names = list(map(str, range(60)))
    assert near_images._components(names, connected) == near_images._components(names, found)


def test_many_copies_are_compared_once(monkeypatch):
    """A placeholder that stands for thousands of images would otherwise have millions of pairs."""
    looks = {"placeholder": (0b1010 << 40 | 0xFFFF, 100), "photo": (0xFF00FF00FF00FF00, 20), "wall": (0, 50)}
    paths = {f"{n:05d}": "wall" if n in (1, 2) else "photo" if n == 7 else "placeholder" for n in range(20_000)}
    monkeypatch.setattr(
        near_images, "fingerprint", lambda path: (looks[path.name][0], np.full(192, looks[path.name][1], np.uint8))
    )
    compared, pairs_of = [], near_images.near_pairs
    monkeypatch.setattr(near_images, "near_pairs", lambda *of: compared.append(len(of[0])) or pairs_of(*of))
    found = near_images.groups(paths, {image: image for image in paths})
    assert compared == [3]
    assert found == {image: 0 for image, path in paths.items() if path == "placeholder"}


def test_a_file_that_is_not_an_image_is_named(tmp_path):
    (tmp_path / "a.jpg").write_text("no")
    with pytest.raises(UserError, match=r"a\.jpg cannot be read .*replace the file"):
        groups(tmp_path)


def test_no_images():
    assert near_images.groups({}, {}) == {}
