"""The card of the merge that a study of language models chose: how safe it is, what it can do, and how it was made."""

from typing import Any

import yaml

from syn2real.reports import alignment_tables as tables
from syn2real.reports.table import markdown_text
from syn2real.reports.wording import bounds, counted, equals, model_name, on_hub, percent, signed

PAPERS = {
    "safeguard": "a model fine-tuned for a task, merged with itself before that (Safeguard, arXiv 2412.19512)",
    "mergealign": "a domain expert and an aligned model of one base, interpolated (MergeAlign, arXiv 2411.06824)",
}
SHOWN = ("model", "aligned", "tuned")  # beside the merge itself


def alignment_card(record: dict[str, Any]) -> str:
    """A README.md for the folder of the merge that `study_record` says is delivered."""
    delivered, recipe = record["delivered"], record["recipe"]
    chosen = next(system for system in record["systems"] if _same(system, delivered))
    head: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    if on_hub(recipe["model"]):
        head["base_model"] = recipe["model"]
    head["tags"] = ["merge", "syn2real", record["study"]]
    name = markdown_text(tables.name_of(chosen))
    shown = [system for system in record["systems"] if system["system"] in SHOWN or system is chosen]
    return "\n".join(
        [
            "---",
            yaml.safe_dump(head, sort_keys=False, allow_unicode=True).strip(),
            "---",
            "",
            f"# {markdown_text(record['title'] or record['study'])}",
            "",
            f"{name[0].upper()}{name[1:]}: {PAPERS[record['study']]}.",
            "",
            *_headlines(chosen),
            "",
            *tables.systems_table({**record, "systems": shown}).markdown(),
            "",
            *_one_of_several(chosen, delivered),
            *([markdown_text(record["note"]), ""] if record["note"] else []),
            "## How it was chosen",
            "",
            *_choice(record, delivered),
            "",
            "## How it was made",
            "",
            *_made(record),
            "",
            "`merge.json` has the inputs with their hashes; `syn2real merge --check` on this folder recomputes every "
            "byte of every tensor while the study's stages are there.",
            "",
        ]
    )


def _headlines(chosen: dict[str, Any]) -> list[str]:
    """What it has of each, and what that is beside the fine-tuned model."""
    names = {"attack_success": "Attack success", "over_refusal": "Over-refusal", "utility": "The task"}
    lines = [f"- {name}: {_found(chosen[key])}{_against(chosen['against_tuned'][key])}" for key, name in names.items()]
    if "gender_gap" in chosen:
        gap, beside = chosen["gender_gap"], chosen["against_tuned"]["gender_gap"]
        between = " to ".join(f"{gap[key]:.3f}" for key in ("ci_low", "ci_high"))
        change = f"{signed(beside['difference'], 3)}, p {equals(beside['p'])}, beside the fine-tuned model"
        lines.append(f"- Gender gap: **{gap['rate']:.3f}** (95 % interval {between}); {change}")
    return lines


def _found(found: dict[str, Any]) -> str:
    if found["rate"] is None:
        return "not measured"
    return f"**{percent(found['rate'])}** (95 % interval {bounds(found['ci_low'], found['ci_high'])})"


def _against(found: dict[str, Any]) -> str:
    if found["difference"] is None:
        return ""
    change, low, high = (signed(100 * found[key]) for key in ("difference", "ci_low", "ci_high"))
    return f"; {change} points ({low} to {high}, p {equals(found['p'])}) beside the fine-tuned model"


def _one_of_several(chosen: dict[str, Any], delivered: dict[str, Any]) -> list[str]:
    if len(chosen["by_seed"]) < 2:
        return []
    own = chosen["by_seed"][0]
    names = {"attack_success": "attack success", "over_refusal": "over-refusal", "utility": "task"}
    said = ", ".join(f"{name} {percent(own[key])}" for key, name in names.items() if own[key] is not None)
    return [
        f"The figures are of {len(chosen['by_seed'])} merges, one for each seed of the fine-tuning. This is that of "
        f"seed {delivered['seed']}; by itself: {said}.",
        "",
    ]


def _choice(record: dict[str, Any], delivered: dict[str, Any]) -> list[str]:
    curve = record["curves"].get(delivered["system"])
    if curve is None:
        return ["It is the only merge of the study; nothing was chosen."]
    table = tables.curves_table({**record, "curves": {delivered["system"]: curve}})
    tried = len(record["curves"])
    by = f"; of the {tried} methods' choices the same rule chose this one" if tried > 1 else ""
    return [*table.markdown(), "", f"On requests and questions that the test does not ask{by}."]


def _made(record: dict[str, Any]) -> list[str]:
    recipe, asked = record["recipe"], record["asked"]
    task = recipe["task"]
    tuning = task["tuning"]
    adapters = tuning["lora"]
    how = f"LoRA of rank {adapters['rank']}, α {adapters['alpha']:g}" if adapters else "all weights"
    epochs = f"{tuning['epochs']:g} epoch{'' if tuning['epochs'] == 1 else 's'}"
    learnt = f"{counted(asked['task_train'], 'example')}, {epochs}, {how}"
    if tuning["learning_rate"] is not None:
        learnt += f", peak learning rate {tuning['learning_rate']:g}"
    expert = recipe.get("expert")
    return [
        f"- base: {_called(recipe['model'])}",
        *([f"- aligned model: {_called(recipe['aligned'])}"] if recipe.get("aligned") else []),
        f"- expert: {_called(expert)}" if expert else f"- fine-tuning: {learnt}",
        f"- seeds: {', '.join(map(str, recipe['seeds']))}",
        f"- answers to requests: at most {recipe['safety']['max_tokens']} tokens, the likeliest; judged by "
        f"{markdown_text(recipe['safety']['judge'])}, which is not infallible",
        f"- made with {', '.join(f'{name} {number}' for name, number in record['versions'].items())}",
    ]


def _same(system: dict[str, Any], delivered: dict[str, Any]) -> bool:
    return system["system"] == delivered["system"] and system["scale"] == delivered["scale"]


def _called(model: str) -> str:
    return markdown_text(model_name(model))
