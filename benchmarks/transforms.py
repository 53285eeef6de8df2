"""Images a second of a core, and what features change, by `transform: exact` and `fast` beside the model's own.

    python benchmarks/transforms.py [--images FOLDER] [--count 200] [--rounds 3]

One thread reads bytes in memory, decodes and transforms for CLIP's ViT-B/16 (224 pixels): Pillow's transform to the
normalised float32, and what a reading process does of `exact` and `fast`, which normalise on the model's device. The
three take turns, and the fastest round of each counts (processor time). Then, of each teacher, the distribution of
|fast - exact| / |exact| over the features of images that are wider than high, and of upright ones. Without a folder,
photos are generated: JPEGs of 640 x 480 and of 480 x 640 in turn, of smooth noise at several scales. A teacher whose
package is not installed is left out, and said to be.
"""

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import torch
import yaml
from PIL import Image

from vlkd_steps.core import image_file
from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.models import clip, vision
from vlkd_steps.teachers.models.computing import Computing
from vlkd_steps.teachers.models.pixels import Pixels

CONF = Path(clip.__file__).parents[2] / "conf/teacher"
TEACHERS = {"clip_scenes": clip.load, "efficientnet_lite0": vision.load}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of .jpg files")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    contents = files(args.images, args.count) if args.images else [photo(number) for number in range(args.count)]
    speed(contents, args.rounds)
    for name, load in TEACHERS.items():
        conf = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8")) | {"device": "cpu"}
        try:
            exact, fast = (features(load(conf | {"transform": way}), contents) for way in ("exact", "fast"))
        except UserError as error:
            print(f"{name}: left out, {error}")
            continue
        away = np.linalg.norm(fast - exact, axis=1) / np.linalg.norm(exact, axis=1)
        upright = np.array([is_upright(content) for content in contents])
        for shape, part in {"wide": away[~upright], "upright": away[upright]}.items():
            if len(part):
                parts = ", ".join(f"{label} {np.quantile(part, q):.1e}" for label, q in QUANTILES.items())
                many = f"above 1e-3: {100 * (part > 1e-3).mean():.0f} %"
                print(f"{name}, {shape} images: relative difference of features, {parts}; {many}")


QUANTILES = {"median": 0.5, "95 %": 0.95, "most": 1}


def files(folder: Path, count: int) -> list[bytes]:
    found = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[:count]]
    if not found:
        raise SystemExit(f"{folder} holds no .jpg file")
    return found


def is_upright(content: bytes) -> bool:
    width, height = image_file.decode(content, "x").size
    return height > width


def photo(number: int) -> bytes:
    width, height = (480, 640) if number % 2 else (640, 480)
    noise, seen = np.random.default_rng(number), np.zeros((height, width, 3))
    for scale in (80, 20, 5, 1):
        part = noise.integers(0, 256, (height // scale, width // scale, 3), np.uint8)
        seen += np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.BICUBIC), float) * scale**0.5
    seen = 255 * (seen - seen.min()) / np.ptp(seen)
    stream = io.BytesIO()
    Image.fromarray(seen.astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def speed(contents: list[bytes], rounds: int) -> None:
    own = open_clip.image_transform(224, is_train=False)
    exact, fast = (Pixels(own, {"transform": way}, Computing({"name": way}, "cpu")) for way in ("exact", "fast"))
    ways: dict[str, Callable[[bytes], object]] = {
        "Pillow's transform": lambda content: own(image_file.decode(content, "x")),
        "exact": lambda content: exact.of(content, "x"),
        "fast": lambda content: fast.of(content, "x"),
    }
    took = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            for content in contents:
                way(content)
            took[name] = min(took[name], time.process_time() - start)
    first = took["Pillow's transform"]
    for name, seconds in took.items():
        print(f"{name}: {len(contents) / seconds:.0f} images/s a core, {first / seconds:.2f} x")


def features(teacher: clip.ClipTeacher | vision.VisionTeacher, contents: list[bytes]) -> np.ndarray:
    images = [teacher.pixels.of(content, "x") for content in contents]
    parts = [teacher.embed_images(images[at : at + 32]) for at in range(0, len(images), 32)]
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
