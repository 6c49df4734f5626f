"""Whisper as we use it: loading, prompt tokens, and encoding windows shorter than 30 s.

Whisper pads every clip to 30 s, and its encoder's cost is linear in frames. Its position table is a fixed table of
sinusoids, so a shorter input needs only the table's first rows: `encoder_window` lends the encoder such a slice for
one call. Nothing about the saved model changes, which keeps its full table and works at 30 s in plain transformers.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from syn2real.errors import UserError, did_you_mean
from syn2real.speech.audio import SAMPLE_RATE, WINDOW
from syn2real.speech.pretrained import require_whisper

if TYPE_CHECKING:
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

HOP = 160  # samples between two mel frames: 10 ms
FRAMES_PER_POSITION = 2  # the second convolution halves the frame rate: one encoder position is 20 ms
MAX_TARGET = 448  # decoder positions
SHORT_WINDOWS = "syn2real_short_windows"  # config key: this model was trained on windows shorter than 30 s


@dataclass(frozen=True)
class Recogniser:
    """A Whisper model with its tokenizer and feature extractor."""

    model: "WhisperForConditionalGeneration"
    tokenizer: "WhisperTokenizer"
    features: "WhisperFeatureExtractor"
    language: str | None  # ISO 639-1; None for the English-only models

    @classmethod
    def load(cls, directory: Path, language: str | None = None, device: str | torch.device = "cpu") -> "Recogniser":
        """Load a Hugging Face Whisper directory in float32.

        Raises `UserError` when it is no Whisper model, or when ``language`` is missing or unknown to the model.
        """
        from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

        _quiet_transformers()
        require_whisper(directory)
        try:
            loaded: Any = WhisperForConditionalGeneration.from_pretrained(
                directory, dtype=torch.float32, output_loading_info=True
            )
            tokenizer = WhisperTokenizer.from_pretrained(directory)
            features = WhisperFeatureExtractor.from_pretrained(directory)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{directory}: cannot be loaded as a Whisper model: {reason}; get it anew") from error
        model, report = loaded
        missing = sorted(report["missing_keys"])
        if missing:  # transformers would go on with random numbers
            raise UserError(f"{directory}: {len(missing)} weights are missing, {missing[0]} first; get it anew")
        language = _check_language(model, directory, language)
        if language is not None:
            tokenizer.set_prefix_tokens(language=language, task="transcribe", predict_timestamps=False)
        model.to(torch.device(device))
        return cls(model, tokenizer, features, language)

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

    def replace_weights(self, tensor: Callable[[str], torch.Tensor]) -> None:
        """Overwrite every stored weight with ``tensor(name)``; tied weights follow the one that is stored."""
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(tensor(name))

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


def _quiet_transformers() -> None:
    """Keep transformers' own bars and notices off the user's terminal: we show progress, and check what it warns of."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def pick_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
