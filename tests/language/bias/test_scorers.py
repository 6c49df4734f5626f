"""How far apart answers are."""

import pytest
import torch

from syn2real.errors import UserError
from syn2real.language.bias.scorers import degenerate, packaged_minilm, require_scorer, scorer_named


def test_vader_tells_kind_from_unkind_and_its_gap_is_the_published_difference():
    vader = scorer_named("vader")
    kind, unkind = "She is a wonderful and happy person.", "He is a terrible, horrible person."
    first, second, plain = vader.scores([kind, unkind, "It is a table."])
    assert first > 0.5 and second < -0.5 and plain == 0
    assert vader.gaps([kind, kind], [unkind, kind]) == [pytest.approx(first - second), 0]


def test_answers_that_say_nothing():
    assert [degenerate(text) for text in ("", " \n", "...", "No.")] == ["empty", "empty", "empty", None]
    assert degenerate("I think so. " * 8) == "repetition"
    assert degenerate("the the the the") == "repetition"
    assert degenerate("I think so, and I think that you do not think so.") is None


def write_classifier(chat_llama, place, classes, problem_type=None):
    """A random classifier of these classes, whose chances are no even ones; returns it."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    config = LlamaConfig.from_pretrained(chat_llama)
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: place for place, name in config.id2label.items()}
    config.num_labels = len(classes)
    config.problem_type = problem_type
    torch.manual_seed(0)
    model = LlamaForSequenceClassification(config)
    model.save_pretrained(place)
    AutoTokenizer.from_pretrained(chat_llama).save_pretrained(place)
    return model.eval()


@pytest.fixture
def classifier(chat_llama, tmp_path):
    write_classifier(chat_llama, tmp_path, ["negative", "neutral", "positive"])
    return tmp_path


def test_a_classifier_scores_by_the_names_of_its_classes(classifier):
    plain = scorer_named("classifier", model=str(classifier))
    texts = ["he is kind", "she is not", "a longer text about nothing in particular"]
    scores = plain.scores(texts)
    assert all(-1 <= score <= 1 for score in scores)
    # Alone or in company, and turned round with its classes.
    assert plain.scores(texts[:1]) == pytest.approx(scores[:1], abs=1e-5)
    turned = scorer_named("toxicity", model=str(classifier), kind=["negative"], unkind=["positive"])
    assert turned.scores(texts) == pytest.approx([-score for score in scores], abs=1e-6)
    assert turned.name.startswith("toxicity: ")
    assert plain.gaps(texts[:1], texts[1:2]) == pytest.approx([abs(scores[0] - scores[1])], abs=1e-5)
    with pytest.raises(UserError, match="knows no class 'angry'; it has negative, neutral, positive"):
        scorer_named("classifier", model=str(classifier), kind=["angry"])


def test_labels_that_do_not_exclude_one_another_have_a_chance_each(chat_llama, tmp_path):
    from transformers import AutoTokenizer

    classes = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
    model = write_classifier(chat_llama, tmp_path, classes, "multi_label_classification")
    text = "he is kind"
    with torch.inference_mode():
        logits = model(**AutoTokenizer.from_pretrained(tmp_path)(text, return_tensors="pt")).logits[0]
    chances = dict(zip(classes, logits.sigmoid().tolist(), strict=True))
    assert chances["toxic"] != pytest.approx(logits.softmax(-1)[0].item(), abs=0.1)
    plain = scorer_named("toxicity", model=str(tmp_path))
    assert plain.scores([text]) == pytest.approx([-chances["toxic"]], abs=1e-5)
    chosen = ["threat", "insult", "obscene"]
    several = scorer_named("toxicity", model=str(tmp_path), unkind=chosen)
    assert several.scores([text]) == pytest.approx([-max(chances[name] for name in chosen)], abs=1e-5)


def test_the_side_that_is_not_given_is_what_it_usually_is(classifier):
    texts = ["he is kind", "she is not"]
    plain = scorer_named("classifier", model=str(classifier)).scores(texts)
    assert scorer_named("classifier", model=str(classifier), unkind=["negative"]).scores(texts) == plain
    # A class that is usually unkind is kind where it is said to be.
    kind = scorer_named("classifier", model=str(classifier), kind=["negative", "neutral", "positive"])
    assert kind.scores(texts) == pytest.approx([1, 1])
    with pytest.raises(UserError, match="knows no class 'toxic'"):
        scorer_named("classifier", model=str(classifier), unkind=["toxic"])


def test_an_embedding_measures_distance_and_scores_nothing(chat_llama):
    scorer = scorer_named("embedding", model=str(chat_llama))
    same, other = scorer.gaps(["he sings", "he sings"], ["he sings", "rain falls on my roof"])
    assert same == pytest.approx(0, abs=1e-6)
    assert 0 < other <= 2
    assert scorer.gaps([], []) == []
    with pytest.raises(UserError, match="compares answers and scores none"):
        scorer.scores(["he sings"])


def test_minilm_as_it_is_packaged():
    try:
        packaged_minilm()
    except UserError as error:
        pytest.skip(str(error))
    near, far = scorer_named("embedding").gaps(
        ["He is a very good doctor.", "He is a very good doctor."],
        ["She is a great physician.", "The train leaves at noon."],
    )
    assert near < 0.5 < far


def test_unknown_scorers_and_options_are_named():
    def looked_at(name, **options):
        require_scorer(name, options)

    for look in (scorer_named, looked_at):
        with pytest.raises(UserError, match="did you mean 'vader'"):
            look("vadr")
        with pytest.raises(UserError, match="takes no option 'model'"):
            look("vader", model="x")
        with pytest.raises(UserError, match="needs the option 'model'"):
            look("classifier")


def test_a_scorer_is_looked_at_without_its_weights(chat_llama, tmp_path, monkeypatch):
    monkeypatch.setattr("syn2real.language.bias.scorers._Encoder", lambda *_: pytest.fail("is not to be loaded"))
    require_scorer("vader", {}, scoring=True)
    require_scorer("toxicity", {"model": str(chat_llama), "kind": None}, scoring=True)
    require_scorer("embedding", {"model": "org/encoder"})
    with pytest.raises(UserError, match="compares answers and scores none"):
        require_scorer("embedding", {"model": "org/encoder"}, scoring=True)
    with pytest.raises(UserError, match="is no model: it has no config"):
        require_scorer("classifier", {"model": str(tmp_path)})
    with pytest.raises(UserError, match="encoder: no such file"):
        require_scorer("classifier", {"model": "encoder"})


def test_classifiers_read_as_much_as_they_can(chat_llama, tmp_path):
    """RoBERTa's kind has two places fewer than it says; a decoder's classifier knows the padding by its config."""
    from transformers import AutoTokenizer, GPT2Config, RobertaConfig
    from transformers import GPT2ForSequenceClassification as Decoder
    from transformers import RobertaForSequenceClassification as Encoder

    tokenizer = AutoTokenizer.from_pretrained(chat_llama)
    classes = {"id2label": {0: "negative", 1: "positive"}, "label2id": {"negative": 0, "positive": 1}}
    sizes = {"vocab_size": len(tokenizer), **classes}
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    made = {
        "encoder": Encoder(RobertaConfig(**sizes, **small, max_position_embeddings=34, pad_token_id=1)),
        "decoder": Decoder(GPT2Config(**sizes, n_embd=8, n_layer=1, n_head=2, n_positions=32)),
    }
    for name, model in made.items():
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        found = scorer_named("classifier", model=str(tmp_path / name)).scores(["kind " * 200, "not kind"])
        assert all(-1 <= score <= 1 for score in found)
