"""The card of a published vector for people: a README.md, and lines for a terminal. It says what `vector.json` says."""

from collections.abc import Callable
from typing import Any

import yaml

from syn2real.reports import wording
from syn2real.reports.card import curve_table, markdown_table
from syn2real.reports.table import Row, Table, markdown_text

NOT_MEASURED = "What it is worth was not measured on a domain kept out of it."
MOST_VOICES = 8  # named for each engine


def vector_readme(card: dict[str, Any]) -> str:
    """README.md for the folder of a published vector, from what `vector.json` holds."""
    base, storage = card["base"], card["storage"]
    tags = ["task-vector", "syn2real"]
    head: dict[str, Any] = {"library_name": "syn2real", "language": card["language"], "tags": tags}
    if wording.on_hub(base["name"]):
        head["base_model"] = base["name"]
    return "\n".join(
        [
            "---",
            yaml.safe_dump(head, sort_keys=False, allow_unicode=True).strip(),
            "---",
            "",
            f"# {markdown_text(card['title'])}",
            "",
            f"A task vector for {markdown_text(base['name'])}: real minus synthetic speech "
            "(SYN2REAL, arXiv 2406.02925). Added to this model once it is tuned on synthetic speech of a domain, it "
            "carries the model towards real speech. It is no model by itself.",
            "",
            "```bash",
            f"syn2real adapt --text domain.txt --vector THIS_FOLDER --model {base['name']} --output adapted",
            "```",
            "",
            *([markdown_text(card["note"]), ""] if card["note"] else []),
            *_facts(card, markdown_text),
            "",
            "## How much to add",
            "",
            f"{markdown_text(_choice(card))}.",
            "",
            *curve_table([point | {"wer": point["errors"] / point["words"]} for point in card["lambda"]["curve"]]),
            "## What it is worth",
            "",
            *_gain(card),
            "",
            "## Licences of what went in",
            "",
            *_licences(card),
            "",
            f"SHA-256 of `vector.safetensors`: `{storage['sha256']}`. Made with "
            f"{', '.join(f'{name} {number}' for name, number in card['made_with'].items())}. `vector.json` says all "
            "this for machines.",
            "",
        ]
    )


def print_vector(card: dict[str, Any], console: Any) -> None:
    """The same, shorter, on a terminal."""
    console.print(card["title"], style="bold", markup=False, highlight=False)
    gain = card["gain"]
    worth = wording.headlines(gain["systems"]) if gain else [NOT_MEASURED]
    for line in [*_facts(card, _plain), f"{_plain(_choice(card))}.", f"{_plain(commercial(card))}.", *worth]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def commercial(card: dict[str, Any]) -> str:
    """Whether its licences allow commercial use, and if not, why."""
    if card["commercial_ok"]:
        return "Commercial use: every licence stated allows it"
    return f"Commercial use: not cleared ({'; '.join(card['commercial_obstacles'])})"


def _facts(card: dict[str, Any], text: Callable[[str], str]) -> list[str]:
    """What it belongs to and was made of; ``text`` makes foreign words safe where they are shown."""
    base, storage, training = card["base"], card["storage"], card["training"]
    return [
        f"- base model: {text(base['name'])} ({text(base['architecture'])}, {base['parameters']:,} parameters), "
        f"SHA-256 of its weights {base['sha256']}",
        f"- language: {text(card['language'])}",
        *(f"- {_use(speech)}: {text(_speech(speech))}" for speech in card["corpora"]),
        *(f"- synthetic speech: {text(_spoken(spoken))}" for spoken in card["synthesis"]["spoken"]),
        f"- training of each model: {training['epochs']:g} epochs, peak learning rate {training['learning_rate']:g}, "
        f"{training['batch_size']} clips a batch, seed {training['seed']}",
        f"- stored: {storage['bytes'] / 1e6:.1f} MB, {_stored(storage)}, relative error "
        f"{storage['relative_error']:.2g}; Euclidean norm {storage['norm']:.4g}",
    ]


def _use(speech: dict[str, Any]) -> str:
    return "real speech" if speech["use"] == "vector" else "real speech that chose λ and is not in the vector"


def _speech(speech: dict[str, Any]) -> str:
    return (
        f"{speech['name']}, {speech['clips']} clips, {speech['hours']:.2g} h, {_speakers(speech)}; "
        f"{', '.join(speech['domains']) or 'one domain'}"
    )


def _spoken(spoken: dict[str, Any]) -> str:
    voices = spoken["voices"]
    more = f" and {len(voices) - MOST_VOICES} more" if len(voices) > MOST_VOICES else ""
    return f"{spoken['engine']}, voices {', '.join(voices[:MOST_VOICES])}{more}"


def _speakers(part: dict[str, Any]) -> str:
    return f"{part['speakers']} speaker{'s' if part['speakers'] != 1 else ''}"


def _plain(text: str) -> str:
    """On one line, without what a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)


def _stored(storage: dict[str, Any]) -> str:
    parts = [storage["method"], storage["dtype"]]
    return " of ".join(dict.fromkeys(part for part in parts if part != "none"))


def _choice(card: dict[str, Any]) -> str:
    scale = card["lambda"]
    return wording.choice({"chosen": scale["recommended"], "chosen_by": scale["chosen_on"]})


def _gain(card: dict[str, Any]) -> list[str]:
    gain = card["gain"]
    if gain is None:
        return [NOT_MEASURED]
    return [
        f"{markdown_text(', '.join(gain['domains']))}: known by {gain['sentences']} sentences of text, in no vector; "
        f"tested on {gain['clips']} recordings of {_speakers(gain)} with the vector as it is stored.",
        "",
        "  \n".join(wording.headlines(gain["systems"])),
        "",
        *markdown_table(gain["systems"]),
        "",
        f"{wording.intervals_by(gain['systems'])}.",
    ]


def _licences(card: dict[str, Any]) -> list[str]:
    rows = [
        Row((one["what"], one["licence"] or "not stated", "yes" if one["commercial_ok"] else "no", one["why"]))
        for one in card["licences"]
    ]
    table = Table("", ("what", "licence", "commercial use", "why"), tuple(rows), left=4)
    return [*table.markdown(), "", f"{markdown_text(commercial(card))}."]
