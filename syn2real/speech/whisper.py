"""Whisper as we use it: loading, prompt tokens, and encoding windows shorter than 30 s.

Whisper pads every clip to 30 s, and its encoder's cost is linear in frames. Its position table is a fixed table of
sinusoids, so a shorter input needs only the table's first rows: `encoder_window` lends the encoder such a slice for
one call. Nothing about the saved model changes, which keeps its full table and works at 30 s in plain transformers.
"""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from syn2real.errors import UserError, did_you_mean
from syn2real.speech.audio import SAMPLE_RATE, WINDOW
from syn2real.speech.corpus import Corpus
from syn2real.speech.recogniser import IGNORED, Clip, Recogniser, label_matrix, load_whole

if TYPE_CHECKING:
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

HOP = 160  # samples between two mel frames: 10 ms
FRAMES_PER_POSITION = 2  # the second convolution halves the frame rate: one encoder position is 20 ms
MAX_TARGET = 448  # decoder positions
COMPRESSION = 2.4  # of a text that repeats itself
REPEATED = 5  # tokens that may not be said twice in the same order, once a hypothesis was found to loop
SHORT_WINDOWS = "syn2real_short_windows"  # config key: this model was trained on windows shorter than 30 s
FULL = "full_"  # prefix of the tensors that are padded to 30 s

MARGIN = 0.5  # s of silence left after the longest clip of a short window, so that no final sound is cut
TOKENS_PER_SECOND = 12  # no language is spoken faster; caps the loops that Whisper falls into on noise
TOKENS_AT_LEAST = 24


@dataclass(frozen=True)
class WhisperRecogniser(Recogniser):
    """A Whisper model with its tokenizer and feature extractor."""

    model: "WhisperForConditionalGeneration"
    tokenizer: "WhisperTokenizer"
    features: "WhisperFeatureExtractor"
    language: str | None  # ISO 639-1; None for the English-only models

    windowed = True

    @classmethod
    def load(
        cls, directory: Path, language: str | None = None, device: str | torch.device = "cpu"
    ) -> "WhisperRecogniser":
        """Load a Hugging Face Whisper directory in float32.

        Raises `UserError` when it cannot be loaded, or when ``language`` is missing or unknown to the model.
        """
        from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

        parts = (WhisperForConditionalGeneration, WhisperTokenizer, WhisperFeatureExtractor)
        model, tokenizer, features = load_whole(directory, "Whisper", *parts)
        language = _check_language(model, directory, language)
        if language is not None:
            tokenizer.set_prefix_tokens(language=language, task="transcribe", predict_timestamps=False)
        model.to(torch.device(device))
        return cls(model, tokenizer, features, language)

    @property
    def in_training(self) -> dict[str, Any]:
        """See `Recogniser.in_training`."""
        return {"use_cache": False}

    @property
    def short_windows(self) -> bool:
        """Whether the model was trained on short windows and may be used with them."""
        return bool(getattr(self.model.config, SHORT_WINDOWS, False))

    def encode(self, clips: Sequence[np.ndarray], seconds: float) -> torch.Tensor:
        """Log-mel features of clips padded to a window: float32 of shape (clips, mels, 100 × seconds)."""
        batch = self.features(
            list(clips),
            sampling_rate=SAMPLE_RATE,
            padding="max_length",
            max_length=window_samples(seconds),
            return_tensors="pt",
        )
        return batch.input_features

    def label_ids(self, text: str) -> list[int]:
        """Token ids the decoder must produce after ``<|startoftranscript|>``: language, task, text, end.

        Raises `UserError` when the text is longer than the decoder.
        """
        prompt = self.tokenizer.prefix_tokens[1:]
        # Whisper was trained on text that begins with a space.
        words = self.tokenizer(" " + text.strip(), add_special_tokens=False).input_ids
        ids = [*prompt, *words, self.tokenizer.eos_token_id]
        if len(ids) >= MAX_TARGET:
            raise UserError(f"a transcript of {len(ids)} tokens exceeds Whisper's {MAX_TARGET}: {text[:60]!r}…")
        return ids

    def labels(self, corpus: Corpus) -> list[list[int]]:
        """See `Recogniser.labels`."""
        return [self.label_ids(utterance.text) for utterance in corpus]

    def collate(self, clips: Sequence[Clip]) -> dict[str, torch.Tensor]:
        """Tensors of the clips cut to the longest among them, and, prefixed with ``full_``, of those padded to 30 s."""
        short = [clip for clip in clips if not clip.full]
        full = [clip for clip in clips if clip.full]
        batch: dict[str, torch.Tensor] = {}
        if short:
            seconds = max(len(clip.samples) for clip in short) / SAMPLE_RATE
            batch |= self._tensors(short, seconds, "")
        if full:
            batch |= self._tensors(full, WINDOW, FULL)
        return batch

    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean loss per label token over both windows of a batch, the encoder cut to each in turn."""
        total, tokens = torch.zeros((), device=self.model.device), 0
        for prefix in ("", FULL):
            if f"{prefix}labels" not in batch:
                continue
            features, labels = batch[f"{prefix}input_features"], batch[f"{prefix}labels"]
            with encoder_window(self.model, features.shape[-1]):
                loss = model(input_features=features, labels=labels).loss
            count = int((labels != IGNORED).sum())
            total, tokens = total + loss * count, tokens + count
        return total / tokens

    def hear(self, clips: Sequence[np.ndarray], *, short: bool, beams: int) -> list[str]:
        """See `Recogniser.hear`. Without timestamps, and of at most 24 + 12 tokens per second of audio.

        A hypothesis that runs in a loop, as `loops` has it, is heard again with no 5 tokens said twice in the same
        order: one clip of a corpus, looping to the limit, can cost as many errors as all others.
        """
        options: dict[str, Any] = {"num_beams": beams}
        if self.language is not None:
            options |= {"language": self.language, "task": "transcribe"}
        longest = max(len(clip) for clip in clips) / SAMPLE_RATE
        seconds = min(longest + MARGIN, WINDOW) if short else WINDOW
        features = self.encode(clips, seconds).to(self.model.device, self.model.dtype)
        limit = min(round(TOKENS_AT_LEAST + TOKENS_PER_SECOND * longest), MAX_TARGET - 8)
        texts = self._generate(features, limit, options)
        looping = [place for place, text in enumerate(texts) if loops(text)]
        if looping:
            again = self._generate(features[looping], limit, options | {"no_repeat_ngram_size": REPEATED})
            for place, text in zip(looping, again, strict=True):
                texts[place] = text
        return texts

    def _generate(self, features: torch.Tensor, limit: int, options: dict[str, Any]) -> list[str]:
        with torch.inference_mode(), encoder_window(self.model, features.shape[-1]):
            tokens = self.model.generate(features, max_new_tokens=limit, **options)
        return [text.strip() for text in self.tokenizer.batch_decode(tokens, skip_special_tokens=True)]

    def save(self, directory: Path) -> None:
        """See `Recogniser.save`. The model is marked as one that has learnt short windows."""
        setattr(self.model.config, SHORT_WINDOWS, True)
        self.model.config.use_cache = True  # a base saved in the middle of some training may say otherwise
        super().save(directory)
        self.tokenizer.save_pretrained(directory)
        self.features.save_pretrained(directory)

    def _tensors(self, clips: Sequence[Clip], seconds: float, prefix: str) -> dict[str, torch.Tensor]:
        # Whisper pads with its end token, so labels are masked by length and never by id.
        features = self.encode([clip.samples for clip in clips], seconds)
        return {f"{prefix}input_features": features, f"{prefix}labels": label_matrix(clips)}


def loops(text: str) -> bool:
    """Whether a hypothesis repeats itself: its UTF-8 is more than 2.4 times as long as when compressed, which Whisper
    takes for a failed decoding too (Radford et al., 2023, section 4.5)."""
    plain = text.encode()
    return len(plain) > COMPRESSION * len(zlib.compress(plain))


def window_samples(seconds: float) -> int:
    """Samples of a window, rounded up to whole encoder positions and capped at 30 s."""
    step = HOP * FRAMES_PER_POSITION
    return min(-(-round(seconds * SAMPLE_RATE) // step) * step, round(WINDOW * SAMPLE_RATE))


@contextmanager
def encoder_window(model: nn.Module, frames: int) -> Iterator[None]:
    """Let the encoder take ``frames`` mel frames (even, at most 3000) for the length of a call.

    The slice is a view of the position table; it and the config are put back on leaving, so a model saved outside
    the block is the full one.
    """
    whisper: Any = model
    encoder, config = whisper.model.encoder, whisper.config
    table, full = encoder.embed_positions, config.max_source_positions
    positions = frames // FRAMES_PER_POSITION
    if positions == full:
        yield
        return
    encoder.embed_positions = nn.Embedding.from_pretrained(table.weight[:positions], freeze=True)
    config.max_source_positions = positions
    encoder.max_source_positions = positions
    try:
        yield
    finally:
        encoder.embed_positions = table
        config.max_source_positions = full
        encoder.max_source_positions = full


def _check_language(model: Any, directory: Path, language: str | None) -> str | None:
    known = getattr(model.generation_config, "lang_to_id", None)
    if not known:
        if language not in (None, "en"):
            raise UserError(f"{directory}: an English-only model cannot take language {language!r}")
        return None
    codes = [token.strip("<|>") for token in known]
    if language is None:
        raise UserError(f"{directory}: a multilingual model needs a language; pass --language, for instance es")
    if language not in codes:
        raise UserError(f"{directory}: unknown language {language!r}{did_you_mean(language, codes)}")
    return language
