from pathlib import Path

import pytest
from PIL import Image

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.decoding import decode_one


def test_images_of_any_kind_become_rgb_of_one_size(tmp_path: Path) -> None:
    Image.new("L", (40, 20), 200).save(tmp_path / "grey.jpg")
    assert decode_one(tmp_path / "grey.jpg", 16).shape == (16, 16, 3)
    assert abs(int(decode_one(tmp_path / "grey.jpg", 16)[3, 3, 1]) - 200) < 3
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="cannot be read"):
        decode_one(tmp_path / "broken.png", 16)
    with pytest.raises(UserError, match="is missing; run the download"):
        decode_one(tmp_path / "none.png", 16)
