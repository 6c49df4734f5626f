"""Transcription by faster-whisper, in an environment of its own that has nothing of ours: run as a file.

    python benchmarks/faster_whisper_system.py COMPUTE_TYPE THREADS JOB

JOB and what is printed are as in `benchmarks.transcription_systems`, but ``model`` is converted for CTranslate2, and
``clips`` are pairs of id and recording.
Greedy, without timestamps and without a second try at another temperature, as the others are run here.
"""

import json
import sys
import time
from pathlib import Path

from faster_whisper import WhisperModel


def hear(job: dict, clips: list, compute_type: str, threads: int) -> dict[str, str]:
    model = WhisperModel(job["model"], device="cpu", compute_type=compute_type, cpu_threads=threads)
    texts = {}
    for name, recording in clips:
        parts, _ = model.transcribe(
            recording,
            language=job["language"] or "en",
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
        )
        texts[name] = " ".join(part.text.strip() for part in parts)
    return texts


def main() -> None:
    compute_type, threads, job = sys.argv[1], int(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
    hear(job, job["clips"][:2], compute_type, threads)
    start = time.perf_counter()
    texts = hear(job, job["clips"], compute_type, threads)
    seconds = time.perf_counter() - start
    Path(job["output"]).write_text(json.dumps(texts))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
