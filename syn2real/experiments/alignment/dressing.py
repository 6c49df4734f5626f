"""A model in another's dress: its own weights, with the tokenizer, chat template and generation settings of a model of
the same family. A pre-trained model has no chat template, and does not know where an answer ends."""

import json
from fnmatch import fnmatch
from pathlib import Path
from shutil import copyfile
from typing import Any

from syn2real.errors import UserError
from syn2real.merge.sidecars import sidecars

OWN = ("config.json",)  # of the sidecars, what belongs to the weights
WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "pytorch_model.bin.index.json")


def dress(model: Path, template: Path, directory: Path) -> None:
    """Make ``directory`` a model of ``model``'s weights, linked and not copied, in the dress of ``template``. Raises
    `UserError` where the two do not have as many tokens."""
    sizes = [_config(place).get("vocab_size") for place in (model, template)]
    if sizes[0] != sizes[1]:
        raise UserError(
            f"{model}: has {sizes[0]} tokens, and {template} {sizes[1]}; the template is to be a model of one family"
        )
    weights = [file.name for file in model.iterdir() if any(fnmatch(file.name, one) for one in WEIGHTS)]
    for name in (*OWN, *weights):
        link = directory / name
        if not link.is_symlink():
            link.symlink_to((model / name).resolve())
    for file in sidecars(template):
        if file.name not in OWN:
            copyfile(file, directory / file.name)


def _config(directory: Path) -> dict[str, Any]:
    return dict(json.loads((directory / "config.json").read_text(encoding="utf-8")))
