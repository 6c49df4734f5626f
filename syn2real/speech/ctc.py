"""Wav2Vec2 and its kin with a CTC head (Graves et al., 2006): a character or a blank every 20 ms, read off greedily.

They hear a clip at its own length. Their convolutional feature encoder stays as it is in fine-tuning, as in the
recipes of Baevski et al. (2020).
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from syn2real.errors import UserError
from syn2real.merge import Checkpoint
from syn2real.speech.alphabet import Alphabet
from syn2real.speech.audio import SAMPLE_RATE
from syn2real.speech.corpus import Corpus, Utterance
from syn2real.speech.listening import Heard, Listening, Span, Times
from syn2real.speech.pretrained import CTC, require_recogniser
from syn2real.speech.recogniser import Clip, Recogniser, label_matrix, load_whole

if TYPE_CHECKING:
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor

SHORTEST = 4000  # samples: 12 frames, for the convolutions need one and a mask covers 10

# Weight normalisation in files that older versions of torch and transformers wrote; written again as they were read.
_OLD_NAMES = ((".parametrizations.weight.original0", ".weight_g"), (".parametrizations.weight.original1", ".weight_v"))


@dataclass(frozen=True)
class CtcRecogniser(Recogniser):
    """A CTC model of one of the types in `pretrained.CTC`, with its characters and feature extractor."""

    model: Any
    tokenizer: "Wav2Vec2CTCTokenizer"
    features: "Wav2Vec2FeatureExtractor"
    language: str | None  # not needed by the model, kept for whoever asks
    old_names: bool  # the file calls weight-normalised tensors by their old names

    windowed = False

    @classmethod
    def load(cls, directory: Path, language: str | None = None, device: str | torch.device = "cpu") -> "CtcRecogniser":
        """Load a Hugging Face directory in float32. Raises `UserError` when it cannot be loaded, lacks weights (such as
        the head, where it was only pre-trained), or is made of adapters by language."""
        import transformers

        kind = require_recogniser(directory)
        if not (directory / "vocab.json").is_file():
            raise UserError(f"{directory}: no vocab.json; a CTC model needs the characters that its outputs stand for")
        parts = (transformers.Wav2Vec2CTCTokenizer, transformers.Wav2Vec2FeatureExtractor)
        model, tokenizer, features = load_whole(directory, kind, getattr(transformers, CTC[kind]), *parts)
        if getattr(model.config, "adapter_attn_dim", None) is not None:
            raise UserError(f"{directory}: adapters by language (MMS) are not supported; give a plain CTC model")
        if features.sampling_rate != SAMPLE_RATE:
            raise UserError(f"{directory}: hears {features.sampling_rate} Hz; give a model of {SAMPLE_RATE} Hz")
        model.to(torch.device(device))
        old_names = any(name.endswith(".weight_g") for name in Checkpoint.open(directory))
        recogniser = cls(model, tokenizer, features, language, old_names)
        recogniser._require_vocabulary(directory)
        return recogniser

    @property
    def in_training(self) -> dict[str, Any]:
        """See `Recogniser.in_training`. A clip too short for its label adds nothing rather than infinity."""
        return {"ctc_loss_reduction": "mean", "ctc_zero_infinity": True}

    @property
    def short_windows(self) -> bool:
        """Always: there is no other window than the clip."""
        return True

    @cached_property
    def alphabet(self) -> Alphabet:
        """The characters that the model writes."""
        return Alphabet.of(self.tokenizer.get_vocab(), self.tokenizer.word_delimiter_token)

    def labels(self, corpus: Corpus) -> list[list[int]]:
        """Character ids of every transcript, spelt as `Alphabet.spell` does.

        Raises `UserError` naming every character that the model does not know, a transcript without any that it does,
        and a clip that is too short for its transcript.
        """
        unknown: Counter[str] = Counter()
        first: dict[str, Utterance] = {}
        labels = []
        for utterance in corpus:
            spelling = self.alphabet.spell(utterance.text)
            unknown.update(spelling.unknown)
            for character in spelling.unknown:
                first.setdefault(character, utterance)
            labels.append(spelling.ids)
        if unknown:
            listed = ", ".join(f"{c!r} ({n} times, first in {first[c].id})" for c, n in unknown.most_common(10))
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            raise UserError(
                f"the model cannot write {listed}{more}; spell numbers and signs out, replace or drop other characters"
            )
        for utterance, ids in zip(corpus, labels, strict=True):
            self._require_room(utterance, ids)
        return labels

    def collate(self, clips: Sequence[Clip]) -> dict[str, torch.Tensor]:
        """``input_values`` of shape (clips, samples), labels, and an attention mask where the model knows one."""
        return self._inputs([clip.samples for clip in clips]) | {"labels": label_matrix(clips)}

    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean over clips of the CTC loss per label token."""
        return model(**batch).loss

    def listen(self, clips: Sequence[np.ndarray], how: Listening) -> list[Heard]:
        """See `Listener.listen`. A word's time is that of the frames its letters stand in; there is one segment.

        Raises `UserError` for beams and prompts: without a language model there is nothing to weigh.
        """
        if how.beams != 1:
            raise UserError(f"a CTC model is read greedily and has no beams; use 1, not {how.beams}")
        if how.prompt is not None:
            raise UserError("a CTC model hears sounds alone and takes no prompt; leave it out, or use Whisper")
        inputs = {name: tensor.to(self.model.device) for name, tensor in self._inputs(clips).items()}
        with torch.inference_mode():
            best = self.model(**inputs).logits.argmax(dim=-1).cpu()
        # What is heard in the padding behind a clip is not of it.
        frames = [self._frames(len(clip)) for clip in clips]
        ids = [row[:count].tolist() for row, count in zip(best, frames, strict=True)]
        if how.times is not None:
            return [self._timed(row, how.times) for row in ids]
        return [Heard(text.strip()) for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def _timed(self, ids: list[int], times: Times) -> Heard:
        read: Any = self.tokenizer.decode(ids, skip_special_tokens=True, output_word_offsets=True)
        step = self.model.config.inputs_to_logits_ratio / SAMPLE_RATE
        spans = [
            Span(round(word["start_offset"] * step, 3), round(word["end_offset"] * step, 3), word["word"])
            for word in read["word_offsets"]
            if word["word"]
        ]
        text = read["text"].strip()
        if times == "segment" and spans:
            spans = [Span(spans[0].begin, spans[-1].end, text)]
        return Heard(text, tuple(spans))

    @contextmanager
    def trained(self, *, spec_augment: bool) -> Iterator[None]:
        """See `Recogniser.trained`; the feature encoder is not trained."""
        self.model.freeze_feature_encoder()
        with super().trained(spec_augment=spec_augment):
            if not hasattr(self.model.config, "mask_feature_min_masks"):  # WavLM's lacks what its own masking asks for
                self.model.config.mask_feature_min_masks = 0
            yield

    def save(self, directory: Path, *, full_windows: float = 0.0) -> None:
        """See `Recogniser.save`."""
        from transformers import Wav2Vec2Processor

        super().save(directory, full_windows=full_windows)
        Wav2Vec2Processor(feature_extractor=self.features, tokenizer=self.tokenizer).save_pretrained(directory)
        self.features.save_pretrained(directory)

    def stored_name(self, name: str) -> str:
        """See `Recogniser.stored_name`."""
        if self.old_names:
            for new, old in _OLD_NAMES:
                name = re.sub(f"{re.escape(new)}$", old, name)
        return name

    def _inputs(self, clips: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        clips = [np.pad(clip, (0, max(0, SHORTEST - len(clip)))) for clip in clips]
        # Clip by clip, so that one is levelled by its own samples and not by the padding behind it.
        values = [self.features(clip, sampling_rate=SAMPLE_RATE).input_values[0] for clip in clips]
        return dict(self.features.pad({"input_values": values}, padding=True, return_tensors="pt"))

    def _frames(self, samples: int) -> int:
        return max(int(self.model._get_feat_extract_output_lengths(samples)), 0)

    def _require_vocabulary(self, directory: Path) -> None:
        vocabulary, delimiter = self.tokenizer.get_vocab(), self.tokenizer.word_delimiter_token
        if delimiter not in vocabulary:
            raise UserError(f"{directory}: its vocabulary lacks {delimiter!r}, which parts words; get it anew")
        outputs = self.model.config.vocab_size
        if self.tokenizer.pad_token_id != self.model.config.pad_token_id or any(
            index >= outputs for index in (self.alphabet.between, *self.alphabet.ids.values())
        ):
            raise UserError(f"{directory}: vocab.json is not of this model's {outputs} outputs; get it anew")

    def _require_room(self, utterance: Utterance, ids: list[int]) -> None:
        """CTC puts a blank between equal characters, so that these need one frame more."""
        if not ids:
            raise UserError(f"{utterance.audio_filepath}: {utterance.text!r} holds no letters; drop the utterance")
        frames = self._frames(round(utterance.duration * SAMPLE_RATE))
        needed = len(ids) + sum(a == b for a, b in pairwise(ids))
        if frames < needed:
            raise UserError(
                f"{utterance.audio_filepath}: {utterance.duration:.2f} s are too short for {utterance.text[:60]!r} "
                f"({frames} frames, {needed} needed); correct the transcript or drop the utterance"
            )
