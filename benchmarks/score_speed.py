"""Speed of `vlkd_steps.cli.score vqa` on files of VQA v2 val's size (214,354 questions, ten answers each), on one core.

    OMP_NUM_THREADS=1 PYTHONPATH=. taskset -c 0 python benchmarks/score_speed.py [SIZES]

SIZES: multiples of that size, default "1 2". The files are generated in the official format, with the official fields,
under the system's temporary folder (some 170 MB a size). Prints seconds by the clock and of the CPU and
the most memory of each run, measured from outside: a whole process each.
"""

import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

QUESTIONS = 214_354
PER_IMAGE = 5
QUESTION_TYPES = [f"what is the thing {number}" for number in range(65)]
ANSWER_TYPES = ["yes/no", "number", "other"]
FORMS = ["{}", "{}", "{}", "{}", "{}", "the {}", "{}.", "{} ", "{}, {}", "a-{}"]  # what processing has to mend


def words(generator: random.Random, number: int) -> list[str]:
    """Answers as people give them: a few very common ones and a long tail of one to three words."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    made = ["yes", "no", "2", "one", "none", "white"]
    while len(made) < number:
        lengths = [generator.randint(3, 8) for _ in range(generator.choice([1, 1, 2, 3]))]
        made.append(" ".join("".join(generator.choices(letters, k=length)) for length in lengths))
    return made


def write(folder: Path, questions: int) -> None:
    """questions.json, annotations.json and results.json of so many questions."""
    generator = random.Random(questions)
    pool = words(generator, 120_000)  # v2 val has about as many distinct raw answers
    weights = list(itertools.accumulate(1 / (rank + 10) for rank in range(len(pool))))
    asked, annotated, results = [], [], []
    for number in range(questions):
        image = 42 + number // PER_IMAGE
        question_id = 1000 * image + number % PER_IMAGE
        few = generator.choices(pool, cum_weights=weights, k=generator.choice([1, 2, 2, 3, 5, 8]))
        given = [generator.choice(FORMS).format(text, text) for text in generator.choices(few, k=10)]
        asked.append({"image_id": image, "question": "What is this thing in the picture?", "question_id": question_id})
        annotated.append(
            {
                "question_type": generator.choice(QUESTION_TYPES),
                "multiple_choice_answer": few[0],
                "answers": [
                    {"answer": text, "answer_confidence": "yes", "answer_id": place}
                    for place, text in enumerate(given if len(few) > 1 else few * 10, start=1)
                ],
                "image_id": image,
                "answer_type": generator.choice(ANSWER_TYPES),
                "question_id": question_id,
            }
        )
        results.append({"question_id": question_id, "answer": few[0]})
    write_json(folder / "questions.json", {"info": {}, "questions": asked})
    write_json(folder / "annotations.json", {"info": {}, "annotations": annotated})
    write_json(folder / "results.json", results)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def run(folder: Path) -> tuple[float, float, float]:
    """Seconds by the clock, CPU-seconds and GiB of one whole process."""
    command = [sys.executable, "-m", "vlkd_steps.cli.score", "vqa", "--per-question"]
    for name in ("questions", "annotations", "results"):
        command += [f"--{name}", str(folder / f"{name}.json")]
    start = time.perf_counter()
    process = subprocess.Popen([*command, "--out", str(folder / "m.json")])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"exit status {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def main() -> None:
    sizes = [float(size) for size in sys.argv[1:]] or [1, 2]
    for size in sizes:
        questions = round(size * QUESTIONS)
        with tempfile.TemporaryDirectory(prefix="score_speed_") as name:
            folder = Path(name)
            subprocess.run([sys.executable, __file__, "--write", name, str(questions)], check=True)
            megabytes = (folder / "annotations.json").stat().st_size / 1e6
            seconds, cpu, gigabytes = run(folder)
        print(
            f"{size:g}x: {questions:,} questions, annotations {megabytes:.0f} MB: {seconds:.1f} s "
            f"({cpu:.1f} of the CPU), {cpu / questions * 1e5:.2f} per million answers, {gigabytes:.2f} GiB",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:  # in a process of its own: its memory must not count as the child's at fork
        write(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
