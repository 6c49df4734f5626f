"""Transcription, ours and the pipeline of transformers: one system of `benchmarks.speech`, in a process of its own.

    python -m benchmarks.transcription_systems SYSTEM JOB

JOB is a JSON file: model, manifest, ids of the utterances, language, output. All write what they heard to ``output``,
as JSON from id to text, and print the seconds from the loaded libraries to the last text: loading the model, reading
the audio, and hearing it. Two clips go first and untimed, so that what is imported once is not counted.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from syn2real.speech import audio
from syn2real.speech.corpus import Corpus

Hear = Callable[[dict[str, Any], Corpus], dict[str, str]]
WARM = 2  # clips heard first


def ours(**settings: Any) -> Hear:
    def hear(job: dict[str, Any], corpus: Corpus) -> dict[str, str]:
        from syn2real.speech.transcription import TranscriptionSettings, transcribe

        return transcribe(Path(job["model"]), corpus, TranscriptionSettings(**settings), language=job["language"])

    return hear


def pipeline(batch_size: int) -> Hear:
    def hear(job: dict[str, Any], corpus: Corpus) -> dict[str, str]:
        import torch
        from transformers import pipeline

        device = "cuda" if torch.cuda.is_available() else "cpu"
        recogniser = pipeline("automatic-speech-recognition", job["model"], dtype=torch.float32, device=device)
        clips = [{"raw": audio.read(u.audio_filepath), "sampling_rate": audio.SAMPLE_RATE} for u in corpus]
        spoken = {"language": job["language"], "task": "transcribe"} if job["language"] else {}
        answers = recogniser(clips, batch_size=batch_size, generate_kwargs={"num_beams": 1, **spoken})
        return {u.id: answer["text"] for u, answer in zip(corpus, answers, strict=True)}

    return hear


SYSTEMS: dict[str, Hear] = {
    "HF pipeline, one by one": pipeline(1),
    "HF pipeline, batches of 16": pipeline(16),
    "ours, 30 s windows": ours(window="full"),
    "ours, short windows": ours(window="short"),
    "ours, CTranslate2 float32, short windows": ours(window="short", runtime="ctranslate2"),
    "ours, CTranslate2 int8, short windows": ours(window="short", runtime="ctranslate2", compute_type="int8"),
}


def main() -> None:
    hear, job = SYSTEMS[sys.argv[1]], json.loads(Path(sys.argv[2]).read_text())
    wanted = set(job["ids"])
    corpus = Corpus.load(Path(job["manifest"])).filter(lambda u: u.id in wanted)
    hear(job, corpus.sample(WARM))
    start = time.perf_counter()
    texts = hear(job, corpus)
    seconds = time.perf_counter() - start
    Path(job["output"]).write_text(json.dumps(texts))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
