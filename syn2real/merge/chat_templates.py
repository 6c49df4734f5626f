"""Chat templates: which one a merged model gets, and where it is kept."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, did_you_mean
from syn2real.lines import read_utf8

FILE, SETTINGS, KEY = "chat_template.jinja", "tokenizer_config.json", "chat_template"
AUTO = "auto"
NAMED = {
    # The turns of OpenAI's ChatML, which most open models speak.
    "chatml": (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
}


def template_of(directory: Path) -> str | None:
    """The chat template in a model directory: its own file's, or its tokenizer's default one; None without any.

    Raises `UserError` for settings of a tokenizer that cannot be read.
    """
    if (directory / FILE).is_file():
        return read_utf8(directory / FILE)
    found = _settings(directory).get(KEY)
    if isinstance(found, list):  # several, by name
        found = next(
            (each.get("template") for each in found if isinstance(each, dict) and each.get("name") == "default"), None
        )
    return found if isinstance(found, str) else None


def chosen_template(wanted: str, directories: Sequence[Path]) -> str:
    """The template that ``wanted`` says: Jinja, a name of `NAMED`, or ``auto``, the one that most of the models in
    ``directories`` have, of equally many the first's. Raises `UserError` for another word, and where no model has one.
    """
    if "{{" in wanted or "{%" in wanted:
        return wanted
    if wanted in NAMED:
        return NAMED[wanted]
    if wanted != AUTO:
        raise UserError(
            f"chat_template: {wanted!r} is neither Jinja nor one of {', '.join((AUTO, *NAMED))}"
            f"{did_you_mean(wanted, (AUTO, *NAMED))}"
        )
    found = [text for text in map(template_of, directories) if text is not None]
    if not found:
        raise UserError(
            "chat_template: auto takes what most models have, and none has one; write it out, or leave it out"
        )
    counts = Counter(text.strip() for text in found)
    return max(found, key=lambda text: counts[text.strip()])


def forget_other(directory: Path) -> None:
    """Take the template out of a tokenizer's settings, so that the file beside them holds the only one."""
    settings = _settings(directory)
    if settings.pop(KEY, None) is not None:
        text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
        (directory / SETTINGS).write_text(text, encoding="utf-8")


def _settings(directory: Path) -> dict[str, Any]:
    file = directory / SETTINGS
    if not file.is_file():
        return {}
    try:
        found = json.loads(read_utf8(file))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid JSON ({error})") from error
    return found if isinstance(found, dict) else {}
