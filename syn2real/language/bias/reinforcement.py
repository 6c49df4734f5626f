"""Reinforcement learning of a generator through TRL, resumable to the byte: GRPO, RLOO, and PPO with a value head."""

import gc
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args

import torch

from syn2real.errors import UserError, did_you_mean
from syn2real.hashing import remembered_sha256, seed_from, sha256_json
from syn2real.language.bias.generator import ASKED, seed_examples
from syn2real.language.bias.proximal import KeepValues, Proximal, add_value_head
from syn2real.language.bias.reward import RECORD, Reward, learning_curve
from syn2real.language.tuning.head import lighten_head
from syn2real.language.tuning.network import load_network, load_tokenizer, save_network, space_for
from syn2real.language.tuning.quiet import quiet_libraries
from syn2real.language.tuning.rendering import IGNORED, chat_rows
from syn2real.language.tuning.settings import TuningSettings
from syn2real.language.tuning.trainers import Discreet
from syn2real.lora import LoraSettings
from syn2real.sealing import discard, require_space, write_json
from syn2real.training_state import (
    CHECKPOINTS,
    Marks,
    Progress,
    chosen_precision,
    keep_only,
    last_checkpoint,
    resumable,
    train,
)

Method = Literal["grpo", "rloo", "ppo"]


@dataclass(frozen=True)
class ReinforcementSettings:
    """How a generator is rewarded. Raises `UserError` for a value that is out of bounds."""

    method: Method = "grpo"
    steps: int = 60  # times that sentences are written and paid
    batch_size: int = 32  # sentences of a step
    inner_epochs: int = 1  # updates from the sentences of a step
    learning_rate: float = 2e-4
    kl: float = 0.02  # κ: how dear it is to leave the generator one started from
    lm_mix: float = 0.1  # β: share of the seeds' language-model loss in the loss
    lm_batch: int = 8  # seeds of an update
    clip: float = 0.2  # ε
    value_weight: float = 0.5  # of the value head's loss; ppo
    max_tokens: int = 30
    temperature: float = 1.0
    lora: LoraSettings | None = field(default_factory=lambda: LoraSettings(16, 32))
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    checkpoint_steps: int = 10
    seed: int = 42

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise UserError(f"method {self.method!r}: unknown{did_you_mean(str(self.method), get_args(Method))}")
        for name in ("steps", "inner_epochs", "learning_rate", "max_tokens", "checkpoint_steps", "lm_batch"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} must be above 0, not {getattr(self, name):g}")
        if self.batch_size < 2:
            raise UserError(
                f"batch_size must be 2 or more, for sentences are paid beside each other: {self.batch_size}"
            )
        if not 0 <= self.lm_mix < 1 or self.kl < 0 or not 0 < self.clip < 1 or not 0 < self.temperature <= 5:
            raise UserError("lm_mix is from 0 to below 1, kl 0 or more, clip within 0 and 1, temperature above 0")


def reinforce(
    generator: Path,
    reward: Reward,
    seeds: Sequence[str],
    output: Path,
    settings: ReinforcementSettings,
    *,
    paid_by: str,
    title: str = "reinforcing",
) -> None:
    """Reinforce the generator in ``generator`` into ``output``, a Hugging Face directory that the caller seals.

    ``reward`` pays, its account in ``output`` as well; ``paid_by`` tells it from another. When ``output`` holds the
    checkpoints of a killed run, it goes on from the last complete one and ends in the same bytes. ``seeds`` are what
    the language-model loss is mixed in of. `RECORD` has the settings and the learning curve.
    """
    with quiet_libraries():
        tokenizer = load_tokenizer(generator)
        identity = {
            "model": {path.name: remembered_sha256(path) for path in sorted(generator.glob("*.safetensors"))},
            "seeds": sha256_json(list(seeds)),
            "settings": asdict(settings),
            "paid_by": paid_by,
        }
        network = load_network(generator, TuningSettings(lora=settings.lora, seed=settings.seed))
        require_space(output, space_for(network))
        keep_only(output / CHECKPOINTS, identity)
        checkpoint = last_checkpoint(output / CHECKPOINTS)
        reward.resume(int(checkpoint.name.rsplit("-", 1)[1]) if checkpoint else 0)
        progress = Progress(title)
        rows = chat_rows(tokenizer, seed_examples(seeds), 128).columns if settings.lm_mix else None
        trainer = _trainer(network, tokenizer, reward, rows, output / CHECKPOINTS, settings)
        if settings.method == "ppo":
            values = KeepValues(network.value_head)
            values.take_up(checkpoint)
            trainer.add_callback(values)
        for callback in (Marks(), progress):
            trainer.add_callback(callback)
        train(trainer, checkpoint, progress)
        if hasattr(network, "value_head"):
            del network.value_head
        save_network(network, generator, output, torch.float32)
        reward.close()
        record = {"settings": asdict(settings), "paid_by": paid_by, "curve": learning_curve(reward.paid)}
        write_json(output / RECORD, record)
        discard(output / CHECKPOINTS)
        del trainer, network
        gc.collect()


def _trainer(
    network: Any,
    tokenizer: Any,
    reward: Reward,
    rows: dict[str, list[Any]] | None,
    directory: Path,
    settings: ReinforcementSettings,
) -> Any:
    from datasets import Dataset

    def paid(prompts: Any, completions: Any, trainer_state: Any, **_: Any) -> list[float]:
        texts = [" ".join(turns[0]["content"].split()) for turns in completions]
        trainer.last_paid = reward(texts, trainer_state.global_step)
        return list(trainer.last_paid)

    config, trainer_class = _classes(settings)
    precision = chosen_precision(settings.precision)
    arguments = resumable(
        directory,
        checkpoint_steps=settings.checkpoint_steps * settings.inner_epochs,
        seed=settings.seed,
        evaluated=False,
    )
    asked = [{"role": "user", "content": ASKED}]
    if settings.method == "ppo":
        add_value_head(network)
    trainer = trainer_class(
        model=network,
        reward_funcs=paid,
        args=config(
            **arguments,
            max_steps=settings.steps * settings.inner_epochs,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=min(5, settings.steps),
            per_device_train_batch_size=settings.batch_size,
            num_generations=settings.batch_size,
            num_iterations=settings.inner_epochs,
            max_completion_length=settings.max_tokens,
            temperature=settings.temperature,
            beta=settings.kl,
            epsilon=settings.clip,
            bf16=precision == "bf16",
            fp16=precision == "fp16",
        ),
        train_dataset=Dataset.from_dict({"prompt": [asked] * settings.batch_size}),
        processing_class=tokenizer,
    )
    trainer.seed_rows, trainer.mixing = rows, settings
    plain = network.get_base_model() if settings.lora is not None else network
    if not torch.cuda.is_available():
        lighten_head(plain)
    if settings.method == "ppo":
        trainer.value_weight = settings.value_weight
        trainer.watch(plain, network.value_head)
    return trainer


def _classes(settings: ReinforcementSettings) -> tuple[Any, Any]:
    """The method's configuration and trainer."""
    if settings.method == "rloo":
        from trl import RLOOConfig, RLOOTrainer

        return RLOOConfig, type("RLOOTrainer", (_Mixed, RLOOTrainer), {})
    from trl import GRPOConfig, GRPOTrainer

    bases = (_Mixed, Proximal, GRPOTrainer) if settings.method == "ppo" else (_Mixed, GRPOTrainer)
    return GRPOConfig, type("GRPOTrainer", bases, {})


class _Mixed(Discreet):
    """The seeds' language-model loss beside the reward's, put before each of TRL's trainers."""

    seed_rows: dict[str, list[Any]] | None
    mixing: ReinforcementSettings

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        loss = super()._compute_loss(model, inputs)  # type: ignore[misc]
        share = self.mixing.lm_mix
        return loss if self.seed_rows is None else (1 - share) * loss + share * self._seeds_loss(model)

    def _seeds_loss(self, model: Any) -> Any:
        """Of a few seeds, drawn by the step."""
        rows = self.seed_rows
        assert rows is not None
        random = Random(seed_from(self.mixing.seed, "seeds", self.state.global_step))  # type: ignore[attr-defined]
        chosen = random.sample(range(len(rows["labels"])), min(self.mixing.lm_batch, len(rows["labels"])))
        longest = max(len(rows["input_ids"][place]) for place in chosen)

        def padded(name: str, value: int) -> torch.Tensor:
            filled = [rows[name][place] + [value] * (longest - len(rows[name][place])) for place in chosen]
            return torch.tensor(filled, device=model.device)

        labels = padded("labels", IGNORED)
        mask = torch.tensor([[1] * len(rows["labels"][p]) + [0] * (longest - len(rows["labels"][p])) for p in chosen])
        with self.accelerator.autocast():  # type: ignore[attr-defined]
            found = model(
                input_ids=padded("input_ids", 0),
                attention_mask=mask.to(model.device),
                labels=labels,
                fused_lm_head=True,
            )
        return found.loss
