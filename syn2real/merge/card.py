"""The model card of a merge: what it was made of, by which recipe, and how to confirm it."""

from collections.abc import Mapping
from typing import Any

import yaml


def card(record: Mapping[str, Any]) -> str:
    """Markdown from what ``merge.json`` holds."""
    head = {
        "base_model": [entry["name"] for entry in record["inputs"]],
        "tags": ["merge", "syn2real"],
    }
    recipe = record["recipe"]
    how = f"`{recipe['expression']}`" if "expression" in recipe else f"method `{recipe['method']}`"
    rows = [f"| {entry['name']} | `{entry['path']}` | `{entry['sha256']}` |" for entry in record["inputs"]]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return "\n".join(
        [
            "---",
            yaml.safe_dump(head, sort_keys=False, allow_unicode=True).strip(),
            "---",
            "# A merged model",
            "",
            f"Merged by {how} from {len(rows)} inputs; names, configuration and tokenizer are those of "
            f"{record['anchor']}. {record['tensors']} tensors, {record['parameters']} parameters.",
            "",
            "| input | place, from here | SHA-256 |",
            "|---|---|---|",
            *rows,
            "",
            "```yaml",
            yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True).strip(),
            "```",
            "",
            f"Made with {versions}. `syn2real merge --check DIRECTORY` recomputes it and compares every byte of every "
            "tensor.",
            "",
        ]
    )
