"""Where a training step's time goes: reading the clips, computing their features, learning from them.

    syn2real corpus import speechocean762 --from speechocean762 --min-age 18 --lower --output learners
    python -m benchmarks.training_step --manifest learners/manifest.jsonl        # or any other manifest

Whisper tiny.en, in the batches of a training. The share of the features is the most that features computed in advance
could save. On a CPU it is the process's own time, so that others do not disturb. With --workers the same steps are
timed by the clock, with clips read and features computed by other processes.
"""

import argparse
import json
import time
from itertools import islice
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from syn2real.speech.batch_order import BatchOrder, ByNumber
from syn2real.speech.batching import ITEMS, ClipDataset, Collator
from syn2real.speech.corpus import Corpus
from syn2real.speech.pretrained import resolve_model
from syn2real.speech.recogniser import load_recogniser, pick_device
from syn2real.speech.training import DEFAULTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--model", default="whisper-tiny.en")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=DEFAULTS.batch_size)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    corpus = Corpus.load(options.manifest)
    device = pick_device()
    recogniser = load_recogniser(resolve_model(options.model), device=device)
    dataset, collate = ClipDataset(corpus, recogniser), Collator(recogniser)
    grouping = ByNumber([utterance.duration for utterance in corpus], options.batch_size)
    order = BatchOrder(grouping, DEFAULTS.full_windows, DEFAULTS.seed)
    optimiser = torch.optim.AdamW(recogniser.model.parameters(), lr=1e-6)
    recogniser.model.train()

    def learn(batch: dict[str, torch.Tensor]) -> None:
        batch = {name: tensor.to(device) for name, tensor in batch.items() if name != ITEMS}
        recogniser.loss(recogniser.model, batch).backward()
        optimiser.step()
        optimiser.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    clock = time.perf_counter if device.type == "cuda" else time.process_time
    with recogniser.trained(spec_augment=False):
        learn(collate([dataset[draw] for draw in next(iter(order))]))
        spent = dict.fromkeys(("reading", "features", "learning"), 0.0)
        seconds = 0.0
        for draws in islice(order, options.steps):
            seconds += sum(corpus[draw.clip].duration for draw in draws)
            start = clock()
            clips = [dataset[draw] for draw in draws]
            read = clock()
            batch = collate(clips)
            made = clock()
            learn(batch)
            for name, taken in (("reading", read - start), ("features", made - read)):
                spent[name] += taken
            spent["learning"] += clock() - made
        print(json.dumps(_row(options, 0, spent, seconds)), flush=True)
        if options.workers:
            loader = DataLoader(dataset, batch_sampler=order, collate_fn=collate, num_workers=options.workers)
            start = time.perf_counter()
            for batch in islice(loader, options.steps):
                learn(batch)
            print(json.dumps(_row(options, options.workers, {"all": time.perf_counter() - start}, seconds)))


def _row(options: argparse.Namespace, workers: int, spent: dict[str, float], audio: float) -> dict[str, object]:
    whole = sum(spent.values())
    shares = {f"{name}_share": round(taken / whole, 4) for name, taken in spent.items() if len(spent) > 1}
    return {
        "model": options.model,
        "workers": workers,
        "threads": torch.get_num_threads(),
        "seconds_per_step": round(whole / options.steps, 3),
        **shares,
        "clips_per_second": round(options.steps * options.batch_size / whole, 2),
        "times_real": round(audio / whole, 1),
    }


if __name__ == "__main__":
    main()
