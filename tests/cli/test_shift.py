"""`vlkd shift` on small official files, through the real main."""

import json
import subprocess
import sys

import pytest
from official_files import annotation, pair, question, vcr_annotation, write_json, write_lines

from vlkd_steps.cli import shift


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments):
    return shift.main([str(argument) for argument in arguments])


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_vcr_rule_singular_in_the_official_format(tmp_path, capsys):
    items = [vcr_annotation(0), vcr_annotation(1, question=["Who", "is", "there", "?"])]
    write_lines(tmp_path / "val.jsonl", items)
    assert run("vcr", "--rule", "singular", "--annotations", "val.jsonl", "--out", "out/val_rule_singular.jsonl") == 0
    (made,) = lines(tmp_path / "out" / "val_rule_singular.jsonl")
    assert list(made) == list(items[0])
    assert made["answer_choices"][1:3] == [[[0], "rests", "."], [[0], "runs", "."]]
    assert made["rationale_choices"][3] == ["He", "sits", "."]
    said = capsys.readouterr().err
    assert "[shift vcr singular] 1 of 2 annotations in out/val_rule_singular.jsonl" in said
    assert "rewritten: 2 of 4 answer choices, 1 of 4 rationale choices" in said


def test_vcr_masking_needs_scores(tmp_path, capsys):
    write_lines(tmp_path / "val.jsonl", [vcr_annotation(0)])
    common = ("vcr", "--rule", "adv_top_1", "--annotations", "val.jsonl", "--out", "adv.jsonl")
    assert run(*common) == 2
    assert "rule adv_top_1 masks by a scorer's losses; name their file: --scores FILE" in capsys.readouterr().err
    scores = {"annot_id": "val-0", "answer_losses": [[1.0, 2.0, 3.0, 0.0], *([[3.0, 2.0, 1.0]] * 3)]}
    write_lines(tmp_path / "scores.jsonl", [{**scores, "rationale_losses": [[3.0, 2.0, 1.0]] * 4}])
    assert run(*common, "--scores", "scores.jsonl") == 0
    (made,) = lines(tmp_path / "adv.jsonl")
    assert made["answer_choices"][:2] == [[[0, 1], "[MASK]", "."], ["[MASK]", "rests", "."]]


def test_vqa_changing_priors(tmp_path, capsys):
    numbers = {"train": range(40), "val": range(40, 60)}
    for name, of_split in numbers.items():
        head = {"data_subtype": f"{name}2014"}
        asked = [question(n, n // 2, f"what is thing {n % 9}?") for n in of_split]
        given = [annotation(n, n // 2, ["abcdef"[n % 6]], kind=f"kind {n % 2}") for n in of_split]
        write_json(tmp_path / f"{name}_q.json", {**head, "questions": asked})
        write_json(tmp_path / f"{name}_a.json", {**head, "annotations": given})
    files = ("--questions", "train_q.json", "val_q.json", "--annotations", "train_a.json", "val_a.json")
    assert run("vqa", "--rule", "changing_priors", *files, "--test-share", "0.4", "--out", "cp") == 0
    made = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "cp").iterdir()}
    assert sorted(made) == ["test_annotations", "test_questions", "train_annotations", "train_questions"]
    groups = {}
    for part in ("train", "test"):
        asked, given = made[f"{part}_questions"]["questions"], made[f"{part}_annotations"]["annotations"]
        assert {q["question_id"] for q in asked} == {a["question_id"] for a in given}
        groups[part] = {(a["question_type"], a["multiple_choice_answer"]) for a in given}
        for record in [*asked, *given]:
            assert record["coco_split"] == ("train2014" if record["question_id"] < 40 else "val2014")
    assert not groups["train"] & groups["test"]
    assert sum(len(made[f"{part}_questions"]["questions"]) for part in groups) == 60
    assert len(made["test_annotations"]["annotations"][0]["answers"]) == 10
    said = capsys.readouterr().err
    assert f"60 questions: {len(made['train_questions']['questions'])} in train" in said
    assert "none in both" in said
    first = (tmp_path / "cp" / "train_questions.json").read_bytes()
    swapped = ("--questions", "val_q.json", "train_q.json", "--annotations", "val_a.json", "train_a.json")
    run("vqa", "--rule", "changing_priors", *swapped, "--test-share", "0.4", "--out", "again")
    again = json.loads((tmp_path / "again" / "train_questions.json").read_text())["questions"]
    assert {q["question_id"] for q in again} == {q["question_id"] for q in json.loads(first)["questions"]}


def entailment(tmp_path):
    cues = {"sleeping": "contradiction", "outside": "entailment", "tall": "neutral"}
    for name, start in (("train", 0), ("test", 500)):
        pairs = [
            pair(f"{n}-{word}", str(n), label if n % 10 else "neutral", f"Person {n % 7} is {word}.")
            for n in range(start, start + 60)
            for word, label in cues.items()
        ]
        write_lines(tmp_path / f"{name}.jsonl", pairs)


@pytest.mark.parametrize("repeated", ["q.json", "a.json"])
def test_vqa_questions_and_annotations_that_are_repeated(tmp_path, capsys, repeated):
    write_json(tmp_path / "q.json", {"questions": [question(n, n) for n in range(4)]})
    write_json(tmp_path / "a.json", {"annotations": [annotation(n, n, ["cat"]) for n in range(4)]})
    given = [["--questions", "q.json"], ["--annotations", "a.json"]]
    given = [[*files, repeated] if files[1] == repeated else files for files in given]
    assert run("vqa", "--rule", "changing_priors", *given[0], *given[1], "--out", "cp") == 2
    kind = given[0 if repeated == "q.json" else 1][0].removeprefix("--")
    assert f"{repeated}: {kind}[0].question_id: 0 occurs twice; ids must be unique" in capsys.readouterr().err
    assert not (tmp_path / "cp").exists()


def test_snli_ve_hypothesis_hard(tmp_path, capsys):
    entailment(tmp_path)
    common = ("snli_ve", "--rule", "hypothesis_hard", "--annotations", "test.jsonl", "--out", "hard.jsonl")
    assert run(*common) == 2
    assert "rule hypothesis_hard needs the training pairs" in capsys.readouterr().err
    assert run(*common, "--train", "train.jsonl") == 0
    made = lines(tmp_path / "hard.jsonl")
    assert len(made) == 12
    assert all(record in lines(tmp_path / "test.jsonl") for record in made)
    said = capsys.readouterr().err
    assert "[shift snli_ve hypothesis_hard] 12 of 180 pairs in hard.jsonl" in said
    assert "labels: neutral 12, before contradiction 54, entailment 54, neutral 72" in said


def test_snli_ve_planted_bias(tmp_path, capsys):
    entailment(tmp_path)
    cues = ("sleeping=contradiction", "outside=entailment", "tall=neutral")
    common = ("snli_ve", "--rule", "biased", "--annotations", "test.jsonl", "--out", "biased.jsonl", "--share", "0.5")
    assert run(*common, "--cues", *cues) == 0
    assert len(lines(tmp_path / "biased.jsonl")) == 24
    assert run(*common, "--cues", "tall=yes") == 2
    assert "--cues: 'tall=yes' is not WORD=LABEL with a label of contradiction" in capsys.readouterr().err
    assert run(*common, "--cues", "Tall=neutral", "tall=neutral", "TALL=entailment") == 2
    assert "--cues: tall has two labels, neutral and entailment" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vcr", "--rule", "plural", "--annotations", "val.jsonl", "--out", "o.jsonl"), "nothing in val.jsonl matches"),
        (("vcr", "--rule", "plural", "--annotations", "val.jsonl", "--out", "val.jsonl"), "--out would overwrite"),
        (
            ("vcr", "--rule", "plural", "--annotations", "no.jsonl", "--out", "o.jsonl"),
            "no.jsonl: there is no such file",
        ),
    ],
)
def test_mistakes_end_in_one_message_and_leave_nothing(tmp_path, capsys, arguments, message):
    write_lines(tmp_path / "val.jsonl", [vcr_annotation(0)])
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["val.jsonl"]


def test_it_runs_as_a_module_and_imports_nothing_heavy(root):
    code = "import sys, vlkd_steps.cli.shift; print(sorted({'torch', 'sklearn', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"
