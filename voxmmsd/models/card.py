"""The model card, generated from the record, for people who decide whether to use the model."""

from __future__ import annotations

from typing import Any

from voxmmsd.labels import MODALITIES, MODALITY_NAMES, schema_named
from voxmmsd.models.package import ModelInfo
from voxmmsd.models.provenance import ComparisonSummary
from voxmmsd.models.subsets import KEY, VOLUMES, markdown, over_cases, subset_key, volume_markdown
from voxmmsd.wording import counted

FEW_STEPS = 200
_TOLD_ELSEWHERE = frozenset({"comparison", "patients"})  # or in the record alone


def card(info: ModelInfo) -> str:
    """Markdown."""
    sections = [
        f"# {info.name}",
        f"Model `{info.id}`, created {info.created} by voxmmsd {info.version}"
        + (f", from `{info.parent}`." if info.parent else ", trained from scratch."),
        "**Not a medical device; for research use only.** " + info.limits,
        "## Input and output",
        f"Modalities: {', '.join(MODALITY_NAMES[m] for m in info.modalities)}; each may be missing. Isotropic voxels "
        f"of {info.preprocess.spacing_mm:g} mm, windows of {info.window}^3.",
        *(
            _output(info)
            if info.segments
            else ["Pre-trained on unlabeled scans. Fine-tune it before use: it does not predict labels."]
        ),
        *_comparison(info.provenance.comparison),
        "## Training",
        *_few_steps(info.training),
        _training({key: value for key, value in info.training.items() if key not in _TOLD_ELSEWHERE}),
        "## Network",
        f"3-D U-Net with {' - '.join(map(str, info.network.channels))} channels.",
        "## License",
        info.licence,
    ]
    return "\n\n".join(sections) + "\n"


def _output(info: ModelInfo) -> list[str]:
    schema = schema_named(info.schema)
    return [
        f"Labels of schema `{info.schema}`: " + ", ".join(f"{lb.value} {lb.name}" for lb in schema.labels) + ".",
        "Regions: " + ", ".join(f"{region.name} ({region.key})" for region in schema.regions) + ".",
        "## Scores",
        *_score_tables(info.scores),
    ]


def _score_tables(scores: dict[str, Any]) -> list[str]:
    if not scores:
        return ["Not measured."]
    tables = []
    for split, record in scores.items():
        if split == KEY:
            tables.append(markdown(record))
            if errors := record.get(VOLUMES, {}).get(subset_key(MODALITIES)):
                tables.append(volume_markdown(errors, over_cases(record)))
            continue
        rows = [f"| {key} | {_dice(value)} |" for key, value in record["regions"].items()]
        heading = f"Mean Dice over {counted(record['cases'], f'{split} case')}:\n"
        tables.append("\n".join([heading, "| region | Dice |", "|---|---|", *rows]))
        if VOLUMES in record:
            tables.append(volume_markdown(record[VOLUMES], counted(record["cases"], f"{split} case")))
    return tables


def _comparison(found: ComparisonSummary | None) -> list[str]:
    """Comparison with its parent on held-out patients."""
    if found is None:
        return []
    rows = [f"| {key} | {_dice(old)} | {_dice(new)} |" for key, (old, new) in found.regions.items()]
    table = "\n".join(["| region | Dice of the old model | Dice of this model |", "|---|---|---|", *rows])
    left_out = "\n".join(f"- excluded: {case_id}: {reason}" for case_id, reason in found.unfair.items())
    return [
        f"## Comparison with {found.old}",
        f"Verdict: {found.text}.",
        table,
        *([left_out] if left_out else []),
    ]


def _few_steps(training: dict[str, Any]) -> list[str]:
    steps = (training.get("options") or {}).get("steps")
    if not isinstance(steps, int) or steps >= FEW_STEPS:
        return []
    return [f"**Trained for {counted(steps, 'step')} only: this shows that the way works, and is not a model to use.**"]


def _dice(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _training(training: dict[str, Any]) -> str:
    lines = []
    for key, value in training.items():
        nested = isinstance(value, dict)
        text = "; ".join(f"{k} {_shown(v)}" for k, v in value.items()) if nested else _shown(value)
        lines.append(f"- {key.replace('_', ' ')}: {text}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple | dict):
        return f"{len(value)} ({', '.join(map(str, value))})" if value else "none"
    return str(value)
