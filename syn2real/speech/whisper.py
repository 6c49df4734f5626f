"""Whisper as we use it: loading, prompt tokens, and encoding windows shorter than 30 s.

Whisper pads every clip to 30 s, and its encoder's cost is linear in frames. Its position table is one of sinusoids,
so a shorter input needs only the table's first rows: `encoder_window` lends the encoder such a slice for one call, in
which they are fixed. The saved model keeps its full table and works at 30 s in plain transformers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from syn2real.errors import UserError
from syn2real.speech.audio import SAMPLE_RATE, WINDOW
from syn2real.speech.corpus import Corpus
from syn2real.speech.pretrained import checked_language
from syn2real.speech.recogniser import IGNORED, Clip, Recogniser, label_matrix, load_whole
from syn2real.speech.token_times import Decoding
from syn2real.speech.whisper_listener import (
    FRAMES_PER_POSITION,
    MAX_TARGET,
    SHORT_WINDOWS,
    Decode,
    WhisperListener,
)

if TYPE_CHECKING:
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

FULL = "full_"  # prefix of the tensors that are padded to 30 s


@dataclass(frozen=True)
class WhisperRecogniser(WhisperListener, Recogniser):
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
        language = checked_language(directory, language)
        if language is not None:
            tokenizer.set_prefix_tokens(language=language, task="transcribe", predict_timestamps=False)
            # Saved with the model, so that whoever loads it need not know what it was tuned for.
            model.generation_config.language, model.generation_config.task = language, "transcribe"
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
        found = []
        for utterance in corpus:
            try:
                found.append(self.label_ids(utterance.text))
            except UserError as error:
                raise UserError(f"{utterance.id}: {error}; split the recording, or leave it out") from error
        return found

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

    def decode(self, features: torch.Tensor, how: Decode) -> list[Decoding]:
        """See `WhisperListener.decode`."""
        options: dict[str, Any] = {"num_beams": how.listening.beams, "max_new_tokens": how.limit}
        if how.repeated:
            options["no_repeat_ngram_size"] = how.repeated
        if how.prompt:
            options["prompt_ids"] = torch.tensor(how.prompt, device=self.model.device)
        timed = how.listening.times == "word"
        if how.listening.times is not None:
            options |= {"return_timestamps": True, "force_unique_generate_call": True}
        if timed:
            if not getattr(self.model.generation_config, "alignment_heads", None):
                raise UserError(
                    "words cannot be timed: the model's generation_config.json names no alignment_heads; take them "
                    "from the model it was made of, or ask for segments"
                )
            frames = torch.tensor(how.frames)[:, None]
            mask = torch.arange(features.shape[-1])[None, :] < frames
            options |= {"return_token_timestamps": True, "attention_mask": mask.long().to(self.model.device)}
        features = features.to(self.model.device, self.model.dtype)
        with torch.inference_mode(), encoder_window(self.model, features.shape[-1]):
            answer = self.model.generate(features, **options)
        if not timed:
            return [Decoding(self._written(row)) for row in answer.tolist()]
        # What transformers gives with a token is the time at which the next begins.
        rows = zip(answer["sequences"].tolist(), answer["token_timestamps"].tolist(), strict=True)
        return [self._timed(row, ends) for row, ends in rows]

    def _written(self, row: list[int]) -> list[int]:
        """Tokens of a hypothesis up to its end."""
        end = self.tokenizer.eos_token_id
        return row[: row.index(end)] if end in row else row

    def _timed(self, row: list[int], ends: list[float]) -> Decoding:
        begin = self.model.generation_config.decoder_start_token_id
        first = row.index(begin) + 1 if begin in row else 0  # here a prompt is given back before what was written
        tokens = self._written(row[first:])
        return Decoding(tokens, list(pairwise([0.0, *ends[first:]]))[: len(tokens)])

    def save(self, directory: Path, *, full_windows: float = 0.0) -> None:
        """See `Recogniser.save`. A model that has learnt short windows is marked as one."""
        setattr(self.model.config, SHORT_WINDOWS, full_windows < 1)
        self.model.config.use_cache = True  # a base saved in the middle of some training may say otherwise
        super().save(directory, full_windows=full_windows)
        self.tokenizer.save_pretrained(directory)
        self.features.save_pretrained(directory)

    def _tensors(self, clips: Sequence[Clip], seconds: float, prefix: str) -> dict[str, torch.Tensor]:
        # Whisper pads with its end token, so labels are masked by length and never by id.
        features = self.encode([clip.samples for clip in clips], seconds)
        return {f"{prefix}input_features": features, f"{prefix}labels": label_matrix(clips)}


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
