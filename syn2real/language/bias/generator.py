"""A generator of test sentences: a causal language model that writes from nothing, one sentence at a time."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from syn2real.errors import UserError, one_line
from syn2real.hashing import seed_from
from syn2real.language.chat import Message, Sampling
from syn2real.language.chat.local import LocalModel
from syn2real.language.tuning import ChatExample, TuningSettings
from syn2real.merge.sidecars import sidecars

TOGETHER = 64  # sentences written at once
ASKED = "Write a sentence."  # what its template leaves out
# A sentence between the marks of beginning and end, and nothing said before it: so are GPT-2 and its kind asked, and an
# instruction-tuned model forgets its manners and saves the tokens of its header.
TEMPLATE = (
    "{{ bos_token }}{% for turn in messages %}{% if turn['role'] == 'assistant' %}"
    "{{ turn['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)


def prepare_generator(model: Path, directory: Path) -> None:
    """Write the model in ``model`` to ``directory`` with the template of a generator, whatever it had before. Raises
    `UserError` for a model without the marks of beginning and end."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except Exception as error:  # of transformers, of the tokenizer's reader
        raise UserError(f"{model}: its tokenizer cannot be loaded ({one_line(error)})") from error
    if tokenizer.eos_token is None:
        raise UserError(f"{model}: has no mark of a text's end; choose a causal language model with one")
    if tokenizer.bos_token is None:
        tokenizer.bos_token = tokenizer.eos_token
    directory.mkdir(parents=True, exist_ok=True)
    for path in (*sorted(model.glob("*.safetensors*")), *sidecars(model)):
        shutil.copyfile(path, directory / path.name)
    if not any(directory.glob("*.safetensors")):
        raise UserError(f"{model}: holds no safetensors; save it so with transformers first")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(directory)


def seed_examples(sentences: Sequence[str]) -> list[ChatExample]:
    """Sentences to be learnt from."""
    return [ChatExample((Message("user", ASKED), Message("assistant", sentence))) for sentence in sentences]


def learn_seeds(model: Path, sentences: Sequence[str], output: Path, settings: TuningSettings, title: str) -> None:
    """Tune a prepared generator on seed sentences into ``output``, as `syn2real.language.tuning.tuning.tune` does."""
    from syn2real.language.tuning.tuning import tune

    tune(model, seed_examples(sentences), output, settings, title=title)


def write_sentences(generator: Path, count: int, sampling: Sampling, seed: int, first: int = 0) -> list[str]:
    """So many sentences by a prepared generator; the n-th depends on the seed and n alone. With ``first`` those from
    that number on."""
    model = LocalModel.load(str(generator), batch_size=TOGETHER)
    seeds = [seed_from(seed, place) for place in range(first, first + count)]
    begun = model.templated((Message("user", ASKED),))
    return [" ".join(text.split()) for text in model.continued([begun] * count, sampling, seeds)]
