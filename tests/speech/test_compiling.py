"""Compiled layers: the same losses and names, and no new compilation for every length of clip."""

import pytest

pytest.importorskip("transformers")

from syn2real.speech.batch_order import BatchOrder, ByNumber
from syn2real.speech.batching import ITEMS, ClipDataset, Collator
from syn2real.speech.compiling import compile_layers
from syn2real.speech.corpus import Corpus
from syn2real.speech.recogniser import load_recogniser


def test_layers_are_compiled_once_for_all_lengths(small_whisper, recordings):
    corpus = Corpus.load(recordings)
    graphs, losses, names = [], [], []

    def captured(graph, _):
        graphs.append(graph)
        return graph.forward

    for compiled in (False, True):
        recogniser = load_recogniser(small_whisper)
        recogniser.model.train()
        if compiled:
            compile_layers(recogniser.model, captured)
        dataset, collate = ClipDataset(corpus, recogniser), Collator(recogniser)
        frames, heard = set(), []
        with recogniser.trained(spec_augment=False):
            for draws in BatchOrder(ByNumber([u.duration for u in corpus], 4), 0.1, 0):
                batch = collate([dataset[draw] for draw in draws])
                del batch[ITEMS]
                frames |= {tensor.shape[-1] for name, tensor in batch.items() if name.endswith("input_features")}
                loss = recogniser.loss(recogniser.model, batch)
                loss.backward()
                heard.append(loss.item())
        losses.append(heard)
        names.append(list(recogniser.model.state_dict()))
    assert losses[0] == losses[1] and names[0] == names[1]
    assert len(frames) > 3 and 1 <= len(graphs) <= 4  # of two layers in each of two stacks
