"""BERTScore (Zhang et al., 2020): how alike the words of answer and reference are to a language model, by the package
bert-score."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from syn2real.errors import NotInstalled, UserError, one_line
from syn2real.language.chat import ChatModel
from syn2real.language.utility.metric import Reply, Score, require_references
from syn2real.language.utility.questions import Question
from syn2real.merge.hub import local_path

ENDLESS = 10**9  # tokens: a tokenizer without a limit says some such number, which is none


class BertScore:
    """Precision, recall and F1 of matched words; of several references the one that gives most."""

    name = "bertscore"
    headline = "f1"
    unit: Literal["share"] = "share"
    samples = 1

    def __init__(
        self, model: str = "roberta-large", layer: int | None = None, batch_size: int = 32, device: str | None = None
    ) -> None:
        """``model`` is a directory, or a hub id; ``layer`` the one whose states are compared. For the models that the
        package knows by name it knows the layer."""
        if batch_size < 1:
            raise UserError(f"metric bertscore: batch_size is 1 or more, not {batch_size}")
        self._settings = {"num_layers": layer, "batch_size": batch_size, "device": device}
        self.model = model
        self._scorer: Any = None

    def require(self, questions: Sequence[Question]) -> None:
        """See `Metric.require`: the model is loaded."""
        require_references(questions, self.name)
        self._load()

    def scores(self, replies: Sequence[Reply], model: ChatModel | None = None) -> list[Score]:
        """See `Metric.scores`. An empty answer, or a reference without words, has nothing in common with anything."""
        self._load()
        pairs = [(reply.texts[0].strip(), [r for r in reply.question.references if r.strip()]) for reply in replies]
        worded = [place for place, (said, references) in enumerate(pairs) if said and references]
        rows = [(0.0, 0.0, 0.0)] * len(pairs)
        if worded:
            said, references = [pairs[place][0] for place in worded], [pairs[place][1] for place in worded]
            found = self._scorer.score(said, references)
            for place, *row in zip(worded, *(column.tolist() for column in found), strict=True):
                rows[place] = tuple(row)
        return [Score(dict(zip(("precision", "recall", "f1"), row, strict=True))) for row in rows]

    def _load(self) -> None:
        if self._scorer is not None:
            return
        try:
            from bert_score import BERTScorer
            from bert_score.utils import model2layers
        except ImportError as error:
            raise NotInstalled("bert-score", "utility") from error
        from transformers.utils import logging

        if self._settings["num_layers"] is None:
            if self.model not in model2layers:
                raise UserError(
                    f"metric bertscore: say with the option layer which layer of {self.model} is compared; "
                    "bert-score knows that of published models by their hub ids"
                )
            self._settings["num_layers"] = model2layers[self.model]
        directory = self.model if "/" not in self.model and not Path(self.model).exists() else local_path(self.model)
        logging.disable_progress_bar()
        try:
            self._scorer = BERTScorer(model_type=str(directory), **self._settings)
        except Exception as error:  # of transformers, of the weights' reader, of the package's assertions
            raise UserError(f"metric bertscore: {self.model} cannot be loaded ({one_line(error)})") from error
        finally:
            logging.enable_progress_bar()
        tokenizer = self._scorer._tokenizer
        if tokenizer.model_max_length > ENDLESS:
            tokenizer.model_max_length = self._scorer._model.config.max_position_embeddings
