"""Which tensors make each tensor of the result: of whole models, name by name, or of slices of their layers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syn2real.errors import UserError
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.groups import layer_of, positions
from syn2real.merge.method import Method
from syn2real.merge.recipe import MergeRecipe, ModelEntry, Slice, SliceSource

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

    ``own`` holds each model's own parameters, ``parameters`` what a slice says besides the recipe.
    """

    name: str
    models: tuple[Place, ...]
    base: Place | None
    own: tuple[Mapping[str, Any], ...]
    parameters: Mapping[str, Any]
    depth: float

    @property
    def first(self) -> Place:
        """What shape, dtype and, for tensors of integers, values are taken from."""
        return self.base or self.models[0]


def whole(recipe: MergeRecipe, method: Method, models: Mapping[str, Checkpoint], anchor: Checkpoint) -> list[Target]:
    """Every name of the anchor, from the same name of each model. Raises `UserError` for too few or too many."""
    assert isinstance(recipe.models, list)
    base = models[recipe.base] if recipe.base else None
    entries = [(models[entry.model], entry) for entry in recipe.models]
    if base is not None and method.base == "none" and all(model is not base for model, _ in entries):
        entries = [(base, ModelEntry(model=recipe.base or "")), *entries]
    depth = positions(anchor)
    return [
        _target(method, base, name, [(Place(model, name), entry) for model, entry in entries], {}, depth[name])
        for name in anchor
    ]


def sliced(
    recipe: MergeRecipe, method: Method, models: Mapping[str, Checkpoint], anchor: Checkpoint
) -> tuple[list[Target], dict[str, Any]]:
    """Layers counted anew over all slices; what stands before them comes from the first slice's models, the rest from
    the last's. Also returns the entries of config.json that change. Raises `UserError` for layers that are not there.
    """
    assert recipe.slices
    base = models[recipe.base] if recipe.base else None
    stack = _stack(recipe, anchor)
    depth = positions(anchor)
    outside = [name for name in anchor if (layer_of(name) or ("", 0))[0] != stack]

    def target(part: Slice, name: str, source_name: Callable[[SliceSource], str], at: float) -> Target:
        pairs = [(Place(models[source.model], source_name(source)), source) for source in part.sources]
        for place, source in pairs:
            if place.name not in place.checkpoint:
                raise UserError(f"{source.model}: no tensor {place.name}; check layer_range {source.layer_range}")
        return _target(method, base, name, pairs, part.parameters, at)

    first, last = recipe.slices[0], recipe.slices[-1]
    targets = [target(first, n, lambda _, n=n: n, 0.0) for n in outside if depth[n] == 0.0]  # type: ignore[misc]
    count = 0
    for part in recipe.slices:
        begin, end = part.sources[0].layer_range
        prefix = f"{stack}{begin}."
        leaves = [n.removeprefix(prefix) for n in models[part.sources[0].model] if n.startswith(prefix)]
        if not leaves:
            raise UserError(f"{part.sources[0].model}: no layer {begin} under {stack}")
        for i in range(end - begin):
            for leaf in leaves:

                def renamed(source: SliceSource, i: int = i, leaf: str = leaf) -> str:
                    return f"{stack}{source.layer_range[0] + i}.{leaf}"

                at = i / (end - begin - 1) if end - begin > 1 else 1.0  # as in `groups.positions`
                targets.append(target(part, f"{stack}{count + i}.{leaf}", renamed, at))
        count += end - begin
    targets += [target(last, n, lambda _, n=n: n, 1.0) for n in outside if depth[n] != 0.0]  # type: ignore[misc]
    return targets, _layer_counts(anchor, stack, count)


def _target(
    method: Method,
    base: Checkpoint | None,
    name: str,
    pairs: Sequence[tuple[Place, ModelEntry]],
    parameters: Mapping[str, Any],
    depth: float,
) -> Target:
    """Arrange a tensor's sources as the method wants them: the base apart, or first where it is a model like others."""
    based = None
    if base is not None and method.base == "none":
        pairs = sorted(pairs, key=lambda pair: pair[0].checkpoint is not base)
    elif base is not None:
        based = next((place for place, _ in pairs if place.checkpoint is base), Place(base, pairs[0][0].name))
        pairs = [pair for pair in pairs if pair[0].checkpoint is not base]
    least, most = method.models
    if len(pairs) < least or (most is not None and len(pairs) > most):
        wanted = f"{least}" if most == least else f"at least {least}" if most is None else f"{least} to {most}"
        raise UserError(f"{method.name} takes {wanted} models{' beside the base' if based else ''}, not {len(pairs)}")
    places = tuple(place for place, _ in pairs)
    return Target(name, places, based, tuple(entry.parameters for _, entry in pairs), parameters, depth)


def _stack(recipe: MergeRecipe, anchor: Checkpoint) -> str:
    """The layers to slice, as the prefix of their names."""
    stacks = dict.fromkeys(layer[0] for layer in map(layer_of, anchor) if layer)
    if recipe.stack is not None:
        if recipe.stack not in stacks:
            raise UserError(f"stack: {recipe.stack!r} is none of {', '.join(stacks)}")
        return recipe.stack
    if len(stacks) != 1:
        raise UserError(f"slices: name the layers to cut with 'stack', one of {', '.join(stacks) or 'none'}")
    return next(iter(stacks))


def _layer_counts(anchor: Checkpoint, stack: str, count: int) -> dict[str, Any]:
    side = next((f"{side}_layers" for side in ("encoder", "decoder") if side in stack), None)
    keys = [side] if side in anchor.config else list(_COUNTS)
    found: dict[str, Any] = {str(key): count for key in keys if key in anchor.config}
    types = anchor.config.get("layer_types")
    if isinstance(types, list):
        if len(set(types)) > 1:
            raise UserError(f"{anchor.name}: layers of several kinds (layer_types) cannot be sliced")
        found["layer_types"] = types[:1] * count
    if not found and anchor.config:
        raise UserError(f"{anchor.name}: its config.json does not say how many layers it has; slices would not load")
    return found
