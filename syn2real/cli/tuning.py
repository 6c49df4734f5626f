"""`tune` and `chat`: a chat model learns from examples or preferences, and is talked to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syn2real.cli.output import Json, Overwrite, print_json
from syn2real.cli.training import GradientCheckpointing, LoraAlpha, LoraRank, LoraTarget, lora_of, print_ending
from syn2real.errors import UserError
from syn2real.language.tuning.settings import DEFAULTS

if TYPE_CHECKING:
    from syn2real.language.chat import ChatModel, Message, Sampling

ChatModelName = Annotated[
    str, typer.Option("--model", "-m", help="A model directory, a packaged name (smollm2-135m) or a hub id (org/name).")
]
LEAVE = ("/quit", "/exit")
AFRESH = "/new"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("tune")(tune)
    app.command("chat")(chat)


def tune(
    data: Annotated[Path, typer.Argument(help="Examples as JSONL or JSON; see docs/tuning.md for their forms.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the tuned model goes.")],
    model: ChatModelName = "smollm2-135m",
    method: Annotated[
        str, typer.Option(help="sft: learn replies. dpo, orpo: learn which of two replies is better.")
    ] = DEFAULTS.method,
    dev: Annotated[Path | None, typer.Option(help="Examples that stop tuning early and pick the model.")] = None,
    epochs: Annotated[float, typer.Option(help="Passes over the examples.")] = DEFAULTS.epochs,
    learning_rate: Annotated[
        float | None, typer.Option(help="At its peak; by default the method's: for sft 2e-5, with LoRA 1e-4.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples computed at once.")] = DEFAULTS.batch_size,
    accumulation: Annotated[int, typer.Option(min=1, help="Batches of a step.")] = DEFAULTS.accumulation,
    schedule: Annotated[
        str, typer.Option(help="Of the learning rate after its warm-up: cosine, linear, constant.")
    ] = DEFAULTS.schedule,
    warmup: Annotated[float, typer.Option(help="Share of the steps.")] = DEFAULTS.warmup,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = DEFAULTS.weight_decay,
    dropout: Annotated[
        float, typer.Option(help="Of the attention's weights; with LoRA, of what the adapters hear.")
    ] = DEFAULTS.dropout,
    cut_off: Annotated[int, typer.Option(help="Tokens of an example; later ones are cut off.")] = DEFAULTS.cut_off,
    packing: Annotated[bool, typer.Option("--packing", help="Lay short examples end to end.")] = False,
    beta: Annotated[float, typer.Option(help="dpo: how dear it is to leave the model.")] = DEFAULTS.beta,
    lora_rank: LoraRank = None,
    lora_alpha: LoraAlpha = None,
    lora_target: LoraTarget = None,
    precision: Annotated[str, typer.Option(help="Of matrix products: auto, fp32, bf16, fp16.")] = DEFAULTS.precision,
    dtype: Annotated[str, typer.Option(help="Of the saved weights: float32, float16, bfloat16.")] = DEFAULTS.dtype,
    gradient_checkpointing: GradientCheckpointing = False,
    checkpoint_steps: Annotated[
        int, typer.Option(min=1, help="Steps between checkpoints, at most lost by a kill.")
    ] = DEFAULTS.checkpoint_steps,
    seed: Annotated[int, typer.Option(help="Order of the examples, and all else that is drawn.")] = DEFAULTS.seed,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Tune a chat model. The same command goes on after an interruption, and ends in the same bytes.

    The result is a plain Hugging Face directory. With --lora-rank it is written
    with its adapters merged in, and the adapters beside it in adapter/.

    [bold]Examples[/bold]

      syn2real tune chats.jsonl --lora-rank 8 --epochs 3 --learning-rate 1e-4 --seed 42 -o tuned
      syn2real tune alpaca.json --model my/aligned-model --dev dev.json --weight-decay 0.3 -o tuned
      syn2real tune preferences.jsonl --method dpo --beta 0.1 --lora-rank 8 -o preferred
      syn2real tune preferences.jsonl --method orpo -o preferred
    """
    import json

    from syn2real.cli.startup import importing
    from syn2real.language.chat.weights import resolve_chat_model
    from syn2real.language.tuning import TuningSettings, read_examples
    from syn2real.sealing import sealed_directory

    settings = TuningSettings(
        method=method,  # type: ignore[arg-type]
        lora=lora_of(lora_rank, lora_alpha, lora_target),
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        accumulation=accumulation,
        schedule=schedule,  # type: ignore[arg-type]
        warmup=warmup,
        weight_decay=weight_decay,
        dropout=dropout,
        cut_off=cut_off,
        precision=precision,  # type: ignore[arg-type]
        dtype=dtype,  # type: ignore[arg-type]
        checkpoint_steps=checkpoint_steps,
        seed=seed,
        beta=beta,
        packing=packing,
        gradient_checkpointing=gradient_checkpointing,
    )
    examples = read_examples(data)
    dev_examples = read_examples(dev) if dev else None
    base = resolve_chat_model(model)
    with importing():
        from syn2real.language.tuning.tuning import tune as run
    with sealed_directory(output, resume=True, overwrite=overwrite) as partial:
        run(base, examples, partial, settings, dev=dev_examples)
    record = json.loads((output / "training.json").read_text(encoding="utf-8"))
    if as_json:
        print_json({"model": str(output), **record})
    else:
        print_ending(output, record, "examples")


def chat(
    model: Annotated[str, typer.Argument(help="A model directory, smollm2-135m, a hub id, or server:NAME.")],
    message: Annotated[str | None, typer.Option(help="Say this, print the reply, and leave.")] = None,
    system: Annotated[str | None, typer.Option(help="A system message, said before all else.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a reply at most.")] = 256,
    temperature: Annotated[float, typer.Option(help="0: always the likeliest word.")] = 0.0,
    seed: Annotated[int, typer.Option(help="What is drawn at a temperature above 0.")] = 0,
    url: Annotated[str | None, typer.Option(help="Address of the server, for server:NAME.")] = None,
    as_json: Json = False,
) -> None:
    """Talk to a chat model: a quick look at one that was tuned or merged.

    On a terminal it goes on until /quit or Ctrl-D; /new begins afresh.

    [bold]Examples[/bold]

      syn2real chat tuned
      syn2real chat smollm2-135m --message "What is the capital of France?" --max-tokens 20
      syn2real chat merged --system "You are a pirate." --temperature 0.7
    """
    import sys

    from syn2real.cli.startup import importing
    from syn2real.language.chat import Message, Sampling, chat_model

    sampling = Sampling(temperature, max_tokens=max_tokens)
    if message is None and (as_json or not sys.stdin.isatty()):
        raise UserError("there is no terminal to talk on; say what with --message")
    if message is not None and "\udc80" <= max(message, default="") <= "\udcff":
        raise UserError("--message is not UTF-8")
    if message is not None and not message.strip():
        raise UserError("--message is empty; there is nothing to reply to")
    with importing():
        speaker = chat_model(model, url=url)
    before = [Message("system", system)] if system else []
    if message is None:
        _converse(speaker, before, sampling, seed)
        return
    turns = [*before, Message("user", message)]
    if as_json:
        (reply,) = speaker.replies([speaker.fitted(turns, sampling)], sampling, [seed])
        print_json({"model": speaker.name, "message": message, "reply": reply})
    else:
        _speak(speaker, turns, sampling, seed)


def _converse(speaker: "ChatModel", before: "list[Message]", sampling: "Sampling", seed: int) -> None:
    """Reply to each line of the terminal until one says to leave."""
    from syn2real.language.chat import Message

    turns = list(before)
    while True:
        try:
            said = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            typer.echo()
            return
        if said in LEAVE:
            return
        if said == AFRESH:
            turns = list(before)
        elif said:
            turns.append(Message("user", said))
            reply = _speak(speaker, turns, sampling, seed + len(turns))
            turns.append(Message("assistant", reply))


def _speak(speaker: "ChatModel", turns: "list[Message]", sampling: "Sampling", seed: int) -> str:
    """Print the reply, a model's of this machine word by word, and return it."""
    from syn2real.language.chat.local import LocalModel

    fitted = speaker.fitted(turns, sampling)
    if isinstance(speaker, LocalModel):
        reply = speaker.spoken(fitted, sampling, seed, lambda words: typer.echo(words, nl=False))
        typer.echo()
    else:
        (reply,) = speaker.replies([fitted], sampling, [seed])
        typer.echo(reply)
    return reply
