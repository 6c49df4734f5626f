"""A merge laid out tensor by tensor: what each is computed from, where it is stored, and what could go wrong."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from syn2real.errors import CheckpointMismatch, UserError, did_you_mean, require_none
from syn2real.merge import chat_templates
from syn2real.merge.checkpoint import SINGLE, Checkpoint
from syn2real.merge.compatibility import require_compatible
from syn2real.merge.expression import Expression
from syn2real.merge.groups import positions
from syn2real.merge.hub import resolve
from syn2real.merge.merged import Merged
from syn2real.merge.method import METHODS, Method
from syn2real.merge.parameters import Resolver
from syn2real.merge.pieces import Carried, Computed, Piece, Sum
from syn2real.merge.recipe import MergeRecipe
from syn2real.merge.stack import UNIT, Stack
from syn2real.merge.targets import Target, sliced, whole
from syn2real.merge.tensors import TensorInfo
from syn2real.merge.tying import matched
from syn2real.merge.vector import Source, Term, check_sources
from syn2real.merge.vector_file import StoredVector, is_vector
from syn2real.merge.vocabulary import Aligned, aligned, check_same


@dataclass
class Plan:
    """Everything about a merge but its output directory. ``problems`` is what speaks against it."""

    anchor: Checkpoint
    pieces: dict[str, Piece]
    inputs: tuple[Source, ...]
    recipe: MergeRecipe
    configuration: dict[str, Any] = field(default_factory=dict)  # entries of config.json that the merge changes
    # Other files that it writes beside them; None: leaves out.
    files: dict[str, str | bytes | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[UserError] = field(default_factory=list)
    prepare: Callable[[], None] = lambda: None  # what must be known of all tensors before the first is computed

    @property
    def out_dtype(self) -> torch.dtype | None:
        """The result's floating-point dtype; None where tensors keep the anchor's."""
        return self.recipe.torch_out_dtype

    def layout(self, shard_size: int | None = None) -> dict[str, dict[str, Piece]]:
        """Shards with their tensors: the anchor's own, or filled up to ``shard_size`` bytes in the anchor's order."""
        order = [name for names in self.anchor.layout.values() for name in names if name in self.pieces]
        placed = set(order)
        order += [name for name in self.pieces if name not in placed]
        if shard_size is None and len(placed) == len(order) == len(self.anchor):
            return {shard: {n: self.pieces[n] for n in names} for shard, names in self.anchor.layout.items()}
        limit = shard_size or max(sum(self.anchor[n].nbytes for n in names) for names in self.anchor.layout.values())
        shards: list[dict[str, Piece]] = [{}]
        size = 0
        for name in order:
            needed = self.pieces[name].info.nbytes
            if shards[-1] and size + needed > limit:
                shards.append({})
                size = 0
            shards[-1][name] = self.pieces[name]
            size += needed
        if len(shards) == 1:
            return {SINGLE: shards[0]}
        return {f"model-{i:05}-of-{len(shards):05}.safetensors": part for i, part in enumerate(shards, 1)}

    @property
    def bytes_out(self) -> int:
        """Size of all tensors of the result."""
        return sum(piece.info.nbytes for piece in self.pieces.values())

    @property
    def bytes_in(self) -> int:
        """Size of all tensors of the inputs."""
        return sum(info.nbytes for source in self.inputs for info in source.infos.values())

    def peak_memory(self, threads: int) -> int:
        """Bytes of working memory at most, beside the interpreter: an estimate on the safe side."""
        working = max((_working_bytes(piece) for piece in self.pieces.values()), default=0)
        return threads * working + sum(source.held_bytes for source in self.inputs)


def plan_merged(merged: Merged, out_dtype: torch.dtype | None = None) -> Plan:
    """The plan of an expression built in Python."""
    terms = {f"m{i}": term for i, term in enumerate(merged.terms)}
    text = " + ".join(f"{term.coefficient!r} * {name}" for name, term in terms.items())
    models = {name: str(term.source.path) for name, term in terms.items()}
    anchored = [name for name, term in terms.items() if term.source is merged.anchor]
    if not anchored:
        models["anchor"] = str(merged.anchor.path)
    recipe = MergeRecipe(
        expression=text,
        models=models,
        anchor=anchored[0] if anchored else "anchor",
        out_dtype=str(out_dtype).removeprefix("torch.") if out_dtype else None,  # type: ignore[arg-type]
        allow_dtypes=merged.allow_dtypes,
    )
    sources = {name: term.source for name, term in terms.items()}
    sources |= {} if anchored else {"anchor": merged.anchor}
    seen, words, problems = _as_seen(recipe, sources, recipe.anchor or "anchor", None)
    inputs = tuple(sources.values())
    summed = [Term(term.coefficient, seen[name]) for name, term in terms.items()]
    pieces = _sums(merged.anchor, lambda _: summed, recipe, inputs)
    return Plan(merged.anchor, pieces, inputs, recipe, notes=words.notes, problems=problems)


def plan_recipe(recipe: MergeRecipe, *, device: str = "cpu") -> Plan:
    """The plan of a recipe. Opens every model, and reads no weight but heads that must equal the embedding.

    Raises `UserError` for what cannot be understood; what does not fit is listed in ``problems``.
    """
    opened = _opened(recipe.paths)
    recipe = recipe.with_paths({path: str(source.path) for path, source in opened.items()})
    sources: dict[str, Source] = {str(source.path): source for source in opened.values()}
    if recipe.expression is not None:
        return _plan_expression(recipe, sources)
    return _plan_method(recipe, sources, device)


def _opened(paths: Sequence[str]) -> dict[str, Source]:
    """Every model of a recipe. Raises one `UserError` for all that cannot be opened."""
    found: dict[str, Source] = {}
    problems: list[UserError] = []
    for path in paths:
        try:
            found[path] = open_source(path)
        except UserError as error:
            problems.append(error)
    require_none(problems, "models cannot be read")
    return found


def open_source(path: str) -> Source:
    """A model, a base with an adapter, or a stored task vector; here or on the hub."""
    file = Path(resolve(path))
    return StoredVector(file) if is_vector(file) else Checkpoint.open(file)


def _plan_expression(recipe: MergeRecipe, sources: Mapping[str, Source]) -> Plan:
    assert recipe.expression is not None and isinstance(recipe.models, dict)
    expression = Expression.parse(recipe.expression, recipe.models, recipe.parameters)
    anchor_name = recipe.anchor or expression.models[0]
    if anchor_name not in recipe.models:
        raise UserError(f"anchor: {anchor_name!r} is not one of the models ({', '.join(recipe.models)})")
    _require_used("parameters", recipe.parameters, expression.parameters, recipe.expression)
    others = [name for name in recipe.models if name != anchor_name]
    _require_used("models", others, expression.models, recipe.expression)
    given = {name: sources[recipe.models[name]] for name in dict.fromkeys([anchor_name, *expression.models])}
    if not isinstance(given[anchor_name], Checkpoint):
        raise UserError(f"anchor: {recipe.models[anchor_name]} is a task vector; name a model as the anchor")
    used, words, problems = _as_seen(recipe, given, anchor_name, anchor_name)
    anchor = used[anchor_name]
    assert isinstance(anchor, Checkpoint)
    problems += _mismatches(anchor, list(used.values()), recipe.allow_dtypes)
    resolver = Resolver(positions(anchor))

    def terms(name: str) -> list[Term]:
        values = {
            parameter: _number(resolver.value(recipe.parameters[parameter], name, parameter, None), parameter, name)
            for parameter in expression.parameters
        }
        return [Term(factor, used[model]) for model, factor in expression.coefficients(values).items()]

    pieces = {} if problems else _sums(anchor, terms, recipe, tuple(used.values()))
    return _made(given[anchor_name], pieces, given, recipe, words, resolver, problems)


def _require_used(kind: str, given: Iterable[str], used: Sequence[str], text: str) -> None:
    """Raise `UserError` for what a recipe gives and its expression does not use."""
    for name in given:
        if name not in used:
            raise UserError(
                f"{kind}.{name}: not in the expression {text!r}, which has {', '.join(used) or 'none'}; "
                "write it there or leave it out"
            )


def _sums(
    anchor: Checkpoint, terms: Callable[[str], Sequence[Term]], recipe: MergeRecipe, inputs: Sequence[Source]
) -> dict[str, Piece]:
    pieces: dict[str, Piece] = {}
    for name, info in anchor.infos.items():
        if info.is_float:
            reads = [(term.coefficient, _Slot(term.source, name).read) for term in terms(name)]
            pieces[name] = Sum(name, reads, TensorInfo(info.shape, recipe.torch_out_dtype or info.dtype))
        else:
            pieces[name] = _carried(name, info, anchor, inputs, recipe)
    return pieces


def _carried(name: str, info: TensorInfo, anchor: Checkpoint, inputs: Sequence[Source], recipe: MergeRecipe) -> Carried:
    others = [(source.name, source) for source in inputs if source is not anchor and name in source.infos]
    return Carried(name, anchor, info, others if recipe.carried == "equal" else (), anchor.name)


@dataclass(frozen=True)
class _Slot:
    """One model's tensor, as a `Slot` of a stack."""

    source: Source
    name: str

    def read(self, start: int, stop: int) -> Tensor:
        return self.source.read_range(self.name, start, stop)


def _plan_method(recipe: MergeRecipe, sources: Mapping[str, Source], device: str) -> Plan:
    assert recipe.method is not None
    method = METHODS.get(recipe.method)
    for path, source in sources.items():
        if not isinstance(source, Checkpoint):
            raise UserError(f"{path}: a task vector; methods merge whole models (an expression takes vectors)")
    if method.base == "required" and None in recipe.bases:
        raise UserError(
            f"{method.name} works on differences to a base model: name one with 'base' (mergekit's base_model)"
        )
    if method.base == "none" and any(recipe.bases):
        raise UserError(
            f"base: {method.name} has no base; leave the key out, and list the model under 'models' to have it merged "
            "like the others, or under 'anchor' for its configuration and tokenizer alone"
        )
    _check_parameters(method, recipe)
    place = recipe.anchor or recipe.paths[0]
    seen, words, problems = _as_seen(recipe, sources, place, recipe.base or recipe.anchor)
    models = {path: source for path, source in seen.items() if isinstance(source, Checkpoint)}
    anchor = models[place]
    if recipe.slices:
        targets, counts = sliced(recipe, method, models, anchor)
        words.configuration.update(counts)
        problems += _sliced_mismatches(targets, anchor, recipe.allow_dtypes)
    else:
        targets = whole(recipe, method, models, anchor)
        problems += _mismatches(anchor, list(models.values()), recipe.allow_dtypes)
    resolver = Resolver({target.name: target.depth for target in targets})
    pieces: dict[str, Piece] = {}
    computed: list[Computed] = []
    shared: list[Any] = []
    for target in targets if not problems else []:
        if target.info.is_float:
            made = _computed(recipe, method, target, resolver, device, shared)
            computed.append(made)
            pieces[target.name] = made
        else:
            places = target.models if recipe.carried == "equal" else ()
            others = [(place.checkpoint.name, _Renamed(place.checkpoint, target.name, place.name)) for place in places]
            first = _Renamed(target.first.checkpoint, target.name, target.first.name)
            pieces[target.name] = Carried(target.name, first, target.info, others, target.first.checkpoint.name)

    def prepare() -> None:
        if method.shared and computed and not shared:
            first = computed[0]
            parameters = method.complete(first.parameters, len(first.stack))
            found = method.prepare([piece.stack for piece in computed], parameters)
            if found is not None:
                for name in method.parameters:
                    if len({repr(piece.parameters[name]) for piece in computed}) > 1:
                        raise UserError(f"{method.name}: {name} must be the same for all tensors here")
            shared.append(found)

    return _made(sources[place], pieces, sources, recipe, words, resolver, problems, prepare)


def _as_seen(
    recipe: MergeRecipe, sources: Mapping[str, Source], anchor: str, base: str | None
) -> tuple[dict[str, Source], Aligned, list[UserError]]:
    """The models as they are to be merged: with the anchor's heads, and with rows for the same tokens."""
    first = sources[anchor]
    assert isinstance(first, Checkpoint)
    seen, problems, notes = dict(sources), [], []
    for key, source in sources.items():
        if source is first or not isinstance(source, Checkpoint):
            continue
        try:
            seen[key] = matched(first, source)
            note = check_same(first, source) if recipe.vocabulary == "same" else None
        except UserError as error:
            problems.append(error)
        else:
            notes += [note] if note else []
    if recipe.vocabulary == "same":
        return seen, Aligned({}, notes=notes), problems
    models = {key: source for key, source in seen.items() if isinstance(source, Checkpoint)}
    if len(models) < len(seen):
        raise UserError("vocabulary: a stored task vector does not say which tokens its rows are for; use its models")
    tokenizer = Path(resolve(recipe.tokenizer)) if recipe.tokenizer else None
    words = aligned(
        recipe.vocabulary, models, anchor, base, recipe.tokens, recipe.pad_to_multiple_of, tokenizer=tokenizer
    )
    return dict(words.models), words, problems


def _made(
    anchor: Source,
    pieces: dict[str, Piece],
    sources: Mapping[str, Source],
    recipe: MergeRecipe,
    words: Aligned,
    resolver: Resolver,
    problems: list[UserError],
    prepare: Callable[[], None] = lambda: None,
) -> Plan:
    assert isinstance(anchor, Checkpoint)
    notes = [*recipe.notes, *words.notes, *(f"filter {key!r} matches no tensor" for key in resolver.unused)]
    notes += [f"filter {key!r} takes no tensor: earlier ones take all that it matches" for key in resolver.shadowed]
    inputs, files = tuple(sources.values()), dict(words.files)
    if recipe.chat_template is not None:
        beside = [source.directory for source in inputs if isinstance(source, Checkpoint) and source.directory]
        files[chat_templates.FILE] = chat_templates.chosen_template(recipe.chat_template, beside)
    return Plan(anchor, pieces, inputs, recipe, words.configuration, files, notes, problems, prepare)


def _computed(
    recipe: MergeRecipe, method: Method, target: Target, resolver: Resolver, device: str, shared: list[Any]
) -> Computed:
    info = target.info
    slots = [_Slot(place.checkpoint, place.name) for place in target.models]
    base = _Slot(target.base.checkpoint, target.base.name) if target.base else None
    dtype = getattr(torch, recipe.dtype)
    stack = Stack(target.name, info.shape, slots, base, seed=recipe.seed, device=device, dtype=dtype)
    out = TensorInfo(info.shape, recipe.torch_out_dtype or info.dtype)
    return Computed(target.name, method, stack, _values(recipe, method, target, resolver), out, shared)


def _check_parameters(method: Method, recipe: MergeRecipe) -> None:
    """Raise `UserError` for a parameter that the method does not know, wherever it stands."""
    scopes = [recipe.parameters]
    if isinstance(recipe.models, list):
        scopes += [entry.parameters for entry in recipe.models]
    for part in recipe.slices or []:
        scopes += [part.parameters, *(source.parameters for source in part.sources)]
    for scope in scopes:
        for name in scope:
            if name not in method.parameters:
                raise UserError(f"{method.name} has no parameter {name!r}{did_you_mean(name, method.parameters)}")


def _values(recipe: MergeRecipe, method: Method, target: Target, resolver: Resolver) -> dict[str, Any]:
    """The method's parameters for one tensor: a model's own before a slice's before the recipe's.

    Where a layer has moved, filters of what each model has for itself know it by its number in that model.
    """
    values: dict[str, Any] = {}

    def value(name: str, default: Any, own: Mapping[str, Any], source: str | None = None) -> Any:
        for scope in (recipe.parameters, target.parameters, own):
            default = resolver.value(scope.get(name), target.name, name, default, source)
        return default

    for name, parameter in method.parameters.items():
        if parameter.per_model:
            models = zip(target.own, target.models, strict=True)
            values[name] = [value(name, parameter.default[0], own, place.name) for own, place in models]
        else:
            values[name] = value(name, parameter.default, {})
            for own in target.own:
                if name in own:
                    raise UserError(f"{name}: holds for the whole merge; write it under 'parameters'")
    return values


@dataclass(frozen=True)
class _Renamed:
    """A source in which one tensor goes by another name."""

    source: Source
    alias: str
    name: str

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        return {self.alias: self.source.infos[self.name]}

    def read(self, name: str) -> Tensor:
        return self.source.read(self.name)

    def read_range(self, name: str, start: int, stop: int) -> Tensor:
        return self.source.read_range(self.name, start, stop)


def _mismatches(anchor: Checkpoint, sources: Sequence[Source], allow_dtypes: bool) -> list[UserError]:
    found: list[UserError] = []
    for source in dict.fromkeys(sources):
        if source is not anchor:
            try:
                check_sources(anchor, source, allow_dtypes=allow_dtypes)
            except CheckpointMismatch as error:
                found.append(error)
    return found


def _sliced_mismatches(targets: Sequence[Target], anchor: Checkpoint, allow_dtypes: bool) -> list[UserError]:
    """What of the sources' layers is not as the anchor's."""
    expected = {target.name: target.info for target in targets}
    given: dict[Checkpoint, dict[str, TensorInfo]] = {}
    for target in targets:
        for place in (*target.models, *([target.base] if target.base else [])):
            given.setdefault(place.checkpoint, {})[target.name] = place.checkpoint[place.name]
    found: list[UserError] = []
    for checkpoint, infos in given.items():
        like = {name: expected[name] for name in infos}
        try:
            require_compatible(anchor.name, like, checkpoint.name, infos, allow_dtypes=allow_dtypes)
        except CheckpointMismatch as error:
            found.append(error)
    return found


def _number(value: Any, parameter: str, name: str) -> float:
    if value is None:
        raise UserError(f"{parameter}: no value for {name}; end its filters with '*'")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{parameter}: {value!r} is not a number")
    return float(value)


def _working_bytes(piece: Piece) -> int:
    """Memory that computing a piece takes."""
    if isinstance(piece, Computed):
        width = 8 * (2 * len(piece.stack) + 6)
        row = piece.stack.row * width
        return max(UNIT * width, row) + len(piece.stack) * (32 << 20)
    return 48 << 20
