"""Models and task vectors on the model hub: fetched once into its cache, named by id, and vectors sent there."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path
from typing import Any

from syn2real.errors import NotInstalled, UserError, one_line, printable
from syn2real.merge import references
from syn2real.merge.sidecars import PATTERNS
from syn2real.merge.vector import TaskVector
from syn2real.sealing import require_absent, sealed_file

WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "adapter_config.json")
IN_FOLDERS = "*/*"  # weights for other software, checkpoints of the training
VARIANTS = ("*.fp32*", "*.fp16*", "*.bf16*")  # the same weights once more, in another dtype
PICKLES = ("pytorch_model*.bin", "pytorch_model.bin.index.json", "adapter_model.bin")  # where there is nothing better
VECTOR, CARD = "task_vector.safetensors", "README.md"
_ID = re.compile(r"(?P<id>[\w][\w.-]*/[\w][\w.-]*)(?:@(?P<revision>[\w./-]+))?")


def local_path(reference: str | Path, *, fetch: bool = True) -> Path:
    """Where a model lies: an existing path as it is; ``org/name[@revision]`` fetched from the hub, once.

    Only weights, configuration and tokenizer are fetched; what was fetched before is used where the hub cannot be
    reached. Raises `UserError` for what is neither, for what the hub has not, keeps private or cannot be asked for, and
    without ``fetch`` for what was not fetched before.
    """
    text = str(reference)
    if Path(text).exists():
        return Path(text)
    found = _ID.fullmatch(text)
    if found is None:
        raise UserError(f"{text}: no such file or directory, nor a hub id (org/name)")
    name, revision = found["id"], found["revision"]
    with _one_line(name, revision):
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.constants import HF_HUB_OFFLINE
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        def fetched() -> Path:
            # The client takes a folder that lacks a wanted file for unfinished, so no more is wanted than all have.
            return Path(snapshot_download(name, revision=revision, local_files_only=True, **_wanted(["x.safetensors"])))

        if HF_HUB_OFFLINE:
            return fetched()
        try:
            info = HfApi().model_info(name, revision=revision)
        except (HfHubHTTPError, HFValidationError):  # the hub's own word
            raise
        except Exception:
            with suppress(LocalEntryNotFoundError):
                return fetched()
            raise
        # By its name, which is noted with the commit it stood for: so it is found again where there is no hub.
        wanted = _wanted([file.rfilename for file in info.siblings or []])
        return Path(snapshot_download(name, revision=revision, local_files_only=not fetch, **wanted))


def _wanted(files: Sequence[str]) -> dict[str, Any]:
    """Patterns of what to fetch of a repository's files, and of what to leave: no weights twice."""
    plain = [file for file in files if not any(fnmatch(file, pattern) for pattern in (IN_FOLDERS, *VARIANTS))]
    safe, pickled = (any(fnmatch(file, p) for file in plain for p in of) for of in (("*.safetensors",), PICKLES))
    return {
        "allow_patterns": [*WEIGHTS, *PATTERNS, "*.py", *([] if safe else PICKLES)],
        "ignore_patterns": [IN_FOLDERS, *(VARIANTS if safe or pickled else ())],
    }


def resolve(reference: str | Path) -> str:
    """A reference (see `references`) with hub ids replaced by where they were fetched to."""
    base, adapter = references.split(reference)
    return str(local_path(base)) if adapter is None else references.joined(resolve(base), local_path(adapter))


def push(path: Path, repository: str, *, private: bool = False, message: str | None = None) -> str:
    """Send a stored task vector to ``org/name`` with a card that says what it is. Returns its address.

    Raises `UserError` for another file than a task vector, and when the hub refuses.
    """
    text = card(TaskVector.load(path).info(), repository)
    return send({VECTOR: path, CARD: text.encode()}, repository, private=private, message=message)


def send(
    files: Mapping[str, Path | bytes], repository: str, *, private: bool = False, message: str | None = None
) -> str:
    """Send files, each by its name there, to ``org/name`` in one commit. Returns its address.

    Raises `UserError` for what is no hub id, and when the hub refuses.
    """
    found = _ID.fullmatch(repository)
    if found is None or found["revision"]:
        raise UserError(f"{repository}: not a hub id; write org/name")
    with _one_line(repository, None, ""):
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        contents = {name: str(file) if isinstance(file, Path) else file for name, file in files.items()}
        operations = [CommitOperationAdd(name, content) for name, content in contents.items()]
        api.create_commit(repository, operations, commit_message=message or "Task vector")
        return f"{api.endpoint}/{repository}"


def pull(reference: str, output: Path, *, overwrite: bool = False) -> Path:
    """Fetch the task vector of ``org/name[@revision]`` to the file ``output``, whole or not at all.

    Raises `UserError` when the repository holds none, or what it holds is no task vector.
    """
    import shutil

    require_absent(output, overwrite=overwrite)
    fetched = fetch(reference, VECTOR)
    if fetched is None:
        raise UserError(f"{reference}: holds no {VECTOR}, so it is no task vector's repository")
    TaskVector.load(fetched)
    with sealed_file(output) as partial:
        shutil.copyfile(fetched, partial)
    return output


def fetch(reference: str, name: str, sought: str | None = None) -> Path | None:
    """Where a file of ``org/name[@revision]`` lies once it is fetched, into the hub's cache; None if it has no such.

    Raises `UserError` for what is no hub id, and for what the hub has not, keeps private or cannot be asked for; the
    message also says that there is no such thing here as was ``sought`` before, such as a folder.
    """
    found = _ID.fullmatch(reference)
    if found is None:
        absent = f"no such {sought} here, nor" if sought else "not"
        raise UserError(f"{reference}: {absent} a hub id; write org/name or org/name@revision")
    with _one_line(found["id"], found["revision"], f"no such {sought} here, and " if sought else ""):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            return Path(hf_hub_download(found["id"], name, revision=found["revision"]))
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            return None


def card(info: dict[str, Any], repository: str) -> str:
    """A card in Markdown for a vector that `TaskVector.info` describes."""
    lines = [
        "---",
        "library_name: syn2real",
        "tags:",
        "- task-vector",
        "- model-merging",
        "---",
        "",
        f"# {repository.partition('/')[2]}",
        "",
        "A task vector: the difference between models of one architecture, to be added to a third "
        "([Ilharco et al., 2023](https://arxiv.org/abs/2212.04089)). It is no model by itself.",
        "",
        f"- {info['tensors']} tensors, {info['parameters']:,} elements, stored as {_stored(info)}",
        f"- Euclidean norm {info['norm']:.6g}",
        f"- SHA-256 of `{VECTOR}`: `{info['sha256']}`",
        "",
        "## What it was made of",
        "",
        "| times | name | SHA-256 of its weights |",
        "|---:|---|---|",
        *_parents(info["parents"]),
        "",
        "## Adding it to a model",
        "",
        "```bash",
        f"syn2real vector pull {repository} -o {VECTOR}",
        f"syn2real vector apply MODEL {VECTOR}=1.0 -o MERGED",
        "```",
        "",
        "MODEL has the architecture of the models above. 1.0 is λ, how much of the vector is added; choose it on "
        "recordings or texts that are not part of your test.",
        "",
        "Where it is largest:",
        "",
        "| part | norm | relative to the whole, per element |",
        "|---|---:|---:|",
        *(
            f"| `{_cell(group['group'])}` | {group['norm']:.4g} | {group['relative_norm']:.2f} |"
            for group in info["largest_groups"][:5]
        ),
        "",
    ]
    return "\n".join(lines)


def _stored(info: dict[str, Any]) -> str:
    compression = info.get("compression")
    if not compression:
        return str(info["dtype"])
    settings = {key: value for key, value in compression.items() if key not in ("method", "relative_error")}
    said = ", ".join(f"{key} {json.dumps(value)}".replace('"', "") for key, value in settings.items())
    error = f"relative error {compression['relative_error']:.3g}"
    return f"{compression['method']} ({said + ', ' if said else ''}{error})"


def _parents(parents: list[dict[str, Any]], depth: int = 0) -> Iterator[str]:
    for parent in parents:
        name = f"{'↳ ' * depth}{_cell(parent['name'])}"
        yield f"| {parent.get('coefficient', 1.0):g} | {name} | `{_cell(parent['sha256'][:64])}` |"
        yield from _parents(parent.get("parents") or [], depth + 1)


def _cell(text: str) -> str:
    """Safe within a table."""
    return printable(re.sub(r"[|`<>\s]+", " ", text))


@contextmanager
def _one_line(name: str, revision: str | None, here: str = "no such path here, and ") -> Iterator[None]:
    """Turn what the hub's client raises into one line with a remedy; ``here`` is what was looked for before."""
    try:
        from huggingface_hub import errors
    except ImportError as error:
        raise NotInstalled("huggingface_hub", "llm") from error
    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError as error:
        raise UserError(
            f"{name}: access has to be asked for on the hub, and a token given with `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(f"{name}: {here}no such model on the hub (or it is private: `hf auth login`)") from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{name}: has no revision {revision!r} on the hub") from error
    except errors.HFValidationError as error:
        raise UserError(f"{name}: neither a path nor a hub id (org/name); check the spelling") from error
    except errors.LocalEntryNotFoundError as error:
        raise UserError(f"{name}: {here}not fetched before; the hub is switched off or unreachable") from error
    except Exception as error:  # its own, the system's, and those of an HTTP library that changes with releases
        reason = one_line(error, 120)
        raise UserError(
            f"{name}: {here}the hub refused or cannot be asked ({reason}); check name, network and login"
        ) from error
