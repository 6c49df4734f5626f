"""The model card of an adapted model: how it was made, how good it is, of what, and under which licences."""

from collections.abc import Mapping
from typing import Any

from syn2real.reports import wording
from syn2real.reports.table import markdown_text

NOT_EVALUATED = (
    "**Not evaluated**: no real recordings of the target were given. Before relying on it, compare it with the base "
    "model on some of your own: `syn2real evaluate`."
)

# The sums of `syn2real.experiments.sums` in words.
MADE = {
    "syn2real": "tuned on synthetic speech of {sentences} sentences, plus λ = {scale} of the SYN2REAL task vector "
    "(arXiv 2406.02925) made on other domains.",
    "text-on-real": "tuned on real speech of other domains, plus λ = {scale} of what synthetic speech of "
    "{sentences} sentences teaches beyond that of the other domains.",
    "average": "tuned on synthetic speech of {sentences} sentences, and moved by λ = {scale} towards the model tuned "
    "on real speech of other domains.",
}

# What real speech is in each, before and after how much of it.
SPEECH = {
    "syn2real": ("vector", ", minus the same sentences synthesised"),
    "text-on-real": ("real speech", "; the same sentences synthesised are taken from the text's"),
    "average": ("real speech", ""),
}


def model_card(record: dict[str, Any]) -> str:
    """A README.md for the adapted model's directory, evaluated or not."""
    recipe, data, scale = record["recipe"], record["data"], record["lambda"]
    licences = [*data["licences"], *(f"recordings: {name}" for name in data["recordings_licences"])]
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: automatic-speech-recognition",
        f"language: {recipe['language']}",
        "tags: [syn2real, task-arithmetic]",
        "---",
        "",
        f"# {record['title']}",
        "",
        f"{wording.model_name(recipe['model'])} adapted to {', '.join(recipe['target'])} from text alone: "
        + MADE[scale["sum"]].format(sentences=data["target_sentences"], scale=f"{scale['chosen']:g}"),
        "",
        *_evaluation(record),
        "",
        *([record["note"], ""] if record["note"] else []),
        "## How it was made",
        "",
        f"- base model: {wording.model_name(recipe['model'])}",
        f"- {SPEECH[scale['sum']][0]}: {_published(record['vector'])}{data['source_clips']} real clips "
        f"({data['source_seconds'] / 60:.1f} min; {', '.join(data['source_domains']) or 'one domain'})"
        f"{SPEECH[scale['sum']][1]}",
        f"- synthetic speech: {len(data['voices'])} voices of {', '.join(recipe['synthesis']['engines'])}",
        f"- {wording.choice(scale)}",
        f"- training of each model: {recipe['training']['epochs']:g} epochs, peak learning rate "
        f"{recipe['training']['learning_rate']:g}, {recipe['training']['batch_size']} clips a batch, seed "
        f"{recipe['training']['seed']}",
        f"- made with {', '.join(f'{name} {number}' for name, number in record['versions'].items())}",
        "",
        *curve_table(scale["proxy_curve"], scale["other_sums"]),
        "## Licences of what went in",
        "",
        *(f"- {name}" for name in licences),
        *_inherited(record["vector"]),
        "",
    ]
    return "\n".join(lines)


def markdown_table(systems: list[dict[str, Any]]) -> list[str]:
    """The table of systems as lines of Markdown."""
    rows = [
        f"| {wording.label(s)} | {wording.window(s)} | {wording.percent(s['wer'])} "
        f"| {wording.interval(s)} | {wording.relative(s)} | {wording.p_value(s['p'])} "
        f"| {wording.p_value(s.get('flip_p'))} |"
        for s in systems
    ]
    columns = "| system | window | WER | interval | errors vs target-synthetic | p | sign flips |"
    return [columns, "|---|---|---|---|---|---|---|", *rows]


def _published(vector: dict[str, Any] | None) -> str:
    """Which published vector it is, where it was not made with the model."""
    if vector is None:
        return ""
    base = vector["base"]
    return (
        f"{markdown_text(vector['name'])} (SHA-256 {vector['sha256']}, for {markdown_text(base['name'])} "
        f"{base['sha256'][:12]}, voices of {markdown_text(', '.join(vector['engines']))}), made of "
    )


def _inherited(vector: dict[str, Any] | None) -> list[str]:
    """What the licences of a published vector, which the model inherits, say of commercial use."""
    if vector is None:
        return []
    rows = [f"- in the vector, {one['what']}: {one['licence'] or 'not stated'}" for one in vector["licences"]]
    barred = vector["commercial_obstacles"]
    allowed = "every licence stated allows it" if vector["commercial_ok"] else f"not cleared ({'; '.join(barred)})"
    return [*rows, "", f"Commercial use of the vector: {markdown_text(allowed)}."]


def _evaluation(record: dict[str, Any]) -> list[str]:
    systems = record["systems"]
    if not systems:
        return [NOT_EVALUATED]
    headlines = "  \n".join(wording.headlines(systems))
    return [headlines, "", *markdown_table(systems), "", f"{wording.intervals_by(systems)}."]


def curve_table(points: list[dict[str, Any]], others: Mapping[str, list[dict[str, Any]]] | None = None) -> list[str]:
    """What chose λ: the error rate on the proxies at each, as lines of Markdown, and those of ``others`` that were not
    chosen, by sum; none without a choice."""
    if not points:
        return []
    curves = {"WER on the proxies, %": points} | {f"– {wording.NAMES[way]}": row for way, row in (others or {}).items()}
    scales = sorted({point["scale"] for curve in curves.values() for point in curve})
    lines = [f"| λ | {' | '.join(f'{scale:g}' for scale in scales)} |", "|---" * (len(scales) + 1) + "|"]
    for name, curve in curves.items():
        rates = {point["scale"]: f"{100 * point['wer']:.1f}" for point in curve}
        lines.append(f"| {name} | {' | '.join(rates.get(scale, '') for scale in scales)} |")
    return [*lines, ""]
