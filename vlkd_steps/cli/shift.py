r"""Make domain-shifted sets from any files in the official formats, for use with any code.

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

The inputs are not changed. See docs/shifts.md.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from vlkd_steps.cli import command
from vlkd_steps.core import files, records, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import snli_ve, vcr
from vlkd_steps.splits import changing_priors, hypothesis_only, planted_bias, vcr_masking, vcr_rules

KINDS = ("questions", "annotations")


def shift_vcr(
    rule: Annotated[str, command.choice([*vcr_rules.RULES, *vcr_masking.KEEP], "what is rewritten")],
    annotations: Annotated[Path, Option(help="VCR v1 annotations (jsonl)")],
    out: Annotated[Path, Option(help="the shifted annotations")],
    scores: Annotated[Path | None, Option(help="a scorer's losses per token, for rules that mask")] = None,
    train: Annotated[
        Path | None, Option(help="instead of --scores: training annotations for the built-in scorer")
    ] = None,
    images: Annotated[Path | None, Option(help="with --train: the folder that img_fn is relative to")] = None,
    metadata: Annotated[
        Path | None, Option(help="the folder that metadata_fn is relative to (default: --images)")
    ] = None,
    scores_out: Annotated[Path | None, Option(help="write the losses of the built-in scorer here")] = None,
) -> None:
    """VCR with rewritten choices.

    Only annotations that the rule applies to are written.

    Raises:
        UserError: a file is not in the official format, scores are missing, or the rule applies to nothing.
    """
    step.log_to(None)
    for option, path in (("--out", out), ("--scores-out", scores_out)):
        _check_output(path, option, [annotations, scores, train])
    rewritten_by: vcr_rules.Rule
    if rule in vcr_rules.RULES:
        rewritten_by = vcr_rules.RULES[rule]
    elif scores is not None:
        rewritten_by = vcr_masking.Masking(rule, scores)
    elif train is None or images is None:
        raise UserError(
            f"rule {rule} masks by a scorer's losses; name their file: --scores FILE. Or train the "
            "built-in scorer: --train FILE --images FOLDER"
        )
    else:
        losses = _own_scores(train, annotations, images, metadata or images)
        if scores_out:
            _write_scores(scores_out, annotations, losses, train)
        rewritten_by = vcr_masking.Masking(rule, annotations, losses)
    before, after = 0, 0
    changed: Counter[str] = Counter()

    def shifted() -> Iterator[str]:
        nonlocal before, after
        for _, record in vcr.labelled(annotations):
            before += 1
            if (made := rewritten_by(record)) is None:
                continue
            after += 1
            for kind in ("answer", "rationale"):
                old, new = record[f"{kind}_choices"], made[f"{kind}_choices"]
                changed[kind] += sum(one != other for one, other in zip(old, new, strict=True))
            yield json.dumps(made)

    _write_lines(out, shifted(), [annotations, scores, train])
    rewritten = ", ".join(
        f"{changed[kind]} of {after * vcr.CHOICES} {kind} choices" for kind in ("answer", "rationale")
    )
    step.log.info("[shift vcr %s] %d of %d annotations in %s", rule, after, before, out)
    step.log.info("[shift vcr %s] rewritten: %s", rule, rewritten)


def _own_scores(train: Path, annotations: Path, images: Path, metadata: Path) -> dict[str, vcr_masking.Losses]:
    """The losses of the built-in scorer, trained here."""
    more = {"images": _below_root(images), "metadata": _below_root(metadata)}
    of = {
        "train": {"annotations": _below_root(train), **more},
        "annotations": {"annotations": _below_root(annotations), **more},
    }
    return vcr.OwnScores({"name": "given", "files": of}, Path("/")).of("annotations")


def _below_root(path: Path) -> str:
    """A path of the command line relative to the file system's root, as a data set has it."""
    return path.resolve().relative_to("/").as_posix()


def _write_scores(out: Path, annotations: Path, losses: Mapping[str, vcr_masking.Losses], train: Path) -> None:
    """Write the losses in the format of the authors' file."""
    lines = (
        json.dumps(vcr_masking.line(record, losses[record["annot_id"]])) for _, record in vcr.labelled(annotations)
    )
    _write_lines(out, lines, [annotations, train])


def shift_snli_ve(
    rule: Annotated[str, command.choice([*hypothesis_only.RULES, "biased"], "which pairs are kept")],
    annotations: Annotated[Path, Option(help="SNLI-VE pairs (jsonl)")],
    out: Annotated[Path, Option(help="the pairs that are kept")],
    train: Annotated[Path | None, Option(help="the training pairs for the hypothesis-only scorers")] = None,
    cues: Annotated[
        list[str] | None, Option(metavar="WORD=LABEL ...", help="with biased: words that are to co-occur with a label")
    ] = None,
    share: Annotated[float, Option(help="the share of pairs in which a cue is right")] = 0.8,
) -> None:
    """SNLI-VE pairs selected by a rule.

    They are written unchanged.

    Raises:
        UserError: a file is not in the official format, arguments are missing, or the rule selects nothing.
    """
    step.log_to(None)
    _check_output(out, "--out", [annotations, train])
    ids, items = snli_ve.statements(annotations)
    if rule == "biased":
        kept = planted_bias.chosen(items, _cues(cues or []), share)
    elif train is None:
        raise UserError(f"rule {rule} needs the training pairs for its scorers: --train FILE")
    else:
        votes = hypothesis_only.wrong_votes(snli_ve.statements(train)[1], items, train)
        kept = hypothesis_only.chosen(rule, votes)
        mean = 100 * (1 - sum(votes) / len(votes) / hypothesis_only.SCORERS)
        step.log.info("[shift snli_ve] a hypothesis-only scorer is right in %.1f %% of %d pairs", mean, len(votes))
    chosen = set(compress(ids, kept))
    lines = (json.dumps(record) for _, record in records.lines(annotations) if record["pairID"] in chosen)
    _write_lines(out, lines, [annotations, train])
    labels = list(compress(items.labels, kept))
    step.log.info("[shift snli_ve %s] %d of %d pairs in %s", rule, len(labels), len(ids), out)
    step.log.info("[shift snli_ve %s] labels: %s, before %s", rule, _counts(labels), _counts(items.labels))


def _cues(given: Sequence[str]) -> dict[str, str]:
    """{word: label}; words are compared in lower case.

    Raises:
        UserError: a text is no cue, or a word has two labels.
    """
    cues: dict[str, str] = {}
    for text in given:
        word, equals, label = text.partition("=")
        if not (word and equals and label in snli_ve.LABELS):
            raise UserError(f"--cues: {text!r} is not WORD=LABEL with a label of {', '.join(snli_ve.LABELS)}")
        if (before := cues.setdefault(word.lower(), label)) != label:
            raise UserError(f"--cues: {word.lower()} has two labels, {before} and {label}; keep one of them")
    return cues


def _counts(labels: Iterable[str]) -> str:
    return ", ".join(f"{label} {number}" for label, number in sorted(Counter(labels).items()))


def shift_vqa(
    rule: Annotated[str, command.choice(["changing_priors"], "how questions are divided")],
    questions: Annotated[list[Path], Option(metavar="Q.json ...", help="VQA v2 questions")],
    annotations: Annotated[list[Path], Option(metavar="A.json ...", help="VQA v2 annotations")],
    out: Annotated[Path, Option(help="a folder for {train,test}_{questions,annotations}.json")],
    test_share: Annotated[float, Option(help="the share of the questions in the test set", show_default="1/3")] = (
        changing_priors.TEST_SHARE
    ),
    exchanged: Annotated[float, Option(help="the share of every group's questions that goes to the other side")] = 0,
) -> None:
    """VQA v2 with changed answer priors.

    The questions of all files are divided into a new train set and a new test set.

    Raises:
        UserError: a file is not in the official format, or questions and annotations do not match.
    """
    step.log_to(None)
    command.check_output(out, "--out", folder=True)
    for path in (out / f"{part}_{kind}.json" for part in ("train", "test") for kind in KINDS):
        _check_output(path, "--out", [*questions, *annotations])
    texts: dict[int, str] = {}
    image_of: dict[int, int] = {}
    for path, where, record in _records(questions, "questions"):
        question_id = records.field(record, "question_id", int, path, where)
        if question_id in texts:
            raise records.complaint(path, f"{where}.question_id", f"{question_id} occurs twice", "ids must be unique")
        texts[question_id] = records.field(record, "question", str, path, where)
        image_of[question_id] = records.field(record, "image_id", int, path, where)
    group_of: dict[int, changing_priors.Group] = {}
    for path, where, record in _records(annotations, "annotations"):
        question_id = records.field(record, "question_id", int, path, where)
        if question_id in group_of:
            raise records.complaint(path, f"{where}.question_id", f"{question_id} occurs twice", "ids must be unique")
        if question_id not in texts:
            raise records.complaint(path, f"{where}.question_id", f"{question_id} is not a question of the given files")
        kind = records.field(record, "question_type", str, path, where)
        group_of[question_id] = kind, records.field(record, "multiple_choice_answer", str, path, where)
    if missing := texts.keys() - group_of.keys():
        raise UserError(f"question {min(missing)} has no annotation in {', '.join(map(str, annotations))}")
    ids = sorted(group_of)
    groups = [group_of[question_id] for question_id in ids]
    part_of = changing_priors.assign(groups, (texts[question_id] for question_id in ids), test_share)
    sides: dict[str, set[int]] = {"train": set(), "test": set()}
    for question_id, part in zip(ids, changing_priors.divide(ids, groups, part_of, exchanged), strict=True):
        sides[part].add(question_id)
    files_of = {"questions": questions, "annotations": annotations}
    for part, chosen in sides.items():
        for kind in KINDS:
            _write_part(out / f"{part}_{kind}.json", part, kind, files_of[kind], chosen)
    images = {part: {image_of[q] for q in sides[part]} for part in sides}
    both = {group_of[q] for q in sides["train"]} & {group_of[q] for q in sides["test"]}
    step.log.info(
        "[shift vqa changing_priors] %d questions: %d in train, %d (%.1f %%) in test, in %s",
        len(ids), len(sides["train"]), len(sides["test"]), 100 * len(sides["test"]) / len(ids), out,
    )  # fmt: skip
    step.log.info(
        "[shift vqa changing_priors] %d groups of question type and answer, %d of them in test; %s in both; "
        "%d images in both (questions are divided, not images)",
        len(part_of), sum(part == "test" for part in part_of.values()), len(both) or "none",
        len(images["train"] & images["test"]),
    )  # fmt: skip


def _records(paths: Sequence[Path], key: str) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    for path in paths:
        for number, record in enumerate(records.array(path, key)):
            yield path, f"{key}[{number}]", record


def _write_part(out: Path, part: str, kind: str, paths: Sequence[Path], chosen: set[int]) -> None:
    """Stream one of the four files: unchanged official records, with VQA-CP's `coco_split` if known."""
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
    """``{"coco_split": "train2014"}`` if the file's head says that its images are COCO's."""
    found = re.search(r'"data_subtype":\s*"((?:train|val|test)20\d\d)"', records.read_text(path))
    return {"coco_split": found[1]} if found else {}


def _write_lines(out: Path, lines: Iterable[str], inputs: Sequence[Path | None]) -> None:
    """Write JSON lines, at least one, atomically.

    Raises:
        UserError: there is no line.
    """
    with files.atomic(out) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(line + "\n" for line in lines)
        if not stream.tell():
            raise UserError(f"nothing in {', '.join(str(path) for path in inputs if path)} matches this rule")


def _check_output(path: Path | None, option: str, inputs: Sequence[Path | None]) -> None:
    """Refuse an output that cannot be written, or would overwrite an input, before anything is read."""
    command.check_output(path, option)
    if path and path.resolve() in {given.resolve() for given in inputs if given}:
        raise UserError(f"{option} would overwrite the input {path}; name another path")


main = command.group(
    "shift", __doc__, {"vcr": shift_vcr, "vqa": shift_vqa, "snli_ve": shift_snli_ve}, cls=command.Several
)


if __name__ == "__main__":
    raise SystemExit(main())
