"""How answers are marked: against hand-made cases, and against the packages that define a metric."""

import re
from itertools import combinations
from pathlib import Path

import pytest

from syn2real.errors import UserError
from syn2real.language.utility import METRICS, Question, Reply, metric_named
from syn2real.language.utility.exact import ExactMatch
from syn2real.language.utility.passing import pass_at_k
from syn2real.language.utility.programs import program_of


def replied(*pairs: tuple[str, list[str]]) -> list[Reply]:
    return [Reply(Question(str(n), "p", tuple(right)), (), (said,)) for n, (said, right) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("said", "right", "same"),
    [
        (" Paris. ", ["paris"], True),
        ('"Paris"', ["London", "Paris"], True),
        ("“Paris”.", ["Paris."], True),
        (".5", ["5"], False),
        ("Paris, France", ["Paris"], False),
        ("", ["Paris"], False),
    ],
)
def test_exact(said, right, same):
    (score,) = metric_named("exact").scores(replied((said, right)))
    assert score.values == {"exact": float(same)}


def test_exact_after_reasoning_aloud():
    metric = ExactMatch(pattern=r"the answer is (.*?)\.?$")
    assert metric.right("Well.\nThe answer is no.\nOr rather, the answer is yes.", ["Yes"])
    assert not metric.right("yes", ["yes"])


def test_rouge_is_that_of_the_package():
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rouge2", "rougeL"], use_stemmer=True)
    metric = metric_named("rouge")
    pairs = [("the cat sat on the mat", ["a cat was sitting on a mat", "the cat sat"]), ("", ["something"])]
    first, second = metric.scores(replied(*pairs))
    best = max(scorer.score(reference, pairs[0][0])["rougeL"].fmeasure for reference in pairs[0][1])
    assert first.values["rougeL"] == best == pytest.approx(2 / 3) and second.values["rougeL"] == 0
    assert metric_named("rouge", kind="rouge2").headline == "rouge2"
    with pytest.raises(UserError, match="did you mean 'rougeL'"):
        metric_named("rouge", kind="rougel")


@pytest.fixture(scope="session")
def small_bert(tmp_path_factory) -> Path:
    """A BERT of two narrow layers with random weights; its words are letters and a few whole ones."""
    pytest.importorskip("bert_score")
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    directory = tmp_path_factory.mktemp("bert")
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", *letters, *(f"##{c}" for c in letters)]
    (directory / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(directory / "vocab.txt")).save_pretrained(directory)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(directory)
    return directory


def test_bertscore(small_bert):
    metric = metric_named("bertscore", model=str(small_bert), layer=2)
    pairs = [("the cat sat", ["dogs run", "the cat sat"]), ("a dog ran far", ["the cat"]), (" ", ["cat"]), ("x", [""])]
    values = [score.values for score in metric.scores(replied(*pairs))]
    assert values[0]["f1"] == pytest.approx(1, abs=1e-5) and 0 < values[1]["f1"] < 1
    assert [one["f1"] for one in values[2:]] == [0, 0]
    f1 = 2 * values[1]["precision"] * values[1]["recall"] / (values[1]["precision"] + values[1]["recall"])
    assert values[1]["f1"] == pytest.approx(f1, abs=1e-5)
    with pytest.raises(UserError, match="say with the option layer"):
        metric_named("bertscore", model=str(small_bert)).require([Question("a", "p", ("r",))])
    long = metric.scores(replied(("the cat " * 400, ["the cat"])))  # longer than it can hold
    assert 0 < long[0].values["f1"] <= 1


@pytest.mark.parametrize(("n", "right", "k"), [(5, 2, 1), (5, 2, 2), (6, 0, 3), (6, 6, 3), (6, 4, 3)])
def test_pass_at_k_is_the_share_of_all_draws_that_pass(n, right, k):
    draws = list(combinations([True] * right + [False] * (n - right), k))
    assert pass_at_k(n, right, k) == pytest.approx(sum(map(any, draws)) / len(draws))


@pytest.mark.parametrize(
    "said",
    [
        "```python\ndef add(a, b):\n    return math.floor(a + b)\n```\nThat is it.",
        "Sure:\n```\nx = 1\n```\nand\n```py\ndef add(a, b):\n    return a + b",  # cut off
        "def add(a, b):\n    return a + b",
        "    return a + b\n\nprint(add(1, 1)",  # goes on, and off
        "c = a + b\n    return c\n",  # its first margin lost
        "c = a + b\nreturn c",  # all of it lost
        "```\n    return a + b\n```",
        "```python\n    c = a\n    for _ in range(b):\n        c += 1\n    return a + b\n```",  # more than one margin
        "1. So:\n   ```\n       c = a + b\n       if c:\n           return c\n       return 0\n   ```",  # in a list
        "```python\nc = a + b\nif c:\n    return c\nreturn 0\n```",  # all of it lost
        "for c in [a + b]:\n        return c\n    return 0",  # its first lost
        "```python\nif a > b:\n    return a + b\nreturn b + a\n```",  # all of it lost, and a block at its beginning
    ],
)
def test_the_program_in_an_answer(said, humaneval):
    from syn2real.language.utility import read_questions

    (question,) = read_questions(humaneval)
    space: dict = {}
    exec(program_of(question, said) + "\n" + question.tests, space)


def test_programs_are_run_if_that_is_allowed(humaneval):
    from syn2real.language.utility import read_questions

    questions = read_questions(humaneval)
    said = ("    return a + b", "    return a - b", "    return a + b", "import sys\nsys.exit(0)")
    replies = [Reply(questions[0], (), said)]
    with pytest.raises(UserError, match="--allow-code"):
        metric_named("pass_at_k", k=2, samples=4).scores(replies)
    metric = metric_named("pass_at_k", k=[1, 2], samples=4, allow_code=True)
    try:
        metric.require(questions)
    except UserError as error:
        pytest.skip(str(error))
    (score,) = metric.scores(replies)
    assert score.values == {"pass@1": 0.5, "pass@2": pytest.approx(1 - 1 / 6)}
    assert score.note.startswith("passed; failed: AssertionError; passed; ") and metric.headline == "pass@1"
    for options in ({"k": 0}, {"k": []}, {"k": 5, "samples": 3}):
        with pytest.raises(UserError, match="metric pass_at_k"):
            metric_named("pass_at_k", **options)


def test_perplexity_is_that_of_transformers(chat_llama):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from syn2real.language.chat import Message, chat_model

    model = chat_model(str(chat_llama))
    talks = [(Message("user", "the capital of France"),), (Message("user", "a"),)]
    questions = [Question("a", "p", ("Paris, of course",)), Question("b", "p", ("no",))]
    scores = metric_named("perplexity").scores([Reply(*pair) for pair in zip(questions, talks, strict=True)], model)
    tokenizer, network = AutoTokenizer.from_pretrained(chat_llama), AutoModelForCausalLM.from_pretrained(chat_llama)
    for score, talk, question in zip(scores, talks, questions, strict=True):
        before = tokenizer(model.templated(talk), add_special_tokens=False).input_ids
        after = tokenizer(question.references[0], add_special_tokens=False).input_ids
        labels = torch.tensor([[-100] * len(before) + after])
        loss = network(input_ids=torch.tensor([before + after]), labels=labels).loss
        assert score.values["perplexity"] == pytest.approx(loss.item(), rel=1e-4) and score.weight == len(after)


def test_a_metric_of_ones_own(monkeypatch):
    class Length:
        name = headline = "length"
        unit, samples = "share", 1

    monkeypatch.setitem(METRICS._items, "length", Length)
    assert metric_named("length").name == "length"
    with pytest.raises(UserError, match="unknown metric"):
        metric_named("lenght")


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("pass_at_k", {"k": 1.5}, "k is a whole number or a list of whole numbers, not 1.5"),
        ("pass_at_k", {"k": "1"}, "k is a whole number or a list of whole numbers, not '1'"),
        ("pass_at_k", {"k": True}, "k is a whole number or a list of whole numbers, not True"),
        ("pass_at_k", {"k": [1, True]}, "k is a whole number or a list of whole numbers, not [1, True]"),
        ("pass_at_k", {"samples": "many"}, "samples is a whole number, not 'many'"),
        ("pass_at_k", {"samples": 2.5}, "samples is a whole number, not 2.5"),
        ("pass_at_k", {"seconds": "abc"}, "seconds is a number, not 'abc'"),
        ("pass_at_k", {"seconds": True}, "seconds is a number, not True"),
        ("pass_at_k", {"memory": 5e8}, "memory is a whole number, not 500000000.0"),
        ("pass_at_k", {"memory": 0}, "memory is a number above 0, not 0"),
        ("pass_at_k", {"allow_code": "no"}, "allow_code is true or false, not 'no'"),
        ("rouge", {"kind": 3}, "kind 3: unknown (choose from rouge1, rouge2, rougeL, rougeLsum)"),
        ("rouge", {"stem": "no"}, "stem is true or false, not 'no'"),
        ("bertscore", {"model": 3}, "model is a text in quotation marks, not 3"),
        ("bertscore", {"layer": "last"}, "layer is a whole number, not 'last'"),
        ("bertscore", {"batch_size": 0}, "batch_size is 1 or more, not 0"),
    ],
)
def test_options_of_other_kinds_are_named(name, options, problem):
    with pytest.raises(UserError, match=re.escape(f"metric {name}: {problem}")):
        metric_named(name, **options)


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("perplexity", {"k": 1}, "metric 'perplexity' takes no option 'k'$"),
        ("perplexity", {"name": "p"}, "metric 'perplexity' takes no option 'name'"),
        ("rouge", {"kinds": "rouge1"}, "metric 'rouge' takes no option 'kinds' .did you mean 'kind'"),
    ],
)
def test_options_that_there_are_not_are_named(name, options, problem):
    with pytest.raises(UserError, match=problem):
        metric_named(name, **options)
