"""What stands in a stage's key for files and models that options of a judge, a scorer or a metric name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syn2real.hashing import remembered_sha256
from syn2real.language.chat.weights import model_identity


def keyed_options(options: Mapping[str, Any], *, keep: bool = True) -> dict[str, Any]:
    """Options by what they say and not by where it lies: of a file its SHA-256, of ``model`` what `keyed_model` gives,
    all else as it is. A file that is not there, as may be in a dry run, has its name. Without ``keep`` nothing is noted
    in the cache."""

    def keyed(name: str, value: Any) -> Any:
        if isinstance(value, Path):
            return remembered_sha256(value, keep=keep) if value.is_file() else value.name
        return keyed_model(value, keep=keep) if name == "model" and isinstance(value, str) else value

    return {name: keyed(name, value) for name, value in options.items()}


def keyed_model(name: str, *, keep: bool = True) -> str:
    """The `model_identity` of a model in a directory. The name of any other stands for it: of a packaged one, one on a
    hub or a server's nothing is fetched to tell whether what it made is there already."""
    return model_identity(Path(name), keep=keep) if Path(name).is_dir() else name
