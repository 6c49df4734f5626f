"""`report.html`: one self-contained page with the tables, the curve, the worst utterances to hear, and the licences."""

from base64 import b64encode
from pathlib import Path
from typing import Any

from syn2real.reports import wording
from syn2real.speech.normalisation import normaliser
from syn2real.speech.scoring import alignment

WORST = 12  # utterances shown
MEDIA = {".flac": "audio/flac", ".wav": "audio/wav", ".ogg": "audio/ogg"}


def render_page(record: dict[str, Any], curve: bytes) -> str:
    """The report of a study as HTML. Everything it shows is inside it; every text from outside is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("syn2real.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    template = environment.get_template("study.html")
    return template.render(
        record=record,
        wording=wording,
        curve=b64encode(curve).decode(),
        worst=[_example(row, record) for row in worst_utterances(record["utterances"])],
    )


def worst_utterances(utterances: list[dict[str, Any]], count: int = WORST) -> list[dict[str, Any]]:
    """The utterances with the most errors left after SYN2REAL, then by what they lost against target-synthetic."""
    wrong = [row for row in utterances if row["errors"]["syn2real"]]
    return sorted(wrong, key=lambda row: (-row["errors"]["syn2real"], row["errors"]["target-synthetic"]))[:count]


def _example(row: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    path = Path(row["audio"])
    sound = None
    if path.is_file() and path.suffix in MEDIA:
        sound = f"data:{MEDIA[path.suffix]};base64,{b64encode(path.read_bytes()).decode()}"
    clean = normaliser(record["recipe"]["evaluation"]["normaliser"])
    systems = [
        {"label": wording.NAMES[name], "edits": alignment(clean(row["reference"]), clean(row[name]))}
        for name in ("target-synthetic", "syn2real")
    ]
    return {"id": row["id"], "reference": row["reference"], "sound": sound, "systems": systems}
