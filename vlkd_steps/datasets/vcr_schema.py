"""JSON Schemas of the files of VCR v1: one line of ``<split>.jsonl``, and an image's metadata (PAPERS 4).

The form of the official release. Object references are lists of indices into `objects`. The test split of
the photographs has no labels; the fields that say how the release was matched and collected may be absent.
"""

from typing import Any

_TOKENS: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}},
        ]
    },
}
_CHOICES: dict[str, Any] = {"type": "array", "minItems": 4, "maxItems": 4, "items": _TOKENS}
_LABEL: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 3}
_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_INDICES: dict[str, Any] = {"type": "array", "items": {"type": "integer", "minimum": 0}}

ANNOTATION: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "VCR v1 annotation",
    "type": "object",
    "required": [
        *("objects", "img_fn", "metadata_fn", "question", "answer_choices", "rationale_choices"),
        *("img_id", "annot_id", "match_fold", "match_index"),
    ],
    "dependentRequired": {"answer_label": ["rationale_label"], "rationale_label": ["answer_label"]},
    "properties": {
        "objects": {"type": "array", "items": _TEXT},
        "img_fn": _TEXT,
        "metadata_fn": {"type": "string", "pattern": r"\.json$"},
        "question": _TOKENS,
        "answer_choices": _CHOICES,
        "rationale_choices": _CHOICES,
        "answer_label": _LABEL,
        "rationale_label": _LABEL,
        "img_id": _TEXT,
        "annot_id": _TEXT,
        "match_fold": _TEXT,
        "match_index": {"type": "integer", "minimum": 0},
        "movie": _TEXT,
        "question_number": {"type": "integer", "minimum": 0},
        "question_orig": _TEXT,
        "answer_orig": _TEXT,
        "rationale_orig": _TEXT,
        "answer_likelihood": _TEXT,
        "interesting_scores": {"type": "array", "items": {"type": "number"}},
        "answer_match_iter": _INDICES,
        "answer_sources": _INDICES,
        "rationale_match_iter": _INDICES,
        "rationale_sources": _INDICES,
    },
}

METADATA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "VCR v1 image metadata",
    "type": "object",
    "required": ["boxes", "segms", "names", "width", "height"],
    "properties": {
        "boxes": {
            "type": "array",
            "items": {"type": "array", "minItems": 5, "maxItems": 5, "items": {"type": "number", "minimum": 0}},
        },
        "segms": {  # of each object a list of polygons of [x, y] points
            "type": "array",
            "items": {
                "type": "array",
                "items": {
                    "type": "array",
                    "minItems": 3,
                    "items": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
                },
            },
        },
        "names": {"type": "array", "items": _TEXT},
        "width": {"type": "integer", "minimum": 1},
        "height": {"type": "integer", "minimum": 1},
    },
}
