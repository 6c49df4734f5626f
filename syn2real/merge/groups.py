"""Where in a model a tensor belongs, from its name alone: its layer, and groups such as ``encoder``."""

import re
from collections.abc import Iterable

# A tensor is in every group whose pattern its dotted name matches.
_PATTERNS = {
    "encoder": r"(^|\.)encoder\.|_encoder\.",
    "decoder": r"(^|\.)decoder\.",
    "embeddings": r"embed|(^|\.)(wte|wpe|shared)\.|(^|\.)positions?\.",
    "attention": r"attn|attention|(^|\.)(q|k|v|o|q_proj|k_proj|v_proj|o_proj|qkv|out_proj)\.",
    "cross_attention": r"encoder_attn|cross_?attn|cross_?attention|EncDecAttention",
    "mlp": r"mlp|ffn|feed_?forward|DenseRelu|(^|\.)(fc\d|c_fc|w[io](_\d)?|intermediate|experts?|(gate|up|down)_proj)\.",
    "experts": r"(^|\.)experts?\.",
    "router": r"router|(^|\.)gate\.",
    "norm": r"norm|(^|\.)ln_|(^|\.)ln\d?\.|LayerNorm",
    "conv": r"conv",
    "head": r"(^|\.)(lm_head|proj_out|classifier|score|output)\.(weight|bias)$",
    "bias": r"(^|\.)bias$",
}
GROUPS = {name: re.compile(pattern) for name, pattern in _PATTERNS.items()}
_LAYER = re.compile(r"(?P<stack>(?:[^.]+\.)*?)(?P<index>\d+)(?=\.)")


def groups_of(name: str) -> tuple[str, ...]:
    """Every group a tensor belongs to; one outside of all is in ``other``.

    >>> groups_of("model.encoder.layers.0.self_attn.q_proj.weight")
    ('encoder', 'attention')
    >>> groups_of("model.decoder.layers.3.encoder_attn.k_proj.bias")
    ('decoder', 'attention', 'cross_attention', 'bias')
    """
    return tuple(group for group, pattern in GROUPS.items() if pattern.search(name)) or ("other",)


def layer_of(name: str) -> tuple[str, int] | None:
    """The stack of layers that a tensor lies in and its place there; None outside of layers.

    >>> layer_of("model.decoder.layers.11.fc1.weight")
    ('model.decoder.layers.', 11)
    """
    found = _LAYER.match(name)
    return (found["stack"], int(found["index"])) if found else None


def layers_in(names: Iterable[str]) -> list[str]:
    """What the names of each layer's tensors begin with, stack by stack.

    >>> layers_in(["encoder.layers.10.fc1.bias", "encoder.layers.2.fc1.bias", "encoder.layers.2.fc2.bias", "norm.bias"])
    ['encoder.layers.2.', 'encoder.layers.10.']
    """
    found = filter(None, map(layer_of, names))
    return [f"{stack}{index}." for stack, index in sorted(set(found))]


def positions(names: Iterable[str]) -> dict[str, float]:
    """How deep each tensor lies in its stack of layers: 0 for the first layer, 1 for the last.

    Outside of layers: 0 for what stands before them (embeddings and convolutions), 1 for the rest (norms and heads). In
    a model with several stacks, such as an encoder and a decoder, each goes from 0 to 1.
    """
    names = list(names)
    layers = {name: layer_of(name) for name in names}
    depth: dict[str, int] = {}
    for layer in layers.values():
        if layer:
            depth[layer[0]] = max(depth.get(layer[0], 0), layer[1])
    stacks = [stack for stack, last in depth.items() if last > 0 and "experts." not in stack]
    found = {}
    for name, layer in layers.items():
        if layer and layer[0] in stacks:
            found[name] = layer[1] / depth[layer[0]]
        else:
            before = GROUPS["embeddings"].search(name) or GROUPS["conv"].search(name)
            found[name] = 0.0 if before else 1.0
    return found
