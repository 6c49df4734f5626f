"""Answering in batches beside answering one by one with transformers: the same chat model, requests and greedy answers.

    python -m benchmarks.generation                       # SmolLM2-135M, on this machine's processor: minutes
    python -m benchmarks.generation --model DIRECTORY --device cuda --batch-sizes 1 32 128

The requests are the project's own instructions and harmless questions. Both sides take the likeliest tokens with a
key-value cache, in float32 on a processor and bfloat16 on a GPU. One line of JSON a system: seconds from the loaded
model to the last answer, the best of the rounds, which are taken in turn; how many times as fast as one by one; and how
many answers are the same, to the letter.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import show
from syn2real.language.chat import Message, Sampling
from syn2real.language.chat.local import LocalModel
from syn2real.language.chat.weights import resolve_chat_model
from syn2real.lines import read_lines

DATA = Path(__file__).parents[1] / "data" / "safety"
Answer = Callable[[Sequence[str]], list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    files = (DATA / "instructions.txt", DATA / "harmless.txt")
    requests = [line.strip() for file in files for _, line in read_lines(file)][: options.requests]
    systems: dict[str, Answer] = {"transformers, one by one": stock(options)}
    systems |= {f"ours, batches of {size}": ours(options, size) for size in options.batch_sizes}
    seconds: dict[str, float] = {}
    said: dict[str, list[str]] = {}
    for answer in systems.values():
        answer(requests[:2])  # what is imported and allocated once
    for _ in range(options.rounds):
        for name, answer in systems.items():
            start = time.perf_counter()
            said[name] = answer(requests)
            seconds[name] = min(seconds.get(name, float("inf")), time.perf_counter() - start)
    first = next(iter(systems))
    for name in systems:
        same = sum(a == b for a, b in zip(said[name], said[first], strict=True))
        faster = seconds[first] / seconds[name]
        show(system=name, seconds=seconds[name], times_as_fast=faster, same=same, requests=len(requests))


def ours(options: argparse.Namespace, batch_size: int) -> Answer:
    model = LocalModel.load(options.model, device=options.device, batch_size=batch_size)

    def answer(requests: Sequence[str]) -> list[str]:
        asked = [[Message("user", request)] for request in requests]
        return model.replies(asked, Sampling(max_tokens=options.max_tokens), [0] * len(asked))

    return answer


def stock(options: argparse.Namespace) -> Answer:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = resolve_chat_model(options.model)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    dtype = torch.float32 if options.device == "cpu" else torch.bfloat16
    model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).to(options.device).eval()

    def answer(requests: Sequence[str]) -> list[str]:
        found = []
        for request in requests:
            turns = [{"role": "user", "content": request}]
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            tokens = tokenizer(text, return_tensors="pt", add_special_tokens=False).to(options.device)
            output = model.generate(**tokens, do_sample=False, max_new_tokens=options.max_tokens)
            found.append(tokenizer.decode(output[0, tokens.input_ids.shape[1] :], skip_special_tokens=True).strip())
        return found

    return answer


if __name__ == "__main__":
    main()
