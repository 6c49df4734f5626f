"""Whisper run by CTranslate2: the same windows, prompts and times as with transformers, in less time on a CPU, and in
8-bit integers where wanted. Models are converted once, by its own converter."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from syn2real.cache import cache_directory, only_one
from syn2real.errors import NotInstalled, UserError, did_you_mean
from syn2real.merge.export import QUANTIZATIONS, to_ctranslate2
from syn2real.speech.pretrained import WHISPER, checked_language, model_key, require_recogniser
from syn2real.speech.token_times import STEP, Decoding, text_tokens, token_times
from syn2real.speech.whisper_listener import SHORT_WINDOWS, Decode, WhisperListener

if TYPE_CHECKING:
    from transformers import WhisperFeatureExtractor, WhisperTokenizer

CPU = torch.device("cpu")


@dataclass(frozen=True)
class CTranslate2Whisper(WhisperListener):
    """A converted Whisper with the tokenizer and feature extractor of the model it was made of."""

    model: Any  # ctranslate2.models.Whisper
    tokenizer: "WhisperTokenizer"
    features: "WhisperFeatureExtractor"
    language: str | None  # ISO 639-1; None for the English-only models
    short: bool
    workers: int | None  # threads that share a batch's clips; None: the device takes them all at once

    @classmethod
    def load(
        cls,
        directory: Path,
        language: str | None = None,
        compute_type: str = "float32",
        device: torch.device = CPU,
    ) -> "CTranslate2Whisper":
        """Load a Hugging Face Whisper directory, converted into the cache if need be.

        Raises `NotInstalled` without CTranslate2, and `UserError` for a model that is no Whisper, a type that the
        device does not compute in, and as `checked_language` does.
        """
        if require_recogniser(directory) != WHISPER:
            raise UserError(f"{directory}: CTranslate2 runs Whisper, and this is a CTC model; use transformers")
        _require_type(compute_type, device.type)
        converted_to = converted(directory, compute_type)
        import ctranslate2
        from transformers import WhisperFeatureExtractor, WhisperTokenizer

        language = checked_language(directory, language)
        short = json.loads((directory / "config.json").read_text(encoding="utf-8")).get(SHORT_WINDOWS, False)
        threads = torch.get_num_threads()
        workers = threads if device.type == "cpu" else None
        model = ctranslate2.models.Whisper(
            str(converted_to),
            device=device.type,
            device_index=device.index or 0,
            compute_type=compute_type,
            inter_threads=workers or 1,
            intra_threads=1,
        )
        torch.set_num_threads(threads)  # which it has set to its own
        tokenizer = WhisperTokenizer.from_pretrained(directory)
        features = WhisperFeatureExtractor.from_pretrained(directory)
        return cls(model, tokenizer, features, language, bool(short), workers)

    @property
    def short_windows(self) -> bool:
        """Whether the model was trained on short windows and may be used with them."""
        return self.short

    def decode(self, features: torch.Tensor, how: Decode) -> list[Decoding]:
        """See `WhisperListener.decode`.

        On a CPU each thread takes its share of the clips through encoder and decoder: their products are too small to
        be divided among threads, which would wait for each other at every one.
        """
        workers = min(self.workers or 1, len(features))
        if workers < 2:
            return self._decode(features, how)

        def share(first: int) -> list[Decoding]:
            mine = slice(first, None, workers)
            return self._decode(features[mine], replace(how, frames=how.frames[mine]))

        with ThreadPoolExecutor(workers) as threads:
            shares = list(threads.map(share, range(workers)))
        return [shares[clip % workers][clip // workers] for clip in range(len(features))]

    def _decode(self, features: torch.Tensor, how: Decode) -> list[Decoding]:
        begin = self._begin()
        prompt = [*how.prompt, *begin, *([] if how.listening.times else [self.zero - 1])]
        encoded = self._encoded(features)
        answers = self.model.generate(
            encoded,
            [prompt] * len(features),
            beam_size=how.listening.beams,
            # Of this it gives half to what is written, or what the prompt leaves where that is less.
            max_length=max(2 * how.limit, how.limit + len(prompt)),
            no_repeat_ngram_size=how.repeated,
        )
        written = [answer.sequences_ids[0] for answer in answers]
        if how.listening.times != "word":
            return [Decoding(tokens) for tokens in written]
        return self._timed(encoded, begin, written, how.frames)

    def _encoded(self, features: torch.Tensor) -> Any:
        """What the encoder makes of features (clips, mels, frames): a `StorageView` of (clips, frames / 2, width).

        On a CPU it is given one clip at a time: what a batch of 16 holds between two layers is tens of megabytes, which
        it asks the system for, and gives back, again and again. That took a third of its time.
        """
        import ctranslate2

        mel = np.ascontiguousarray(features.numpy(), dtype=np.float32)
        size = 1 if self.workers else len(mel)
        parts = [
            self.model.encode(ctranslate2.StorageView.from_array(mel[start : start + size]))
            for start in range(0, len(mel), size)
        ]
        if len(parts) == 1:
            return parts[0]
        return ctranslate2.StorageView.from_array(np.concatenate([np.asarray(part) for part in parts]))

    def _timed(
        self, encoded: Any, begin: list[int], written: Sequence[list[int]], frames: tuple[int, ...]
    ) -> list[Decoding]:
        spoken = [text_tokens(tokens, self.zero) for tokens in written]
        aligned = self.model.align(encoded, begin, spoken, list(frames))
        decodings = []
        for tokens, words, alignment, count in zip(written, spoken, aligned, frames, strict=True):
            starts: list[float] = []
            for token, position in alignment.alignments:
                if token == len(starts):
                    starts.append(position * STEP)
            times = iter(token_times(starts, len(words), count / 100))
            decodings.append(Decoding(tokens, [next(times) if t < self.zero else (0.0, 0.0) for t in tokens]))
        return decodings

    def _begin(self) -> list[int]:
        names = ["<|startoftranscript|>"]
        if self.language is not None:
            names += [f"<|{self.language}|>", "<|transcribe|>"]
        return [self.tokenizer.convert_tokens_to_ids(name) for name in names]  # type: ignore[misc]


def converted(directory: Path, compute_type: str) -> Path:
    """A Hugging Face Whisper converted for CTranslate2, kept in the cache by its bytes and the type of its weights."""
    try:
        import ctranslate2
    except ModuleNotFoundError as error:
        raise NotInstalled("ctranslate2", "ctranslate2") from error

    name = f"ctranslate2-{ctranslate2.__version__}-{model_key(directory)[:16]}-{compute_type}"
    target = cache_directory() / "models" / name
    with only_one(name):
        if not target.is_dir():
            to_ctranslate2(directory, target, compute_type)
    return target


def _require_type(compute_type: str, device: str) -> None:
    try:
        import ctranslate2
    except ModuleNotFoundError as error:
        raise NotInstalled("ctranslate2", "ctranslate2") from error

    if compute_type not in QUANTIZATIONS:
        raise UserError(f"unknown compute type {compute_type!r}{did_you_mean(compute_type, QUANTIZATIONS)}")
    able = sorted(ctranslate2.get_supported_compute_types(device))
    if compute_type not in able:
        raise UserError(f"compute type {compute_type!r}: this {device.upper()} has none; choose from {', '.join(able)}")
