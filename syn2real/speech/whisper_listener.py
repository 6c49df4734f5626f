"""How Whisper listens, whatever runs it: windows, prompts, limits, loops mended, and times read from its tokens."""

import zlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from syn2real.errors import UserError
from syn2real.speech.audio import SAMPLE_RATE, WINDOW
from syn2real.speech.listening import Heard, Listener, Listening, Span
from syn2real.speech.token_times import Decoding, segments, unheard_from, words

if TYPE_CHECKING:
    from transformers import WhisperFeatureExtractor, WhisperTokenizer

HOP = 160  # samples between two mel frames: 10 ms
FRAMES_PER_POSITION = 2  # the second convolution halves the frame rate: one encoder position is 20 ms
MAX_TARGET = 448  # decoder positions
MAX_PROMPT = MAX_TARGET // 2 - 1  # tokens of what was said before, as in Whisper's own release
COMPRESSION = 2.4  # of a text that repeats itself
REPEATED = 5  # tokens that may not be said twice in the same order, once a hypothesis was found to loop
SHORT_WINDOWS = "syn2real_short_windows"  # config key: this model was trained on windows shorter than 30 s

MARGIN = 0.5  # s of silence left after the longest clip of a short window, so that no final sound is cut
TOKENS_PER_SECOND = 12  # as fast as anybody speaks; caps the loops that Whisper falls into on noise
TOKENS_AT_LEAST = 24
CHARACTERS_PER_SECOND = 30  # nobody speaks faster, in scripts of which a token is less than a character either
TIME_TOKENS = 16  # more, where segments are timed
REMAINDER = 0.5  # s: less than that behind the last whole sentence is not heard again


@dataclass(frozen=True)
class Decode:
    """How tokens are drawn from a batch of features."""

    limit: int  # tokens of each hypothesis
    listening: Listening
    prompt: tuple[int, ...]  # tokens of what was said before, with the one that begins them; may be empty
    frames: tuple[int, ...]  # of each clip without its padding
    repeated: int = 0  # tokens in a row that may not come twice; 0 for any


class WhisperListener(Listener):
    """A Whisper model with its tokenizer and feature extractor; `decode` is left to what runs it."""

    tokenizer: "WhisperTokenizer"
    features: "WhisperFeatureExtractor"

    @property
    def zero(self) -> int:
        """The id of ``<|0.00|>``, which follows that of the token for no times."""
        return int(self.tokenizer.convert_tokens_to_ids("<|notimestamps|>")) + 1  # type: ignore[arg-type]

    @abstractmethod
    def decode(self, features: torch.Tensor, how: Decode) -> list[Decoding]:
        """What a batch of features says, greedily or by beams. Raises `UserError` when words cannot be timed."""

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

    def listen(self, clips: Sequence[np.ndarray], how: Listening) -> list[Heard]:
        """See `Listener.listen`. Of at most 24 + 12 tokens per second of audio; a hypothesis that ends there, although
        it has fewer characters than can be spoken, is heard again with as many tokens as there are, for of some scripts
        Whisper writes single bytes.

        A hypothesis that runs in a loop, as `loops` has it, is heard again with no 5 tokens said twice in the same
        order: one clip of a corpus, looping to the limit, can cost as many errors as all others. Where segments are
        timed, Whisper leaves a last sentence out that its window cuts; the rest of the clip is then heard again.
        """
        heard, rest = self._listen(clips, how)
        while rest:
            places = list(rest)
            more, left = self._listen([clips[p][round(rest[p] * SAMPLE_RATE) :] for p in places], how)
            for place, addition in zip(places, more, strict=True):
                spans = heard[place].spans + tuple(span.later(rest[place]) for span in addition.spans)
                heard[place] = Heard(" ".join(filter(None, (heard[place].text, addition.text))), spans)
            rest = {places[p]: rest[places[p]] + seconds for p, seconds in left.items()}
        return heard

    def _listen(self, clips: Sequence[np.ndarray], how: Listening) -> tuple[list[Heard], dict[int, float]]:
        """What was heard, and the places of clips of which the rest must be heard again, with the second it begins."""
        longest = max(len(clip) for clip in clips) / SAMPLE_RATE
        seconds = min(longest + MARGIN, WINDOW) if how.short else WINDOW
        features = self.encode(clips, seconds)
        prompt = self._prompt(how.prompt)
        limit = round(TOKENS_AT_LEAST + TOKENS_PER_SECOND * longest) + (TIME_TOKENS if how.times else 0)
        room = MAX_TARGET - 8 - len(prompt)
        decode = Decode(min(limit, room), how, prompt, tuple(len(clip) // HOP for clip in clips))
        lengths = [len(clip) / SAMPLE_RATE for clip in clips]
        decodings, texts = self._decoded_whole(features, decode, room, lengths)
        if how.times is None:
            return [Heard(text) for text in texts], {}
        heard = [
            Heard(text, tuple(self._spans(decoding, length, how)))
            for text, decoding, length in zip(texts, decodings, lengths, strict=True)
        ]
        rest = {place: unheard_from(decoding.tokens, self.zero) for place, decoding in enumerate(decodings)}
        return heard, {
            place: begin
            for place, begin in rest.items()
            if begin is not None and REMAINDER < begin < lengths[place] - REMAINDER
        }

    def _decoded_whole(
        self, features: torch.Tensor, how: Decode, room: int, lengths: Sequence[float]
    ) -> tuple[list[Decoding], list[str]]:
        """What `decode` gives, and its texts; those that were cut short have had ``room`` for more tokens, those that
        ran in loops have been heard again without."""
        decodings = self.decode(features, how)
        texts = [self.text(decoding.tokens) for decoding in decodings]

        def again(places: Sequence[int], other: Decode) -> None:
            if not places:
                return
            other = replace(other, frames=tuple(how.frames[place] for place in places))
            for place, decoding in zip(places, self.decode(features[places], other), strict=True):
                decodings[place], texts[place] = decoding, self.text(decoding.tokens)

        cut = [
            place
            for place, (decoding, text, length) in enumerate(zip(decodings, texts, lengths, strict=True))
            if how.limit <= len(decoding.tokens) < room
            and len(text) < CHARACTERS_PER_SECOND * length
            and not loops(text)
        ]
        whole = replace(how, limit=room)
        again(cut, whole)
        looping = [place for place, text in enumerate(texts) if loops(text)]
        again([place for place in looping if place in cut], replace(whole, repeated=REPEATED))
        again([place for place in looping if place not in cut], replace(how, repeated=REPEATED))
        return decodings, texts

    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without those that are times."""
        return self._decoded(tokens).strip()

    def _spans(self, decoding: Decoding, length: float, how: Listening) -> list[Span]:
        if how.times == "word":
            return words(decoding, self.zero, length, self._decoded, self.language)
        return segments(decoding, self.zero, length, self._decoded)

    def _decoded(self, tokens: Sequence[int]) -> str:
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True)

    def _prompt(self, text: str | None) -> tuple[int, ...]:
        if text is None or not text.strip():
            return ()
        ids = self.tokenizer(" " + text.strip(), add_special_tokens=False).input_ids
        if len(ids) > MAX_PROMPT:
            raise UserError(f"a prompt of {len(ids)} tokens exceeds Whisper's {MAX_PROMPT}: {text[:60]!r}…; shorten it")
        return (self.tokenizer.convert_tokens_to_ids("<|startofprev|>"), *ids)


def loops(text: str) -> bool:
    """Whether a hypothesis repeats itself: its UTF-8 is more than 2.4 times as long as when compressed, which Whisper
    takes for a failed decoding too (Radford et al., 2023, section 4.5)."""
    plain = text.encode()
    return len(plain) > COMPRESSION * len(zlib.compress(plain))


def window_samples(seconds: float) -> int:
    """Samples of a window, rounded up to whole encoder positions and capped at 30 s."""
    step = HOP * FRAMES_PER_POSITION
    return min(-(-round(seconds * SAMPLE_RATE) // step) * step, round(WINDOW * SAMPLE_RATE))
