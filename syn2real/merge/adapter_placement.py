"""Where in a base each tensor of an adapter belongs, and what it does there; all that does not fit is found at once."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from syn2real.errors import CheckpointMismatch, UserError
from syn2real.merge import experts
from syn2real.merge.adapter_config import AdapterConfig
from syn2real.merge.adapter_names import renaming
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.experts import Parameter
from syn2real.merge.factors import Factors, orientation
from syn2real.merge.groups import GROUPS
from syn2real.merge.tensors import TensorInfo, TensorSource
from syn2real.merge.tying import HEAD

PREFIX = "base_model.model."  # of every name in PEFT's files

_PART = re.compile(
    r"(?P<module>.+?)\.(?P<part>lora_(?:embedding_)?[AB]|lora_magnitude_vector)(?:\.(?P<leaf>weight|bias))?"
)
_WITHIN = ".base_layer"  # of updates that lie within another's, as those of one module's parameters do

Parts = Mapping[str, str]  # of one update: its stored names by lora_A, lora_B and so on


class Placement:
    """``factors``, ``added`` and ``replaced``: by name in the base, what changes the tensor.

    Products of factors are added; so are biases, which come with a scale; ``replaced`` tensors are the adapter's own.
    Raises `CheckpointMismatch` that lists what does not fit, and `UserError` for what the file does not tell.
    """

    def __init__(
        self, directory: Path, file: Path, adapter: TensorSource, config: AdapterConfig, base: Checkpoint
    ) -> None:
        self.factors: dict[str, Factors] = {}
        self.added: dict[str, tuple[str, float]] = {}
        self.replaced: dict[str, str] = {}
        self._file, self._adapter, self._config, self._base = file, adapter, config, base
        modules, whole = self._sorted()
        self._rename = renaming([*map(self._likely, modules), *((name,) for name in whole)], base.infos, file)
        parameters = self._parameters(modules)
        plain = {module: parts for module, parts in modules.items() if _outer(module) not in parameters}
        problems: list[str] = []
        square = self._flips_squares(plain)
        for module, parts in plain.items():
            problems += self._place_module(module, self._rename(f"{module}.weight"), parts, square)
        problems += self._place_parameters(modules, parameters)
        problems += self._place_whole(whole)
        problems += self._absent(modules, parameters, whole)
        problems = list(dict.fromkeys(problems))
        if problems:
            more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise CheckpointMismatch(
                f"{directory} does not fit {base.name}: {'; '.join(problems[:5])}{more}; "
                "use the base model that it was trained on"
            )

    def _sorted(self) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
        """The stored names: of updates, by module and part, and of whole tensors, by name."""
        modules: dict[str, dict[str, str]] = {}
        whole: dict[str, str] = {}
        for stored in self._adapter.infos:
            name = stored.removeprefix(PREFIX)
            found = _PART.fullmatch(name)
            if found:
                part = found["part"] + (".bias" if found["leaf"] == "bias" else "")
                modules.setdefault(found["module"], {})[part] = stored
            elif "lora_" in name:
                raise UserError(f"{self._file}: {stored} is no part of a LoRA adapter that can be merged")
            elif ".original_module." not in name:  # beside what replaces it, with PEFT's bias="all"
                whole[name.replace(f"{_WITHIN}.", ".").replace(".modules_to_save.", ".")] = stored
        if not modules and not whole:
            raise UserError(f"{self._file}: holds no adapter")
        return modules, whole

    def _likely(self, module: str) -> list[str]:
        """The names of which the base should have one: the module's matrix, or a parameter."""
        outer = _outer(module)
        own = self._config.parameters_of(outer)
        return [f"{outer}.weight", *(place for name in own for place in experts.places(name))]

    def _parameters(self, modules: Iterable[str]) -> dict[str, list[Parameter]]:
        """The parameters adapted in each module, where there are any, as the configuration names them."""
        found = {}
        for module in dict.fromkeys(map(_outer, modules)):
            own = ((name, self._rename(name)) for name in self._config.parameters_of(module))
            there = [one for one in (experts.parameter(*names, self._base.infos) for names in own) if one]
            if there:
                found[module] = there
        return found

    def _place_module(self, module: str, target: str, parts: Parts, square: bool | None) -> list[str]:
        """Record a module's update; return what is wrong with it. ``square``: see `_flips_squares`."""
        embedding = "lora_embedding_A" in parts or "lora_embedding_B" in parts
        kind = "lora_embedding_" if embedding else "lora_"
        lacking = [name for name in (f"{kind}A", f"{kind}B") if name not in parts]
        if lacking:
            return [f"{module} lacks {lacking[0]}"]
        if self._config.dora and "lora_magnitude_vector" not in parts:
            return [f"{module} lacks lora_magnitude_vector, which DoRA needs"]
        info = self._base.infos.get(target)
        if info is None:
            return [f"{_outer(module)} has no place in {self._base.name}{self._why(module)}"]
        if not _computable(info):
            return [f"{module} is quantised in {self._base.name}"]
        a, b = (self._adapter.infos[parts[f"{kind}{side}"]] for side in "AB")
        if target in self.factors:
            return [f"{module}: {target} has another update too"]
        fits = orientation(info.shape, a.shape, b.shape)
        if not fits:
            shapes = f"A is {list(a.shape)}, B is {list(b.shape)}, the tensor is {list(info.shape)}"
            return [f"{module}: {shapes} in {self._base.name}"]
        if embedding:
            fits = fits & {True}
        if len(fits) == 2 and square is None:
            return [f"{module} is square and the others lie both ways, so that its sides cannot be told apart"]
        flipped = fits == {True} or (len(fits) == 2 and bool(square))
        try:
            scale = self._config.scale(module, a.shape[0])
        except UserError as error:
            return [str(error)]
        magnitude = parts.get("lora_magnitude_vector") if self._config.dora else None
        outputs = info.shape[-1] if flipped else info.shape[0]
        if magnitude is not None and self._adapter.infos[magnitude].numel != outputs:
            return [f"{module} has {self._adapter.infos[magnitude].numel} magnitudes for {outputs} outputs"]
        self.factors[target] = Factors(parts[f"{kind}A"], parts[f"{kind}B"], scale, flipped, magnitude)
        if "lora_B.bias" in parts:
            bias = target.removesuffix("weight") + "bias"
            if bias not in self._base.infos:
                return [f"{module} adds to a bias that {self._base.name} has not"]
            self.added[bias] = (parts["lora_B.bias"], scale)
        return []

    def _flips_squares(self, modules: Mapping[str, Parts]) -> bool | None:
        """Whether square matrices are stored (in, out): as the others are, else as configured; None if they differ."""
        votes = set()
        for module, parts in modules.items():
            info = self._base.infos.get(self._rename(f"{module}.weight"))
            if info is not None and "lora_A" in parts and "lora_B" in parts:
                fits = orientation(info.shape, *self._shapes(parts))
                votes |= fits if len(fits) == 1 else set()
        if len(votes) == 2:
            return None
        return votes.pop() if votes else self._config.transposed

    def _place_parameters(
        self, modules: Mapping[str, Parts], parameters: Mapping[str, Sequence[Parameter]]
    ) -> list[str]:
        """Record the updates of parameters; return what is wrong with them."""
        problems: list[str] = []
        groups: list[tuple[str, list[Parts], Sequence[Parameter]]] = []
        for module, own in parameters.items():
            updates = [modules[name] for name in sorted(modules, key=len, reverse=True) if _outer(name) == module]
            extra = sorted({part for update in updates for part in update} - {"lora_A", "lora_B"})
            lacking = [part for update in updates for part in ("lora_A", "lora_B") if part not in update]
            if self._config.dora:
                problems.append(f"{module}: DoRA of {_leaves(own)} is not defined")
            elif lacking or extra:
                problem = f"lacks {lacking[0]}" if lacking else f"has {extra[0]} for {_leaves(own)}"
                problems.append(f"{module} {problem}")
            elif len(updates) != len(own):
                absent = "" if len(updates) < len(own) else self._why(module, {one.name for one in own})
                problems.append(f"{module} has {len(updates)} updates for {_leaves(own)} in {self._base.name}{absent}")
            elif found := self._misfits(module, updates, own):
                problems.append(found)
            else:
                groups.append((module, updates, own))
        if problems or not groups:
            return problems
        stacked = any(one.experts > 1 for _, _, own in groups for one in own)
        ways = {
            flipped: [experts.candidates(updates, own, partial(self._fits, flipped)) for _, updates, own in groups]
            for flipped in ((False, True) if stacked else (False,))
        }
        possible = [flipped for flipped, choices in ways.items() if all(choices)]
        if not possible:
            return ["the matrices of experts lie both ways, some (out, in) and some (in, out)"]
        whose = ways[possible[0]]
        for (module, _, own), choices in zip(groups, whose, strict=True):
            if any(len(several) > 1 for several in choices) or (
                len(possible) > 1 and any(one.experts > 1 for one in own)
            ):
                unknown = "which update is whose" if len(own) > 1 else "whether they are (out, in) or (in, out)"
                raise UserError(
                    f"{self._file}: {module}: the shapes of {_leaves(own)} do not tell {unknown}; "
                    "merge it with PEFT's merge_and_unload"
                )
        for (_, updates, _), choices in zip(groups, whose, strict=True):
            for (one,), parts in zip(choices, updates, strict=True):
                problems += self._place_parameter(one, parts, possible[0] and one.experts > 1)
        return problems

    def _place_parameter(self, one: Parameter, parts: Parts, flipped: bool) -> list[str]:
        """Record a parameter's update; return what is wrong with it."""
        a, b = parts["lora_A"], parts["lora_B"]
        scale = self._config.scale(one.name, self._adapter.infos[a].shape[0] // one.experts)
        for part in one.parts:
            if part.name in self.factors:
                return [f"{one.name}: {part.name} has another update too"]
            self.factors[part.name] = Factors(
                a,
                b,
                scale,
                flipped,
                experts=one.experts,
                first=part.first,
                matrices=part.matrices,
                rows=part.rows,
            )
        return []

    def _misfits(self, module: str, updates: Sequence[Parts], own: Sequence[Parameter]) -> str | None:
        """What is wrong with a module's updates however they are ordered, if anything is."""
        for one in own:
            if not all(_computable(self._base.infos[part.name]) for part in one.parts):
                return f"{one.name} is quantised in {self._base.name}"
        if any(experts.candidates(updates, own, partial(self._fits, flipped)) for flipped in (False, True)):
            return None
        kinds = "; ".join("A is {}, B is {}".format(*map(list, self._shapes(parts))) for parts in updates)
        shapes = [[one.experts, *one.shape] if one.experts > 1 else [*one.shape] for one in own]
        ranks = [self._config.rank_of(one.name) for one in own]
        return (
            f"{module}: {kinds}; {_leaves(own)} is {' and '.join(map(str, shapes))} in {self._base.name}, "
            f"with rank {' and '.join(map(str, ranks))} by the configuration"
        )

    def _fits(self, flipped: bool, parts: Parts, one: Parameter) -> bool:
        """Whether an update may be a parameter's, where matrices of experts are stored (in, out) or are not.

        Some models store them so, and PEFT before 0.19 took all to do it. Of a single matrix it never did.
        """
        a, b = self._shapes(parts)
        way = flipped and one.experts > 1
        return way in orientation(one.shape, a, b) and a[0] == self._config.rank_of(one.name) * one.experts

    def _shapes(self, parts: Parts) -> tuple[tuple[int, ...], tuple[int, ...]]:
        infos = self._adapter.infos
        return infos[parts["lora_A"]].shape, infos[parts["lora_B"]].shape

    def _place_whole(self, whole: Mapping[str, str]) -> list[str]:
        """Record the tensors that the adapter brings whole; return what is wrong with them."""
        problems = []
        for name, stored in whole.items():
            target = self._rename(name)
            if target not in self._base.infos and self._is_tied_copy(stored, whole.values()):
                continue
            if target not in self._base.infos:
                problems.append(f"{name} has no place in {self._base.name}{self._why(name.removesuffix('.weight'))}")
            elif self._base.infos[target].shape != self._adapter.infos[stored].shape:
                shapes = f"{list(self._adapter.infos[stored].shape)}, not {list(self._base.infos[target].shape)}"
                problems.append(f"{name} is {shapes} as in {self._base.name}")
            else:
                self.replaced[target] = stored
        return problems

    def _is_tied_copy(self, stored: str, others: Iterable[str]) -> bool:
        """Whether a whole tensor repeats the embeddings: PEFT saves an output that is tied to them once more."""
        info = self._adapter.infos[stored]
        value = self._adapter.read(stored)
        same = [(self._base, name) for name in self._base.infos if GROUPS["embeddings"].search(name)]
        brought = [(self._adapter, name) for name in others if name != stored and GROUPS["embeddings"].search(name)]
        return any(
            source.infos[name].shape == info.shape and torch.equal(source.read(name), value)
            for source, name in [*brought, *same]
        )

    def _absent(
        self, modules: Collection[str], parameters: Mapping[str, Sequence[Parameter]], whole: Iterable[str]
    ) -> list[str]:
        """What the configuration names and the adapter's file lacks."""
        back = {self._rename(f"{module}.weight"): module for module in modules}
        brought = set(map(self._rename, whole))
        adapted = {*back, *(part.name for own in parameters.values() for one in own for part in one.parts)}
        added = next((t.removesuffix(f"{m}.weight") for t, m in back.items() if t.endswith(f"{m}.weight")), "")
        # Where transformers holds all experts in one parameter, no module of an expert's can be adapted.
        apart = any(map(experts.is_expert, modules))
        in_memory = experts.names_in_memory(self._base.infos)
        problems = []
        for name, info in self._base.infos.items():
            if name in adapted or name in brought:
                continue
            if info.is_float:
                # The configuration has names as they were in memory: the file's own, or those of a later release.
                names = (one.removeprefix(added) for one in (name, in_memory(name)))
                matrix = len(info.shape) > 1 and (apart or not experts.is_expert(name))
                problems += next(filter(None, (self._meant(one, matrix) for one in names)), [])
            saved = any(re.fullmatch(rf"(.*\.)?{re.escape(one)}(\..*)?", name) for one in self._config.saved)
            if saved:
                problems.append(f"it lacks {name}, which its modules_to_save name")
        return problems

    def _meant(self, name: str, matrix: bool) -> list[str]:
        """What says that a tensor without an update should have one; ``matrix``: it may be a module's."""
        module = name.removesuffix(".weight")
        holding = filter(self._config.covers_parameter, experts.parameters_holding(name))
        found = [f"it lacks {one}, which its target_parameters name" for one in holding]
        if matrix and module != name and self._config.covers(module):
            found.insert(0, f"it lacks {module}, which its target_modules name")
        return found

    def _why(self, module: str, found: Collection[str] = ()) -> str:
        """Why a module, or a parameter that is not ``found``, may have no place in the base: the end of a sentence."""
        if HEAD.search(f"{module}.weight") and self._base.config.get("tie_word_embeddings", True):
            return ", whose output is tied to its embeddings"
        meant = [name for name in self._config.parameters_of(_outer(module)) if name not in found]
        if meant:
            return f", which holds no {meant[0]}, nor a matrix for each expert by a name that is known here"
        if experts.is_expert(f"{module}."):
            return ", which does not hold each expert apart; merge it with PEFT's merge_and_unload"
        return ""


def _computable(info: TensorInfo) -> bool:
    """Whether a tensor holds its values: those of 8 bits are quantised, and have scales elsewhere."""
    return info.is_float and info.dtype.itemsize > 1


def _leaves(parameters: Sequence[Parameter]) -> str:
    return " and ".join(one.name.rpartition(".")[2] for one in parameters)


def _outer(module: str) -> str:
    """The module that an update belongs to, without the marks of those that it lies within."""
    while module.endswith(_WITHIN):
        module = module.removesuffix(_WITHIN)
    return module
