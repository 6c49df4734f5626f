"""Programs that print a WAV: run once a sentence, text on standard input, never through a shell."""

import subprocess

import numpy as np

from syn2real.errors import UserError
from syn2real.speech.engines.base import from_pcm

TIMEOUT = 60  # s; a sentence takes a few hundredths


def wave_of(command: list[str], text: str) -> tuple[np.ndarray, int]:
    """Samples (float32, mono) and rate of the 16-bit WAV that ``command`` writes to standard output."""
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{command[0]}: did not finish {text[:60]!r} in {TIMEOUT} s") from error
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
        raise UserError(f"{command[0]}: failed on {text[:60]!r}: {reason[-1][:200]}")
    return parse_wave(done.stdout)


def parse_wave(content: bytes) -> tuple[np.ndarray, int]:
    """Samples and rate of a mono 16-bit WAV.

    The header's lengths are not believed: a program writing to a pipe cannot know them and puts in a huge number.
    """
    start = content.find(b"data", 12)
    if not content.startswith(b"RIFF") or start < 0:
        return np.zeros(0, np.float32), 0
    rate = int.from_bytes(content[24:28], "little")
    body = content[start + 8 :]
    return from_pcm(np.frombuffer(body[: len(body) // 2 * 2], dtype="<i2")), rate
