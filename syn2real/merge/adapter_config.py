"""PEFT's ``adapter_config.json``: what it says about arithmetic, and which adapters cannot be merged."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.merge.groups import layer_of

CONFIG = "adapter_config.json"

# What changes the arithmetic in a way that is not this module's, by its entry in the configuration.
_REFUSED = (
    "alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "megatron_config",
    "monteclora_config", "trainable_token_indices", "use_bdlora", "use_qalora",
)  # fmt: skip
# Initialisations that take a part out of the base model: the adapter belongs to what was left of it.
_RESIDUAL = re.compile(r"pissa|corda|olora|loftq|lora_ga", re.IGNORECASE)


@dataclass(frozen=True)
class AdapterConfig:
    """The entries that matter, checked."""

    rank: int
    alpha: float
    ranks: Mapping[str, int]  # by a regular expression that the end of a module's name must match
    alphas: Mapping[str, float]
    rank_stabilised: bool
    transposed: bool  # weights are stored (in, out), as in GPT-2's Conv1D
    dora: bool
    targets: tuple[str, ...] | str
    parameters: tuple[str, ...]  # adapted as tensors of their own, such as those that hold all experts
    excluded: tuple[str, ...] | str
    saved: tuple[str, ...]
    layers: tuple[int, ...] | None

    @classmethod
    def load(cls, file: Path) -> "AdapterConfig":
        """Read and check. Raises `UserError` for another method than LoRA, and for variants that are not supported."""
        content = _json(file)
        kind = content.get("peft_type")
        if kind != "LORA":
            raise UserError(f"{file}: an adapter of type {kind!r}; only LORA can be merged")
        for key in _REFUSED:
            if content.get(key):
                raise UserError(f"{file}: uses {key}, which is not supported; merge it with PEFT's merge_and_unload")
        start = content.get("init_lora_weights")
        if isinstance(start, str) and _RESIDUAL.search(start):
            raise UserError(
                f"{file}: began as {start}, on a changed base model; save it as plain LoRA with PEFT's "
                "path_initial_model_for_weight_conversion"
            )
        layers = content.get("layers_to_transform")
        try:
            return cls(
                rank=_rank(content["r"]),
                alpha=float(content["lora_alpha"]),
                ranks={_pattern(key): _rank(value) for key, value in (content.get("rank_pattern") or {}).items()},
                alphas={_pattern(key): float(value) for key, value in (content.get("alpha_pattern") or {}).items()},
                rank_stabilised=bool(content.get("use_rslora")),
                transposed=bool(content.get("fan_in_fan_out")),
                dora=bool(content.get("use_dora")),
                targets=_names(content.get("target_modules")),
                parameters=_parameters(content.get("target_parameters")),
                excluded=_names(content.get("exclude_modules")),
                saved=tuple(content.get("modules_to_save") or ()),
                layers=None if layers in (None, []) else tuple([layers] if isinstance(layers, int) else layers),
            )
        except (KeyError, TypeError, ValueError, AttributeError, re.error) as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise UserError(f"{file}: damaged adapter configuration: {reason}") from error

    def rank_of(self, module: str) -> int:
        """The rank that a module's update has, or a parameter's."""
        return int(_matching(self.ranks, module, [self.rank])[0])

    def scale(self, module: str, rank: int) -> float:
        """s for a module whose A has ``rank`` rows. Raises `UserError` when the configuration says another rank.

        PEFT sorts the patterns as it saves them: of several that match any may have been the first.
        """
        if rank not in _matching(self.ranks, module, [self.rank]):
            raise UserError(f"{module}: has rank {rank}, its configuration says {self.rank_of(module)}")
        alpha = _matching(self.alphas, module, [self.alpha])[0]
        return alpha / math.sqrt(rank) if self.rank_stabilised else alpha / rank

    def covers(self, module: str) -> bool:
        """Whether the configuration says that a matrix of this name is adapted, as far as a name can tell."""
        saved = any(re.match(rf"(^|.*\.){re.escape(name)}($|\..*)", module) for name in self.saved)
        if saved or self.targets == "all-linear" or (self.excluded and _listed(self.excluded, module)):
            return False
        if not _listed(self.targets, module):
            return False
        layer = layer_of(f"{module}.")
        return self.layers is None or isinstance(self.targets, str) or (layer is not None and layer[1] in self.layers)

    def covers_parameter(self, name: str) -> bool:
        """Whether the configuration says that a tensor of this name is adapted as a parameter."""
        return _listed(self.parameters, name)

    def parameters_of(self, module: str) -> list[str]:
        """The parameters of a module, by full name, that the configuration may mean; not all need be there."""
        heads = [(head, leaf) for head, _, leaf in (name.rpartition(".") for name in self.parameters)]
        return sorted({f"{module}.{leaf}" for head, leaf in heads if not head or _listed((head,), module)})


def _matching(patterns: Mapping[str, Any], module: str, default: list[Any]) -> list[Any]:
    """As PEFT: the values of all patterns that the end of the name matches, of which the first counts."""
    return [value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)] or default


def _listed(names: tuple[str, ...] | str, module: str) -> bool:
    if isinstance(names, str):
        return re.fullmatch(names, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in names)


def _names(value: Any) -> tuple[str, ...] | str:
    if isinstance(value, str):
        return value if value == "all-linear" else _pattern(value)
    return tuple(str(item) for item in value or ())


def _parameters(value: Any) -> tuple[str, ...]:
    if value is not None and not isinstance(value, list):
        raise ValueError("target_parameters is not a list")
    return tuple(str(item) for item in value or ())


def _rank(value: Any) -> int:
    if int(value) < 1:
        raise ValueError(f"a rank of {value}")
    return int(value)


def _pattern(text: str) -> str:
    re.compile(text)
    return text


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: not a JSON object")
    return content
