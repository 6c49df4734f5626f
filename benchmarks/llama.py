"""The tensors and configuration of a Llama of any size: random models for benchmarks and parity tests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Llama:
    """Sizes as in ``config.json``; ``tied`` models have no head of their own."""

    hidden: int
    inner: int
    layers: int
    vocabulary: int
    head: int
    groups: int  # heads of keys and values
    tied: bool = False

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's shape, by name."""
        keys = self.groups * self.head
        found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocabulary, self.hidden)}
        for i in range(self.layers):
            layer = f"model.layers.{i}."
            for part, rows in {"q_proj": self.hidden, "k_proj": keys, "v_proj": keys, "o_proj": self.hidden}.items():
                found[f"{layer}self_attn.{part}.weight"] = (rows, self.hidden)
            for part in ("gate_proj", "up_proj"):
                found[f"{layer}mlp.{part}.weight"] = (self.inner, self.hidden)
            found[f"{layer}mlp.down_proj.weight"] = (self.hidden, self.inner)
            for part in ("input_layernorm", "post_attention_layernorm"):
                found[f"{layer}{part}.weight"] = (self.hidden,)
        found["model.norm.weight"] = (self.hidden,)
        return found if self.tied else found | {"lm_head.weight": (self.vocabulary, self.hidden)}

    def config(self, **others: Any) -> Mapping[str, Any]:
        """``config.json``; ``others`` are entries to add or replace."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.hidden,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.hidden // self.head,
            "num_key_value_heads": self.groups,
            "head_dim": self.head,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "max_position_embeddings": 64,
            "vocab_size": self.vocabulary,
            "tie_word_embeddings": self.tied,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "dtype": "float32",
        } | others
