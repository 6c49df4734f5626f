"""Tuning a chat model through TRL: by examples or by preferences, all weights or adapters, resumable to the byte."""

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from syn2real.errors import UserError
from syn2real.hashing import remembered_sha256
from syn2real.language.tuning.examples import ChatExample, Example, Preference, fingerprint
from syn2real.language.tuning.network import load_network, load_tokenizer, save_network, space_for
from syn2real.language.tuning.quiet import quiet_libraries
from syn2real.language.tuning.rendering import Rows, chat_rows, preference_rows
from syn2real.language.tuning.settings import DEFAULTS, PREFERENCE, TuningSettings
from syn2real.language.tuning.trainers import make_trainer
from syn2real.merge.sidecars import sidecars
from syn2real.progress import say
from syn2real.sealing import discard, require_space, write_json
from syn2real.training_state import CHECKPOINTS, Progress, keep_only, last_checkpoint, train

WEIGHTS = ("*.safetensors", "*.bin")
# Of each logged step: how trl and transformers call it, and what training.json says.
LOGGED = {
    "loss": "loss",
    "eval_loss": "eval_loss",
    "learning_rate": "learning_rate",
    "rewards/accuracies": "preferred",  # share of the pairs of which the chosen reply is the likelier
    "eval_rewards/accuracies": "eval_preferred",
}


def tune(
    model: Path,
    examples: Sequence[Example],
    output: Path,
    settings: TuningSettings = DEFAULTS,
    *,
    dev: Sequence[Example] | None = None,
    title: str = "tuning",
) -> None:
    """Tune the chat model in ``model`` on ``examples`` into ``output``, a Hugging Face directory.

    ``output`` is a directory the caller seals (a stage's, or `sealing.sealed_directory` with ``resume=True``); when it
    holds the checkpoints of an earlier, killed run, tuning goes on from the last complete one and ends in the same
    bytes. With ``dev`` the model of the lowest dev loss is kept and tuning stops early. With adapters the model is
    written with these merged in, and they lie beside it in ``adapter/``. Its ``training.json`` has the settings, the
    counts of examples and tokens, and the losses.

    Raises `UserError` for examples of another kind than the method's or that the chat template refuses, for a model
    that is none or has no chat template, and for a full disk.
    """
    _require_kind(examples, settings, "examples")
    if dev is not None:
        _require_kind(dev, settings, "dev examples")
    with quiet_libraries():
        _tune(model, examples, output, settings, dev, title)


def _tune(
    model: Path,
    examples: Sequence[Example],
    output: Path,
    settings: TuningSettings,
    dev: Sequence[Example] | None,
    title: str,
) -> None:
    tokenizer = load_tokenizer(model)
    rows = _rows(tokenizer, examples, settings, "examples")
    dev_rows = _rows(tokenizer, dev, settings, "dev examples") if dev is not None else None
    base = {path.name: remembered_sha256(path) for path in _files(model)}
    identity = {
        "model": base,
        "examples": fingerprint(examples),
        "dev": fingerprint(dev) if dev is not None else None,
        "settings": settings.record(),
    }
    progress = Progress(title)
    network = load_network(model, settings)
    require_space(output, space_for(network))
    keep_only(output / CHECKPOINTS, identity)
    trainer = make_trainer(network, tokenizer, rows, dev_rows, output / CHECKPOINTS, settings, progress)
    train(trainer, last_checkpoint(output / CHECKPOINTS), progress)
    save_network(network, model, output, getattr(torch, settings.dtype))
    record = {
        "settings": settings.record(),
        "base": base,
        "examples": len(rows),
        "tokens": sum(rows.lengths),
        "learnt_tokens": rows.learnt,
        "truncated": rows.truncated,
        "dropped": rows.dropped,
        "steps": trainer.state.global_step,
        "log": _log(trainer.state.log_history),
    }
    write_json(output / "training.json", record)
    discard(output / CHECKPOINTS)
    # A trainer refers to itself, and holds the model with its gradients and moments until the collector comes by, which
    # counts objects and not bytes.
    del trainer, network
    gc.collect()


def _require_kind(examples: Sequence[Example], settings: TuningSettings, what: str) -> None:
    if not examples:
        raise UserError(f"nothing to tune on: there are no {what}")
    wanted = Preference if settings.method in PREFERENCE else ChatExample
    if not all(isinstance(example, wanted) for example in examples):
        kind = "preferences (chosen, rejected)" if wanted is Preference else "replies, not preferences"
        raise UserError(f"{settings.method} learns from {kind}; give other {what} or another method")


def _rows(tokenizer: Any, examples: Sequence[Example], settings: TuningSettings, what: str) -> Rows:
    if settings.method in PREFERENCE:
        rows = preference_rows(tokenizer, examples, settings.cut_off, rendered=settings.method == "orpo")
    else:
        rows = chat_rows(tokenizer, examples, settings.cut_off)
    if not len(rows):
        raise UserError(f"nothing is left of the {what} after {settings.cut_off} tokens; raise the cut-off")
    if rows.truncated or rows.dropped:
        lost = f", and {rows.dropped} without a reply dropped" if rows.dropped else ""
        say(f"{rows.truncated} of {len(examples)} {what} cut after {settings.cut_off} tokens{lost}")
    return rows


def _files(model: Path) -> list[Path]:
    """What a tuned model depends on: weights, configuration, tokenizer, template."""
    weights = next((found for pattern in WEIGHTS if (found := sorted(model.glob(pattern)))), None)
    if weights is None:
        raise UserError(f"{model}: holds no weights")
    return [*weights, *sidecars(model)]


def _log(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = (row for row in history if "loss" in row or "eval_loss" in row)
    return [{"step": row["step"]} | {ours: row[name] for name, ours in LOGGED.items() if name in row} for row in rows]
