"""`report.html`: fills the template with results, figures and images; computes no results."""

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from vlkd_steps.core import layout
from vlkd_steps.reporting import figures
from vlkd_steps.reporting import table as results
from vlkd_steps.reporting import timings as cost
from vlkd_steps.reporting.citation import citations
from vlkd_steps.reporting.findings import Finding, main_set
from vlkd_steps.reporting.gallery import Gallery, inline_image
from vlkd_steps.reporting.measured import Table
from vlkd_steps.reporting.selection import Selection, warned
from vlkd_steps.reporting.style import Style
from vlkd_steps.reporting.swept import Swept
from vlkd_steps.reporting.table import Row
from vlkd_steps.reporting.training import LABELS, Panels
from vlkd_steps.tracking import provenance as here
from vlkd_steps.tracking.cost import hours as cost_hours

TEMPLATES = Path(__file__).parent.parent / "templates"
MARKERS = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "P": "✚", "X": "✖", "<": "◀", ">": "▶", "p": "⬟", "h": "⬢"}


def render(
    *,
    experiment: str,
    reference: str,
    hero: str,
    rows: Sequence[Row],
    findings: Sequence[Finding],
    styles: Mapping[str, Style],
    training: Mapping[str, Panels],
    teaching: Sequence[Table],
    selections: Sequence[Selection],
    timings: Sequence[Row],
    run_keys: Mapping[str, str],
    galleries: Sequence[Gallery],
    shared: Sequence[Row],
    measured: Sequence[Table],
    swept: Sequence[Swept],
    provenance: Sequence[Mapping[str, Any] | None],
) -> str:
    """The page as one self-contained string."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {
        "points": results.points,
        "interval": results.interval,
        "few_seeds": results.few_seeds,
        "spread": results.spread,
        "learned": results.learned,
        "readable": results.name,
        "duration": duration,
        "made": cost.made,
        "share": lambda share: "" if share is None else f"{100 * share:.0f} %",
        "p_value": p_value,
    }
    units = {row["dataset"].split()[0]: row["unit"] for row in rows}
    environment.filters["trained"] = lambda shot, place: results.training(shot, units.get(place.split()[0], "items"))
    environment.filters["label"] = lambda variant: styles[variant].label if variant in styles else variant
    environment.tests["unlearned"] = lambda row: bool(results.learned(row))
    environment.tests |= {"above": lambda row: results.sure(row) > 0, "below": lambda row: results.sure(row) < 0}
    totals = cost.totals(timings)
    return environment.get_template("report.html.j2").render(
        experiment=experiment,
        reference=reference,
        hero=hero,
        findings=findings,
        styles=styles,
        markers={variant: MARKERS.get(style.marker, "★") for variant, style in styles.items()},
        datasets=[_dataset(name, rows, styles) for name in results.values(rows, "dataset")],
        training=_training(training, styles),
        teaching=teaching,
        selections=selections,
        warned=warned(selections),
        totals=totals,
        spent=cost.summed(timings),
        timings=timings,
        run_keys=run_keys,
        mlflow=layout.mlflow_links(experiment),
        price=Price.of(timings),
        longest=max((row["seconds"] for row in totals), default=1),
        galleries=galleries,
        shared=shared,
        measured=measured,
        swept=swept,
        inline_image=inline_image,
        facts=facts(rows, timings, provenance),
        rows=rows,
        without_dev=_without_dev(rows, training),
        citations=citations(),
        commits=_commits(provenance),
        lock=here.LOCK_FILE if here.LOCK_FILE.is_file() else None,
        keeping_teacher=results.keeping_teacher(rows),
        no_percentages=results.no_percentages(rows),
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        git=here.git(),
        seeds=sorted({seed for row in rows for seed in row["seeds"].split()}, key=int),
    )


def facts(
    rows: Sequence[Row], timings: Sequence[Row], provenance: Sequence[Mapping[str, Any] | None]
) -> dict[str, str]:
    """How the results were made, label -> value; unknown values are left out."""
    known, called = [each for each in provenance if each], results.labels(rows)
    packages = ("torch", "transformers", "open_clip_torch")
    versions = {f"{name} {v[name]}" for p in known for v in [p.get("versions") or {}] for name in packages if name in v}
    trained = cost.summed([row for row in timings if row["step"] == "distill"])
    found = {
        "students": ", ".join(results.values(rows, "student")),
        "teachers": ", ".join(name for name in results.values(rows, "teacher") if name),
        "need their teacher at inference": ", ".join(called[name] for name in results.keeping_teacher(rows)),
        "trained at commit": ", ".join(commit[:10] for commit in _commits(provenance))
        + (" (with changes not committed)" if any((p.get("git") or {}).get("dirty") for p in known) else ""),
        "training time": duration(trained["seconds"]) if trained["seconds"] else "",
        "training cost": _cost(trained),
        "device": ", ".join(sorted({str(p["device"]) for p in known if p.get("device")})),
        "GPU": _distinct(timings, "gpu"),
        "Slurm partition": _distinct(timings, "slurm_partition"),
        "Slurm nodes": _distinct(timings, "slurm_node"),
        "processor": ", ".join(sorted({str(h["cpu"]) for p in known if (h := p.get("host") or {}).get("cpu")})),
        "precision": ", ".join(sorted({str(p["precision"]) for p in known if p.get("precision")})),
        "packages": ", ".join(sorted(versions)),
    }
    return {label: value for label, value in found.items() if value}


def _without_dev(rows: Sequence[Row], training: Mapping[str, Panels]) -> list[str]:
    """The data sets that were not evaluated on `dev`, neither during training nor after."""
    have = {place.split()[0] for place, _ in training["dev"]}
    have |= {row["dataset"].split()[0] for row in rows if row["evaluation_set"] == "dev"}
    return [name for name in dict.fromkeys(row["dataset"].split()[0] for row in rows) if name not in have]


def _commits(provenance: Sequence[Mapping[str, Any] | None]) -> list[str]:
    """The commits that runs were trained at."""
    return sorted({((each or {}).get("git") or {}).get("commit") or "" for each in provenance} - {""})


def _cost(trained: Row) -> str:
    """For example ``12.5 GPU-hours, 58 attempts of 54 runs``."""
    spent = cost_hours(trained["core_hours"], trained["gpu_hours"])
    again = f"{trained['attempts']} attempts of {trained['runs']} runs" if trained["attempts"] > trained["runs"] else ""
    return ", ".join(part for part in (spent, again) if part)


def _distinct(timings: Sequence[Row], column: str) -> str:
    """The values of a column of lists, such as the nodes of a run's attempts; if there are many, their number."""
    found = sorted({value for row in timings if row[column] for value in row[column].split(", ")})
    return ", ".join(found) if len(found) <= 4 else f"{', '.join(found[:3])} and {len(found) - 3} more"


@dataclass(frozen=True)
class Price:
    """The format of hours in cost tables: GPU-hours if any GPU was used, else core-hours, with equal decimals."""

    unit: str
    decimals: int

    @classmethod
    def of(cls, timings: Sequence[Row]) -> "Price | None":
        """None: no row has a cost."""
        gpu = [row["gpu_hours"] for row in timings if row["gpu_hours"]]
        known = gpu or [row["core_hours"] for row in timings if row["core_hours"] is not None]
        if not known:
            return None
        return cls("GPU" if gpu else "core", 4 if max(known) < 1 else 2 if max(known) < 100 else 0)

    def __call__(self, row: Row, prefix: str = "") -> str:
        """``0.0106``; a step without a GPU, if others have one, is in core-hours: ``0.31 core-hours``."""
        gpu, core = row[f"{prefix}gpu_hours"], row[f"{prefix}core_hours"]
        if self.unit == "GPU" and not gpu:
            return cost_hours(core, gpu)
        hours = gpu if self.unit == "GPU" else core
        return "" if hours is None else f"{hours:,.{self.decimals}f}".replace(",", " ")


def duration(seconds: float) -> str:
    """``8.4 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def p_value(p: float | None) -> str:
    """A p value as text: ``0.03``, ``< 0.001``."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else results.rounded_p(p, 3 if p < 0.1 else 2, "f")


def _dataset(name: str, rows: Sequence[Row], styles: Mapping[str, Style]) -> dict[str, Any]:
    mine = [row for row in rows if row["dataset"] == name]
    shots, variants = results.values(mine, "shot"), results.values(mine, "variant")
    sets, main = results.values(mine, "evaluation_set"), main_set(mine)
    sets.sort(key=lambda evaluation_set: (evaluation_set == "dev", evaluation_set != main))
    ends = [row[column] for row in mine for column in ("gain", "gain_low", "gain_high") if row[column] is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    aside = 0.04 * (high - low) or 1.0
    panels = []
    for evaluation_set in sets:
        for student in results.values(mine, "student"):
            part = [row for row in mine if row["evaluation_set"] == evaluation_set and row["student"] == student]
            if not part:
                continue
            prefix = re.sub(r"[^\w-]+", "-", f"c-{name}-{student}-{evaluation_set}", flags=re.ASCII)
            compared = [row for row in part if row["gain"] is not None]
            panels.append(
                {
                    "set": evaluation_set,
                    "main": evaluation_set == main,
                    "student": student,
                    "rows": results.ordered(part, variants, shots),
                    "curve": figures.inline(figures.learning_curves(part, styles), styles, prefix),
                    "n": part[0]["n"],
                    "images": part[0]["images"],
                    "sure": sum(results.sure(row) != 0 for row in compared),
                    "compared": len(compared),
                    "alt": describe(part, shots),
                }
            )
    return {
        "name": name,
        "unit": mine[0]["unit"],
        "scale": results.scale(mine[0]),
        "panels": panels,
        "shots": shots,
        "several_students": len(results.values(mine, "student")) > 1,
        "place": lambda value: round(100 * (value - low + aside) / (high - low + 2 * aside), 2),
    }


def describe(rows: Sequence[Row], shots: Sequence[str]) -> str:
    """A learning curve in words, for screen readers."""
    lines = []
    for variant in results.values(rows, "variant"):
        mine = sorted((row for row in rows if row["variant"] == variant), key=lambda row: shots.index(row["shot"]))
        values = ", ".join(f"{results.spread(row)} at {row['shot']}" for row in mine)
        lines.append(f"{mine[0].get('label') or variant}: {values}")
    scale = results.scale(rows[0]).replace("accuracy, %", "Accuracy in percent")
    return f"{scale} over training {rows[0]['unit']}. " + "; ".join(lines) + "."


def _training(training: Mapping[str, Panels], styles: Mapping[str, Style]) -> list[dict[str, Any]]:
    return [
        {
            "kind": kind,
            "label": LABELS[kind],
            "dataset": dataset,
            "panels": [
                {
                    "shot": shot,
                    "curve": figures.inline(
                        figures.training_curves({(dataset, shot): curves}, styles, LABELS[kind]),
                        styles,
                        f"t-{kind}-{dataset}-{shot}".replace(" ", "-"),
                    ),
                    "alt": f"{LABELS[kind]} at the last step: "
                    + "; ".join(
                        f"{styles[variant].label} {_last(curve):.3g}" for variant, curve in curves.items() if curve
                    ),
                }
                for (place, shot), curves in panels.items()
                if place == dataset
            ],
        }
        for kind, panels in training.items()
        for dataset in dict.fromkeys(place for place, _ in panels)
    ]


def _last(curve: Mapping[int, Sequence[float]]) -> float:
    values = curve[max(curve)]
    return sum(values) / len(values)
