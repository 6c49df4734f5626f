"""Which tensors make each tensor of the result: of whole models, name by name, or of slices of their layers."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syn2real.errors import UserError
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.groups import layer_of, positions
from syn2real.merge.method import Method
from syn2real.merge.recipe import MergeRecipe, ModelEntry, Slice, SliceSource
from syn2real.merge.tensors import TensorInfo

# Entries of config.json that count layers; in an encoder-decoder model each side has its own.
_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


@dataclass(frozen=True)
class Place:
    """A tensor of a checkpoint."""

    checkpoint: Checkpoint
    name: str


@dataclass(frozen=True)
class Target:
    """A tensor of the result: what it is made of, and how deep it lies (see `groups.positions`).

    ``own`` holds each model's own parameters, ``parameters`` what a slice says besides the recipe. ``info`` is that of
    the anchor's tensor in its place.
    """

    name: str
    models: tuple[Place, ...]
    base: Place | None
    own: tuple[Mapping[str, Any], ...]
    parameters: Mapping[str, Any]
    depth: float
    info: TensorInfo

    @property
    def first(self) -> Place:
        """What tensors of integers are taken from."""
        return self.base or self.models[0]


def whole(recipe: MergeRecipe, method: Method, models: Mapping[str, Checkpoint], anchor: Checkpoint) -> list[Target]:
    """Every name of the anchor, from the same name of each model. Raises `UserError` for too few or too many."""
    assert isinstance(recipe.models, list)
    base = models[recipe.base] if recipe.base else None
    entries = [(models[entry.model], entry) for entry in recipe.models]
    if base is not None and method.base == "first" and all(model is not base for model, _ in entries):
        entries = [(base, ModelEntry(model=recipe.base or "")), *entries]
    depth = positions(anchor)
    return [
        _target(method, base, name, [(Place(model, name), entry) for model, entry in entries], {}, depth[name], info)
        for name, info in anchor.infos.items()
    ]


def sliced(
    recipe: MergeRecipe, method: Method, models: Mapping[str, Checkpoint], anchor: Checkpoint
) -> tuple[list[Target], dict[str, Any]]:
    """Layers counted anew over all slices; what stands before them, and all that belongs to another stack, comes from
    the first slice's models, the rest from the last's. Also returns the entries of config.json that change. Raises
    `UserError` for layers that are not there.
    """
    assert recipe.slices
    stack = _stack(recipe, anchor)
    depth = positions(anchor)
    outside = [name for name in anchor if (layer_of(name) or ("", 0))[0] != stack]
    elsewhere = _elsewhere(anchor, stack)
    before = [name for name in outside if depth[name] == 0.0 or name in elsewhere]
    after = [name for name in outside if depth[name] != 0.0 and name not in elsewhere]

    def target(part: Slice, name: str, like: str, source_name: Callable[[SliceSource], str], at: float) -> Target:
        pairs = [(Place(models[source.model], source_name(source)), source) for source in part.sources]
        for place, source in pairs:
            if place.name not in place.checkpoint:
                raise UserError(f"{source.model}: no tensor {place.name}; check layer_range {source.layer_range}")
        based = part.base or recipe.base
        base = models[based] if based else None
        return _target(method, base, name, pairs, part.parameters, at, anchor[like])

    first, last = recipe.slices[0], recipe.slices[-1]
    targets = [target(first, n, n, lambda _, n=n: n, depth[n]) for n in before]  # type: ignore[misc]
    origins: list[list[tuple[Checkpoint, int]]] = []  # of each layer of the result
    for part in recipe.slices:
        count = part.sources[0].layer_range[1] - part.sources[0].layer_range[0]
        for i in range(count):
            origin = [(models[source.model], source.layer_range[0] + i) for source in part.sources]
            leaves = _leaves(origin[0][0], stack, origin[0][1])
            like = min(len(origins), _count(anchor, stack) - 1)
            _require_leaves(anchor, f"{stack}{like}.", len(origins), leaves)
            at = i / (count - 1) if count > 1 else 1.0  # as in `groups.positions`
            for leaf in leaves:

                def renamed(source: SliceSource, i: int = i, leaf: str = leaf) -> str:
                    return f"{stack}{source.layer_range[0] + i}.{leaf}"

                name = f"{stack}{len(origins)}.{leaf}"
                targets.append(target(part, name, f"{stack}{like}.{leaf}", renamed, at))
            origins.append(origin)
    targets += [target(last, n, n, lambda _, n=n: n, 1.0) for n in after]  # type: ignore[misc]
    return targets, _configuration(anchor, stack, origins)


def _elsewhere(anchor: Checkpoint, stack: str) -> set[str]:
    """The names that belong to another stack than ``stack``: when a decoder is cut, its encoder's with all that stands
    around the encoder's layers."""
    stacks = _stacks(anchor)
    around = {other: re.sub(r"[^.]+\.$", "", other) for other in stacks}  # "model.encoder." of "model.encoder.layers."
    decoder = next((other for other in stacks if "decoder" in other), stack)

    def owner(name: str) -> str:
        layer = layer_of(name)
        if layer:
            return layer[0]
        near = [other for other in stacks if name.startswith(around[other])]
        # A head beside both stands after the decoder.
        return max(near, key=lambda other: (len(around[other]), other == stack), default=decoder)

    return {name for name in anchor if owner(name) != stack}


def _stacks(anchor: Checkpoint) -> list[str]:
    """The prefixes under which there are layers, in order."""
    return list(dict.fromkeys(layer[0] for layer in map(layer_of, anchor) if layer))


def _leaves(checkpoint: Checkpoint, stack: str, layer: int) -> list[str]:
    """The tensors of a layer, by what follows its number. Raises `UserError` for a layer that is not there."""
    prefix = f"{stack}{layer}."
    leaves = [name.removeprefix(prefix) for name in checkpoint if name.startswith(prefix)]
    if not leaves:
        count = _count(checkpoint, stack)
        raise UserError(f"{checkpoint.name}: no layer {layer} under {stack} (it has {count}); check layer_range")
    return leaves


def _count(checkpoint: Checkpoint, stack: str) -> int:
    return 1 + max((layer[1] for layer in map(layer_of, checkpoint) if layer and layer[0] == stack), default=-1)


def _require_leaves(anchor: Checkpoint, prefix: str, place: int, leaves: Sequence[str]) -> None:
    """Raise `UserError` when a layer cannot stand at ``place``: T5's first one holds what no other may."""
    wanted = {name.removeprefix(prefix) for name in anchor if name.startswith(prefix)}
    if set(leaves) != wanted:
        differing = sorted(wanted ^ set(leaves))[0]
        verb = "lacks" if differing in wanted else "holds"
        raise UserError(
            f"layer {place} of the result {verb} {differing}, unlike the layer that {anchor.name} has there; "
            "slice so that layers of this kind stay in their place"
        )


def _target(
    method: Method,
    base: Checkpoint | None,
    name: str,
    pairs: Sequence[tuple[Place, ModelEntry]],
    parameters: Mapping[str, Any],
    depth: float,
    info: TensorInfo,
) -> Target:
    """Arrange a tensor's sources as the method wants them: the base apart, or first where it is a model like others."""
    based = None
    if base is not None and method.base == "first":
        if all(place.checkpoint is not base for place, _ in pairs):
            raise UserError(f"base: {base.name} is not among the slice's sources, and {method.name} goes from it")
        pairs = sorted(pairs, key=lambda pair: pair[0].checkpoint is not base)
    elif base is not None:
        based = next((place for place, _ in pairs if place.checkpoint is base), Place(base, pairs[0][0].name))
        pairs = [pair for pair in pairs if pair[0].checkpoint is not base]
    least, most = method.models
    if len(pairs) < least or (most is not None and len(pairs) > most):
        wanted = f"{least}" if most == least else f"at least {least}" if most is None else f"{least} to {most}"
        raise UserError(f"{method.name} takes {wanted} models{' beside the base' if based else ''}, not {len(pairs)}")
    places = tuple(place for place, _ in pairs)
    return Target(name, places, based, tuple(entry.parameters for _, entry in pairs), parameters, depth, info)


def _stack(recipe: MergeRecipe, anchor: Checkpoint) -> str:
    """The layers to slice, as the prefix of their names."""
    stacks = _stacks(anchor)
    if recipe.stack is not None:
        if recipe.stack not in stacks:
            raise UserError(f"stack: {recipe.stack!r} is none of {', '.join(stacks)}")
        return recipe.stack
    if len(stacks) != 1:
        raise UserError(f"slices: name the layers to cut with 'stack', one of {', '.join(stacks) or 'none'}")
    return stacks[0]


def _configuration(
    anchor: Checkpoint, stack: str, origins: Sequence[Sequence[tuple[Checkpoint, int]]]
) -> dict[str, Any]:
    """The entries of config.json that tell how many layers there are, and of which kinds."""
    config, count = anchor.config, len(origins)
    side = next((side for side in ("encoder", "decoder") if side in stack), None)
    keys = [key for key in (f"{side}_layers", f"num_{side}_layers") if key in config] if side else []
    if not keys or side == "encoder":  # whose count the general entries repeat
        keys += [key for key in _COUNTS if key in config]
    found: dict[str, Any] = dict.fromkeys(keys, count)
    if isinstance(config.get("layer_types"), list):
        found["layer_types"] = [_kind(place, origin) for place, origin in enumerate(origins)]
    if not keys and config:
        raise UserError(f"{anchor.name}: its config.json does not say how many layers it has; slices would not load")
    return found


def _kind(place: int, origin: Sequence[tuple[Checkpoint, int]]) -> Any:
    """What ``layer_types`` says of a layer of the result: the same in all of its sources, or `UserError`."""
    kinds: list[Any] = []
    for checkpoint, layer in origin:
        types = checkpoint.config.get("layer_types") or []
        kinds += types[layer : layer + 1]
    if len(set(kinds)) != 1:
        raise UserError(f"layer {place} of the result mixes layers of several kinds: {', '.join(map(str, kinds))}")
    return kinds[0]
