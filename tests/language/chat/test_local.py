"""SmolLM2-135M, real weights: it answers, the same in any company."""

import pytest
import torch

from syn2real.errors import UserError
from syn2real.language.chat import Message, Sampling, chat_model
from syn2real.language.chat.local import Draw, LocalModel, likeliest


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
