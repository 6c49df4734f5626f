"""The model card of an adapted model: what it is, how good, made of what, and under which licences."""

from typing import Any

from syn2real.reports import wording


def model_card(record: dict[str, Any]) -> str:
    """A README.md for the adapted model's directory."""
    recipe, data, scale = record["recipe"], record["data"], record["lambda"]
    licences = [*data["licences"], *(f"recordings: {name}" for name in data["recordings_licences"])]
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: automatic-speech-recognition",
        f"language: {recipe['language']}",
        "tags: [whisper, syn2real, task-arithmetic]",
        "---",
        "",
        f"# {record['title']}",
        "",
        f"{recipe['model']} adapted to {', '.join(recipe['target'])} from text alone: tuned on synthetic speech of "
        f"{data['target_sentences']} sentences, plus λ = {scale['chosen']:g} of the SYN2REAL task vector "
        "(arXiv 2406.02925) made on other domains.",
        "",
        "  \n".join(wording.headlines(record["systems"])),
        "",
        *markdown_table(record["systems"]),
        "",
        f"{wording.intervals_by(record['systems'])}. {wording.choice(scale)}.",
        "",
        *([record["note"], ""] if record["note"] else []),
        "## Licences of what went in",
        "",
        *(f"- {name}" for name in licences),
        "",
    ]
    return "\n".join(lines)


def markdown_table(systems: list[dict[str, Any]]) -> list[str]:
    """The table of systems as lines of Markdown."""
    rows = [
        f"| {wording.label(s)} | {wording.window(s)} | {wording.percent(s['wer'])} "
        f"| {wording.interval(s)} | {wording.relative(s)} | {wording.p_value(s['p'])} |"
        for s in systems
    ]
    return ["| system | window | WER | interval | errors vs target-synthetic | p |", "|---|---|---|---|---|---|", *rows]
