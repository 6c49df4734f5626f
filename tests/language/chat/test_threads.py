"""Batches side by side: in order, by as many threads as there are, which are as they were afterwards."""

import threading

import pytest
import torch

from syn2real.language.chat import Message, Sampling, chat_model
from syn2real.language.chat.threads import LEAST, fair_share, side_by_side


@pytest.fixture
def threads():
    """Sets how many threads torch has, and sets it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(("have", "each"), [(1, 1), (2, 1), (3, 1), (8, 2)])
def test_parts_share_the_threads(threads, have, each):
    threads(have)
    met = threading.Barrier(min(have, 3))

    def work(part):
        if part < min(have, 3):
            met.wait(timeout=30)  # which goes on when so many are at work at once
        return part, torch.get_num_threads()

    assert side_by_side(work, range(4 if have > 3 else 3)) == [(part, each) for part in range(4 if have > 3 else 3)]
    assert torch.get_num_threads() == have
    with pytest.raises(ValueError, match="2"):
        side_by_side(lambda part: 1 if part < 2 else int("2 is none"), range(4))
    assert torch.get_num_threads() == have
    fresh = []
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert fresh == [have]


def test_batches_are_as_large_as_each_other(threads):
    threads(2)
    assert [fair_share(count, 32) for count in (64, 60, 48, 65, 180)] == [32, 30, 24, 17, 30]
    assert fair_share(10, 32) == LEAST and fair_share(0, 32) == LEAST and fair_share(100, 4) == 4
    threads(1)
    assert fair_share(48, 32) == 24 and fair_share(20, 32) == 20


def test_answers_are_those_of_one_thread(threads, chat_llama):
    model = chat_model(str(chat_llama), batch_size=4)
    talks = [(Message("user", "word " * (1 + place % 7)),) for place in range(21)]
    for sampling in (Sampling(max_tokens=6), Sampling(max_tokens=6, temperature=0.8)):
        found = []
        for have in (1, 2):
            threads(have)
            found.append(model.replies(talks, sampling, range(21)))
        assert found[0] == found[1] and len(set(found[0])) > 1
    texts = [(talk[0].content, " and more") for talk in talks]
    likely = []
    for have in (1, 2):
        threads(have)
        likely.append(model.likelihoods(texts))
    assert [count for _, count in likely[0]] == [count for _, count in likely[1]]
    assert [value for value, _ in likely[0]] == pytest.approx([value for value, _ in likely[1]], abs=1e-4)
