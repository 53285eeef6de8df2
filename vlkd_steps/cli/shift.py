r"""Make domain-shifted sets of anyone's files, in the official formats, so that they serve any code.

    vlkd shift vcr --rule singular --annotations val.jsonl --out val_rule_singular.jsonl
    vlkd shift vcr --rule adv_top_1 --scores scores.jsonl --annotations val.jsonl --out val_adv.jsonl
    vlkd shift vcr --rule adv_top_1 --train train.jsonl --images vcr1images --annotations val.jsonl \
        --out val_adv.jsonl
    vlkd shift vqa --rule changing_priors --questions Q.json Q2.json --annotations A.json A2.json \
        --out folder
    vlkd shift snli_ve --rule hypothesis_hard --train train.jsonl --annotations test.jsonl \
        --out test_hard.jsonl
    vlkd shift snli_ve --rule biased --cues top=entailment bottom=contradiction --share 0.8 \
        --annotations train.jsonl --out train_biased.jsonl

No pipeline is needed, and none of the inputs is changed. See docs/shifts.md.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

from vlkd_steps.core import files, records, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import snli_ve, vcr
from vlkd_steps.splits import changing_priors, hypothesis_only, planted_bias, vcr_masking, vcr_rules

KINDS = ("questions", "annotations")


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    step.log_to(None)
    {"vcr": shift_vcr, "vqa": shift_vqa, "snli_ve": shift_snli_ve}[arguments.task](arguments)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest="task", required=True)
    task = tasks.add_parser("vcr", help="VCR v1 annotations (jsonl)")
    task.add_argument("--rule", required=True, choices=[*vcr_rules.RULES, *vcr_masking.KEEP])
    task.add_argument("--annotations", required=True, type=Path)
    task.add_argument("--scores", type=Path, help="a scorer's losses per token, for the rules that mask")
    task.add_argument("--train", type=Path, help="instead of --scores: training annotations for a scorer of our own")
    task.add_argument("--images", type=Path, help="with --train: the folder that img_fn is relative to")
    task.add_argument("--metadata", type=Path, help="the folder that metadata_fn is relative to (default: --images)")
    task.add_argument("--scores-out", type=Path, help="keep the losses of the scorer of our own here")
    task.add_argument("--out", required=True, type=Path)
    task = tasks.add_parser("vqa", help="VQA v2 questions and annotations (json)")
    task.add_argument("--rule", required=True, choices=["changing_priors"])
    task.add_argument("--questions", required=True, nargs="+", type=Path)
    task.add_argument("--annotations", required=True, nargs="+", type=Path)
    task.add_argument("--test-share", type=float, default=changing_priors.TEST_SHARE)
    task.add_argument("--out", required=True, type=Path, help="a folder for {train,test}_{questions,annotations}.json")
    task = tasks.add_parser("snli_ve", help="SNLI-VE pairs (jsonl)")
    task.add_argument("--rule", required=True, choices=[*hypothesis_only.RULES, "biased"])
    task.add_argument("--annotations", required=True, type=Path)
    task.add_argument("--train", type=Path, help="the training pairs, from which the hypothesis-only scorers learn")
    task.add_argument("--cues", nargs="+", default=[], metavar="WORD=LABEL")
    task.add_argument("--share", type=float, default=0.8, help="how often a cue is right afterwards")
    task.add_argument("--out", required=True, type=Path)
    return parser


def shift_vcr(arguments: argparse.Namespace) -> None:
    """Write the annotations that fall under a rule, with rewritten choices.

    Raises:
        UserError: a file that is not in the official format, missing scores, or nothing falls under the rule.
    """
    rule: vcr_rules.Rule
    if arguments.rule in vcr_rules.RULES:
        rule = vcr_rules.RULES[arguments.rule]
    elif arguments.scores is not None:
        rule = vcr_masking.Masking(arguments.rule, arguments.scores)
    else:
        rule = vcr_masking.Masking(arguments.rule, arguments.annotations, _own_scores(arguments))
    before, after = 0, 0
    changed: Counter[str] = Counter()

    def shifted() -> Iterator[str]:
        nonlocal before, after
        for _, record in vcr.labelled(arguments.annotations):
            before += 1
            if (made := rule(record)) is None:
                continue
            after += 1
            for kind in ("answer", "rationale"):
                old, new = record[f"{kind}_choices"], made[f"{kind}_choices"]
                changed[kind] += sum(one != other for one, other in zip(old, new, strict=True))
            yield json.dumps(made)

    _write_lines(arguments.out, shifted(), [arguments.annotations, arguments.scores, arguments.train])
    rewritten = ", ".join(
        f"{changed[kind]} of {after * vcr.CHOICES} {kind} choices" for kind in ("answer", "rationale")
    )
    step.log.info("[shift vcr %s] %d of %d annotations in %s", arguments.rule, after, before, arguments.out)
    step.log.info("[shift vcr %s] rewritten: %s", arguments.rule, rewritten)


def _own_scores(arguments: argparse.Namespace) -> dict[str, vcr_masking.Losses]:
    """The losses of a scorer of our own, trained here; written to ``--scores-out`` in the form of the authors' file.

    Raises:
        UserError: nothing to train it from.
    """
    if arguments.train is None or arguments.images is None:
        raise UserError(
            f"rule {arguments.rule} masks by a scorer's losses; name their file: --scores FILE. Or have a scorer of "
            "our own learn them: --train FILE --images FOLDER"
        )
    files_of = {name: {"annotations": getattr(arguments, name).resolve()} for name in ("train", "annotations")}
    more = {"images": arguments.images.resolve(), "metadata": (arguments.metadata or arguments.images).resolve()}
    conf = {"name": "given", "files": {name: {**paths, **more} for name, paths in files_of.items()}}
    losses = vcr.OwnScores(conf, Path("/")).of("annotations")
    if arguments.scores_out:
        lines = (
            json.dumps(vcr_masking.line(record, losses[record["annot_id"]]))
            for _, record in vcr.labelled(arguments.annotations)
        )
        _write_lines(arguments.scores_out, lines, [arguments.annotations, arguments.train])
    return losses


def shift_snli_ve(arguments: argparse.Namespace) -> None:
    """Write the pairs that a rule keeps, as they were.

    Raises:
        UserError: a file that is not in the official format, missing arguments, or a rule that keeps nothing.
    """
    ids, items = snli_ve.statements(arguments.annotations)
    if arguments.rule == "biased":
        kept = planted_bias.chosen(items, _cues(arguments.cues), arguments.share)
    elif arguments.train is None:
        raise UserError(f"rule {arguments.rule} needs the training pairs, from which its scorers learn: --train FILE")
    else:
        votes = hypothesis_only.wrong_votes(snli_ve.statements(arguments.train)[1], items)
        kept = hypothesis_only.chosen(arguments.rule, votes)
        mean = 100 * (1 - sum(votes) / len(votes) / hypothesis_only.SCORERS)
        step.log.info("[shift snli_ve] a hypothesis-only scorer is right in %.1f %% of %d pairs", mean, len(votes))
    chosen = set(compress(ids, kept))
    lines = (json.dumps(record) for _, record in records.lines(arguments.annotations) if record["pairID"] in chosen)
    _write_lines(arguments.out, lines, [arguments.annotations, arguments.train])
    labels = list(compress(items.labels, kept))
    step.log.info("[shift snli_ve %s] %d of %d pairs in %s", arguments.rule, len(labels), len(ids), arguments.out)
    step.log.info("[shift snli_ve %s] labels: %s, before %s", arguments.rule, _counts(labels), _counts(items.labels))


def _cues(given: Sequence[str]) -> dict[str, str]:
    cues = {}
    for text in given:
        word, equals, label = text.partition("=")
        if not (word and equals and label in snli_ve.LABELS):
            raise UserError(f"--cues: {text!r} is no WORD=LABEL with a label of {', '.join(snli_ve.LABELS)}")
        cues[word.lower()] = label
    return cues


def _counts(labels: Iterable[str]) -> str:
    return ", ".join(f"{label} {number}" for label, number in sorted(Counter(labels).items()))


def shift_vqa(arguments: argparse.Namespace) -> None:
    """Pool the questions of all files and divide them again, into a new train and a new test.

    Raises:
        UserError: a file that is not in the official format, or questions and annotations that do not fit.
    """
    out: Path = arguments.out
    made = [out / f"{part}_{kind}.json" for part in ("train", "test") for kind in KINDS]
    _refuse_overwriting(made, [*arguments.questions, *arguments.annotations])
    texts: dict[int, str] = {}
    image_of: dict[int, int] = {}
    for path, where, record in _records(arguments.questions, "questions"):
        question_id = records.field(record, "question_id", int, path, where)
        if question_id in texts:
            raise records.complaint(path, f"{where}.question_id", f"{question_id} stands twice", "ids must be unique")
        texts[question_id] = records.field(record, "question", str, path, where)
        image_of[question_id] = records.field(record, "image_id", int, path, where)
    group_of: dict[int, changing_priors.Group] = {}
    for path, where, record in _records(arguments.annotations, "annotations"):
        question_id = records.field(record, "question_id", int, path, where)
        if question_id not in texts:
            raise records.complaint(path, f"{where}.question_id", f"{question_id} is no question of the given files")
        kind = records.field(record, "question_type", str, path, where)
        group_of[question_id] = kind, records.field(record, "multiple_choice_answer", str, path, where)
    if missing := texts.keys() - group_of.keys():
        raise UserError(f"question {min(missing)} has no annotation in {', '.join(map(str, arguments.annotations))}")
    ids = sorted(group_of)
    groups = [group_of[question_id] for question_id in ids]
    part_of = changing_priors.assign(groups, (texts[question_id] for question_id in ids), arguments.test_share)
    for part in ("train", "test"):
        chosen = {question_id for question_id in ids if part_of[group_of[question_id]] == part}
        for kind in KINDS:
            _write_part(out / f"{part}_{kind}.json", part, kind, getattr(arguments, kind), chosen)
    sides = {part: [q for q in ids if part_of[group_of[q]] == part] for part in ("train", "test")}
    images = {part: {image_of[q] for q in sides[part]} for part in sides}
    step.log.info(
        "[shift vqa changing_priors] %d questions: %d in train, %d (%.1f %%) in test, in %s",
        len(ids), len(sides["train"]), len(sides["test"]), 100 * len(sides["test"]) / len(ids), out,
    )  # fmt: skip
    step.log.info(
        "[shift vqa changing_priors] %d groups of question type and answer, %d of them in test; none in both; "
        "%d images in both (questions are divided, not images)",
        len(part_of), sum(part == "test" for part in part_of.values()), len(images["train"] & images["test"]),
    )  # fmt: skip


def _records(paths: Sequence[Path], key: str) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    for path in paths:
        for number, record in enumerate(records.array(path, key)):
            yield path, f"{key}[{number}]", record


def _write_part(out: Path, part: str, kind: str, paths: Sequence[Path], chosen: set[int]) -> None:
    """Stream one of the four files: official records as they were, with VQA-CP's `coco_split` where it is known."""
    head = {"info": {"description": "VQA v2 divided by vlkd-steps (changing_priors)"}, "data_subtype": part}
    with files.atomic(out) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(head)[:-1] + f', "{kind}": [')
        between = ""
        for path in paths:
            coco = _coco_split(path)
            for record in records.array(path, kind):
                if record["question_id"] in chosen:
                    stream.write(between + json.dumps({**coco, **record}))
                    between = ", "
        stream.write("]}\n")


def _coco_split(path: Path) -> Mapping[str, str]:
    """``{"coco_split": "train2014"}`` where the file's own head says that its images are COCO's."""
    found = re.search(r'"data_subtype":\s*"((?:train|val|test)20\d\d)"', records.read_text(path))
    return {"coco_split": found[1]} if found else {}


def _write_lines(out: Path, lines: Iterable[str], inputs: Sequence[Path | None]) -> None:
    """JSON lines, whole or not at all; at least one.

    Raises:
        UserError: `out` is one of the inputs, or there is no line.
    """
    _refuse_overwriting([out], [path for path in inputs if path is not None])
    with files.atomic(out) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(line + "\n" for line in lines)
        if not stream.tell():
            raise UserError(f"nothing in {', '.join(str(path) for path in inputs if path)} falls under this rule")


def _refuse_overwriting(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    for path in outputs:
        if path.resolve() in {given.resolve() for given in inputs}:
            raise UserError(f"--out would overwrite the input {path}; name another place")


if __name__ == "__main__":
    raise SystemExit(main())
