"""SmolLM2-135M, real weights: it answers, the same in any company."""

import json
import shutil

import pytest
import torch

from syn2real.errors import UserError
from syn2real.language.chat import Message, Sampling, chat_model
from syn2real.language.chat.local import USUAL, WORTH, Draw, LocalModel, batches, commonly_begun, likeliest


@pytest.fixture(scope="module")
def smollm(smollm2):
    return chat_model("smollm2-135m")


def ask(text):
    return (Message("user", text),)


def test_it_answers_what_it_is_asked(smollm):
    (reply,) = smollm.replies([ask("What is the capital of France?")], Sampling(max_tokens=8), [0])
    assert "Paris" in reply
    assert smollm.licence == "Apache-2.0"


def test_a_draw_depends_on_its_seed_alone(smollm):
    drawn = Sampling(temperature=0.9, top_p=0.95, max_tokens=5)
    questions = [ask("Name an animal."), ask("Write one sentence about the sea.")]
    together = smollm.replies(questions, drawn, [1, 2])
    assert together[1:] == smollm.replies(questions[1:], drawn, [2])
    assert together[0] != smollm.replies(questions[:1], drawn, [3])[0]


def test_an_answer_is_heard_word_by_word(smollm):
    heard = []
    question, drawn = ask("Name three animals."), Sampling(temperature=0.7, max_tokens=12)
    answer = smollm.spoken(question, drawn, 4, heard.append)
    assert "".join(heard).strip() == answer == smollm.replies([question], drawn, [4])[0]
    assert len(heard) > 2


def test_answers_are_the_same_one_by_one_and_in_the_order_of_the_questions(chat_llama):
    questions = [ask("word " * count) for count in (40, 1, 12, 3, 90, 2)]
    model = LocalModel.load(str(chat_llama), batch_size=3)
    greedy = Sampling(max_tokens=6)
    assert model.replies(questions, greedy, [0] * 6) == [model.replies([q], greedy, [0])[0] for q in questions]
    assert model.replies([], greedy, []) == []


def test_what_all_begin_with_is_read_once(chat_llama, monkeypatch):
    """The template's beginning for all, the rest for each; the answers are those of each alone."""
    model = LocalModel.load(str(chat_llama), batch_size=4)
    read = []
    forward = model._model.forward

    def watched(*given, **named):
        read.append(tuple(named["input_ids"].shape))
        return forward(*given, **named)

    monkeypatch.setattr(model._model, "forward", watched)
    questions = [ask(f"{name} and what else is there to say of it") for name in ("cats", "a dog", "every last bird")]
    for sampling, seeds in ((Sampling(max_tokens=5), [0] * 3), (Sampling(temperature=0.9, max_tokens=5), [3, 1, 2])):
        alone = [
            model.replies([question], sampling, [seed])[0] for question, seed in zip(questions, seeds, strict=True)
        ]
        longest = max(columns for _, columns in read)
        read.clear()
        assert model.replies(questions, sampling, seeds) == alone
        (one, begun), (three, rest) = read[:2]
        assert (one, three) == (1, 3) and begun > 20 and begun + rest == longest
        read.clear()


def test_a_model_that_keeps_a_window_of_what_it_read_answers_the_same(chat_llama, tmp_path):
    from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(chat_llama)
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = MistralConfig(vocab_size=len(tokenizer), num_key_value_heads=2, sliding_window=6, **sizes)
    MistralForCausalLM(config).save_pretrained(tmp_path)
    model = LocalModel.load(str(tmp_path), batch_size=4)
    questions = [ask("word " * count) for count in (12, 1, 5, 3)]
    greedy = Sampling(max_tokens=6)
    assert model.replies(questions, greedy, [0] * 4) == [model.replies([q], greedy, [0])[0] for q in questions]


def test_how_much_all_begin_with():
    begun = list(range(WORTH))
    assert commonly_begun([[*begun, 1], [*begun, 2], [*begun, 1, 3]]) == WORTH
    assert commonly_begun([begun, [*begun, 2]]) == 0  # one is left to each: too little is shared
    assert commonly_begun([[*begun, 1, 5, 5], [*begun, 1, 6]]) == WORTH + 1
    assert commonly_begun([[*begun, 1], [9, *begun]]) == 0
    assert commonly_begun([[*begun, 1]]) == 0


def test_what_a_model_recommends_does_not_come_before_what_is_asked_for(chat_llama, tmp_path):
    recommended = {"repetition_penalty": 1.9, "no_repeat_ngram_size": 1, "min_new_tokens": 3, "num_beams": 3,
                   "do_sample": True, "temperature": 0.6, "top_k": 2, "top_p": 0.5}  # fmt: skip
    with_own = shutil.copytree(chat_llama, tmp_path / "with its own")
    (with_own / "generation_config.json").write_text(json.dumps(recommended))
    plain, own = (LocalModel.load(str(place)) for place in (chat_llama, with_own))
    questions = [ask("word " * count) for count in (3, 20)]
    for sampling in (Sampling(max_tokens=12), Sampling(temperature=1.5, max_tokens=12)):
        assert own.replies(questions, sampling, [1, 2]) == plain.replies(questions, sampling, [1, 2])
    # What ends an answer is the model's affair, and kept: here every token.
    (with_own / "generation_config.json").write_text(json.dumps({"eos_token_id": list(range(len(own._tokenizer)))}))
    ended = LocalModel.load(str(with_own)).replies(questions, Sampling(max_tokens=12), [1, 2])
    assert ended == plain.replies(questions, Sampling(max_tokens=1), [1, 2])


def test_likelihoods_are_the_same_one_by_one_and_in_the_order_of_the_texts(chat_llama):
    pairs = [("before " * count, "after " * (1 + count % 5)) for count in (40, 1, 12, 3, 90, 0)]
    model = LocalModel.load(str(chat_llama), batch_size=3)
    found = model.likelihoods(pairs)
    alone = [model.likelihoods([pair])[0] for pair in pairs]
    assert [tokens for _, tokens in found] == [tokens for _, tokens in alone]
    assert [likelihood for likelihood, _ in found] == pytest.approx([likelihood for likelihood, _ in alone], rel=1e-5)
    assert model.likelihoods([]) == []


def test_a_long_text_does_not_pad_the_short_ones():
    lengths = [30, 4000, 10, 20, 3900, 40, 50]
    found = batches(lengths, 4)
    assert sorted(place for places in found for place in places) == list(range(7))
    assert found[0] == [2, 3, 0, 5] and [4] in found and [1] in found
    assert all(len(p) == 1 or len(p) * max(lengths[i] for i in p) <= 4 * USUAL for p in found)
    assert batches([], 4) == []


def test_draws_follow_the_scores():
    """At temperature 2 the shares are those of the softmax of half the scores."""
    scores = torch.tensor([[2.0, 0.0, -2.0]])
    draw = Draw(Sampling(temperature=2.0), [7])
    picks = torch.stack([draw(torch.empty(0), scores)[0] for _ in range(20_000)]).argmax(-1)
    shares = torch.bincount(picks, minlength=3) / len(picks)
    assert torch.allclose(shares, (scores[0] / 2).softmax(-1), atol=0.012)


def test_the_likeliest_keep_their_scores():
    scores = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    kept = likeliest(scores, 0.75)
    assert kept.isinf().tolist() == [[False, False, True, True]]
    assert likeliest(scores, 0.01).isinf().tolist() == [[False, True, True, True]]
    assert torch.equal(likeliest(scores, 1.0), scores)


def test_the_width_of_the_computation_is_chosen_and_told(chat_llama):
    narrow = LocalModel.load(str(chat_llama), dtype="bfloat16")
    assert next(narrow._model.parameters()).dtype.itemsize == 2
    assert narrow.identity != LocalModel.load(str(chat_llama)).identity
    with pytest.raises(UserError, match="did you mean 'bfloat16'"):
        LocalModel.load(str(chat_llama), dtype="bfloat6")
