"""A causal language model on this machine."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from syn2real.errors import UserError, did_you_mean, one_line
from syn2real.language.chat.model import Conversation, Message, Sampling
from syn2real.language.chat.threads import fair_share, side_by_side
from syn2real.language.chat.weights import PACKAGES, model_identity, resolve_chat_model

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")
BATCH = 8  # conversations answered at once
USUAL = 128  # tokens of a conversation, of which a batch may hold as many as it has places
WORTH = 8  # tokens that all conversations of a batch begin with, which are then read once
DTYPES = ("float32", "bfloat16", "float16")


class LocalModel:
    """Any causal language model of transformers with a chat template."""

    def __init__(
        self, name: str, licence: str, identity: str, model: Any, tokenizer: Any, batch_size: int = BATCH
    ) -> None:
        self.name = name
        self.licence = licence
        self.identity = identity
        self.batch_size = batch_size
        self._model = model
        self._tokenizer = tokenizer

    @classmethod
    def load(
        cls,
        name: str,
        device: str | None = None,
        batch_size: int = BATCH,
        dtype: str | None = None,
        *,
        template: bool = True,
    ) -> "LocalModel":
        """Load a directory, a packaged model or a hub id, computed in ``dtype`` (float32 on a CPU, bfloat16 elsewhere,
        unless it is given). Raises `UserError` for a model that cannot chat, unless one without a chat ``template``
        will do, which can only go on with texts."""
        if dtype not in (None, *DTYPES):
            raise UserError(f"dtype {dtype!r}: unknown{did_you_mean(str(dtype), DTYPES)}; {' or '.join(DTYPES)}")
        directory = resolve_chat_model(name)
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
        from transformers.utils import logging

        bars = logging.is_progress_bar_enabled()
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        # A CPU is mostly slower in bfloat16 than in float32; one with AVX512-BF16 or AMX takes half the time.
        width = getattr(torch, dtype or ("float32" if device == "cpu" else "bfloat16"))
        logging.disable_progress_bar()
        try:
            tokenizer = AutoTokenizer.from_pretrained(directory)
            model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=width)
            model = model.to(device).eval()
        except Exception as error:  # of transformers, of the weights' reader, of the device
            raise UserError(f"{directory}: cannot be loaded as a chat model ({one_line(error)})") from error
        finally:
            if bars:
                logging.enable_progress_bar()
        if template and not tokenizer.chat_template:
            raise UserError(f"{directory}: has no chat template; choose an instruction-tuned model")
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        # What a model's authors recommend beside (penalties, beams, sampling) would come before what `Sampling` says,
        # and generate() fills it in whatever it is given.
        own = model.generation_config
        model.generation_config = GenerationConfig(
            bos_token_id=own.bos_token_id, eos_token_id=own.eos_token_id, pad_token_id=tokenizer.pad_token_id
        )
        licence = PACKAGES[name].licence if name in PACKAGES else "see the model's card"
        called = name if name in PACKAGES else Path(name).name
        identity = model_identity(directory)
        # What another width computes is another answer; what was kept without one was computed in its device's.
        return cls(called, licence, f"{identity} {dtype}" if dtype else identity, model, tokenizer, batch_size)

    def replies(self, conversations: Sequence[Conversation], sampling: Sampling, seeds: Sequence[int]) -> list[str]:
        """See `ChatModel.replies`. Raises `UserError` for a conversation longer than the model's context."""
        return self.continued([self.templated(turns) for turns in conversations], sampling, seeds)

    def spoken(self, conversation: Conversation, sampling: Sampling, seed: int, hear: Callable[[str], None]) -> str:
        """The answer to one conversation, as in `replies`; ``hear`` is given it word by word."""
        from transformers import TextStreamer

        class Words(TextStreamer):
            def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
                if text:
                    hear(text)

        words = Words(self._tokenizer, skip_prompt=True, skip_special_tokens=True)
        (answer,) = self._batch([self.templated(conversation)], sampling, [seed], words)
        return answer

    def fitted(self, conversation: Conversation, sampling: Sampling) -> Conversation:
        """See `ChatModel.fitted`."""
        left = self.left(self.templated(conversation), sampling)
        if left >= 0:
            return conversation
        *before, last = conversation
        tokens = self._tokenizer(last.content, add_special_tokens=False).input_ids
        # Cut text may be tokenised anew, in some tokens more.
        while left < 0 and tokens:
            tokens = tokens[-left:]
            shorter = [*before, Message(last.role, self._tokenizer.decode(tokens).lstrip())]
            left = self.left(self.templated(shorter), sampling)
        return conversation if left < 0 else shorter

    @property
    def beginning(self) -> str:
        """The mark of a text's beginning; of its end, where the tokenizer has no other."""
        return str(self._tokenizer.bos_token or self._tokenizer.eos_token or "")

    def templated(self, conversation: Conversation, *, answered: bool = False) -> str:
        """A conversation as the model reads it; ``answered`` when its last turn is an answer and none is to come."""
        turns = [{"role": turn.role, "content": turn.content} for turn in conversation]
        # A judge's template ends with the question to it either way.
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=not answered))

    def continued(self, texts: Sequence[str], sampling: Sampling, seeds: Sequence[int] = ()) -> list[str]:
        """What comes after each text, special tokens left out, drawn as in `replies`. Raises `UserError` for one longer
        than the model's context."""
        tokens = self._tokenizer(list(texts), add_special_tokens=False).input_ids if texts else []
        lengths = [len(each) for each in tokens]

        def answered(places: Sequence[int]) -> list[str]:
            own = [seeds[place] for place in places] if seeds else []
            return self._batch([texts[place] for place in places], sampling, own)

        return self._in_batches(lengths, answered)

    def left(self, text: str, sampling: Sampling) -> int:
        """Tokens that the context has left after a text and its answer, below 0 where it lacks them; 0 where it knows
        no end."""
        if self._room is None:
            return 0
        return self._room - sampling.max_tokens - len(self._tokenizer(text, add_special_tokens=False).input_ids)

    def likelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, int]]:
        """Of each text and what comes after it: the log-likelihood of the latter's tokens (nats), and their number.

        The two are cut into tokens apart. Raises `UserError` for what is longer than the model's context.
        """

        def cut(text: str) -> list[int]:
            return list(self._tokenizer(text, add_special_tokens=False).input_ids)

        rows = [(cut(before), cut(after)) for before, after in pairs]
        lengths = [len(before) + len(after) for before, after in rows]
        return self._in_batches(lengths, lambda places: self._likelihoods([rows[place] for place in places]))

    def _in_batches(self, lengths: Sequence[int], work: Callable[[Sequence[int]], Sequence[T]]) -> list[T]:
        """What ``work`` finds of each text, given the places of a batch of texts of these lengths (tokens)."""
        alone = self._model.device.type != "cpu"
        parts = batches(lengths, self.batch_size if alone else fair_share(len(lengths), self.batch_size))
        found: dict[int, T] = {}
        for places, results in zip(parts, map(work, parts) if alone else side_by_side(work, parts), strict=True):
            found |= zip(places, results, strict=True)
        return [found[place] for place in range(len(lengths))]

    def _likelihoods(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, int]]:
        """Of one batch, as tokens."""
        import torch

        rows = [[*before, *after] for before, after in pairs]
        longest = max(map(len, rows))
        if self._room is not None and longest > self._room:
            raise UserError(f"{self.name}: {longest} tokens exceed its {self._room}")
        # Padded at the end, where no token sees it.
        ids = torch.tensor([row + [self._tokenizer.pad_token_id] * (longest - len(row)) for row in rows])
        kept = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        with torch.inference_mode():
            logits = self._model(
                input_ids=ids.to(self._model.device), attention_mask=kept.to(self._model.device)
            ).logits
        found = []
        for row, (a, b) in enumerate(pairs):
            # The first token of a text that nothing comes before is not foretold.
            start = max(1, len(a))
            foretold = logits[row, start - 1 : len(a) + len(b) - 1].float().log_softmax(-1)
            likely = foretold.gather(1, ids[row, start : len(a) + len(b), None].to(foretold.device))
            found.append((float(likely.double().sum()), len(likely)))
        return found

    def _batch(self, texts: Sequence[str], sampling: Sampling, seeds: Sequence[int], streamer: Any = None) -> list[str]:
        import torch

        rows = self._tokenizer(list(texts), add_special_tokens=False).input_ids
        length = max(map(len, rows))
        if self._room is not None and length + sampling.max_tokens > self._room:
            raise UserError(f"{self.name}: {length} tokens and {sampling.max_tokens} to come exceed its {self._room}")
        device = self._model.device
        shared = commonly_begun(rows)
        read = self._read(torch.tensor([rows[0][:shared]], device=device), len(rows)) if shared else None
        if read is None:
            shared = 0
        # What pads a row comes after what all begin with.
        padded = [row[:shared] + [self._tokenizer.pad_token_id] * (length - len(row)) + row[shared:] for row in rows]
        heeded = [[1] * shared + [0] * (length - len(row)) + [1] * (len(row) - shared) for row in rows]
        draws = [Draw(sampling, seeds)] if sampling.temperature else []
        with torch.inference_mode():
            # Greedy, for the draw is made by noise on the scores, and each row has its own.
            output = self._model.generate(
                input_ids=torch.tensor(padded, device=device),
                attention_mask=torch.tensor(heeded, device=device),
                do_sample=False,
                max_new_tokens=sampling.max_tokens,
                logits_processor=draws,
                streamer=streamer,
                past_key_values=read,
            )
        return [text.strip() for text in self._tokenizer.batch_decode(output[:, length:], skip_special_tokens=True)]

    def _read(self, beginning: "Tensor", rows: int) -> Any:
        """Keys and values of what all ``rows`` begin with, computed once; None for models that keep others."""
        import torch
        from transformers.cache_utils import DynamicCache, DynamicLayer

        with torch.inference_mode():
            cache = self._model(input_ids=beginning, use_cache=True).past_key_values
        if type(cache) is not DynamicCache or any(type(layer) is not DynamicLayer for layer in cache.layers):
            return None
        cache.batch_repeat_interleave(rows)
        return cache

    @property
    def _room(self) -> int | None:
        return getattr(self._model.config, "max_position_embeddings", None)


def batches(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Places of texts of these lengths (tokens), in batches of at most ``size`` and of like length.

    A batch is padded to its longest text, so one that would come to more than ``size`` * `USUAL` tokens so is split: a
    long text costs what it is and not many times as much.
    """
    found: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        rows = len(found[-1]) + 1 if found else 0
        if not rows or rows > size or rows * lengths[place] > size * USUAL:
            found.append([])
        found[-1].append(place)
    return found


def commonly_begun(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with, a template's and a question's; 0 where that is not worth a step of its own.

    One token at least is left of each row.
    """
    if len(rows) < 2:
        return 0
    most = min(map(len, rows)) - 1
    same = next((at for at in range(most) if len({row[at] for row in rows}) > 1), most)
    return same if same >= WORTH else 0


class Draw:
    """Sampling by the Gumbel-max trick: the largest of score/T plus Gumbel noise is a draw from softmax(score/T).

    Each row has a generator of its own, so that its answer does not depend on the rows beside it.
    """

    def __init__(self, sampling: Sampling, seeds: Sequence[int]) -> None:
        import torch

        self._sampling = sampling
        self._generators = [torch.Generator().manual_seed(seed % 2**63) for seed in seeds]

    def __call__(self, input_ids: "torch.LongTensor", scores: "torch.FloatTensor") -> "Tensor":
        """Scores (float, shape (rows, vocabulary)) with the noise of the next draw."""
        import torch

        scaled = likeliest(scores.float() / self._sampling.temperature, self._sampling.top_p)
        size = scores.shape[1]
        uniform = torch.stack([torch.rand(size, generator=generator) for generator in self._generators])
        tiny = torch.finfo(torch.float32).tiny
        waits = -torch.log(uniform.clamp(min=tiny))  # exponential
        noise = -torch.log(waits.clamp(min=tiny))
        return scaled + noise.to(scaled.device)


def likeliest(scores: "Tensor", share: float) -> "Tensor":
    """Scores (shape (rows, vocabulary)) with all set to -inf but the likeliest that together have ``share`` of the
    probability: nucleus sampling."""
    if share >= 1:
        return scores
    ordered, places = scores.sort(dim=-1, descending=True)
    chances = ordered.softmax(-1)
    out = chances.cumsum(-1) - chances >= share  # of those before it: the first is always kept
    return scores.masked_fill(out.scatter(-1, places, out), float("-inf"))
