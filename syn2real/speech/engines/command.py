"""Any program that turns text into a WAV file."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from syn2real.errors import AudioError, UserError
from syn2real.speech import audio
from syn2real.speech.engines.base import ENGINES, Engine, Voice, within_range
from syn2real.speech.engines.options import EngineOptions

_TEXT = re.compile(r"(--?[\w-]+=)?\{text\}")  # as an argument of its own, or as an option's value
PLACES = ("{text}", "{output}", "{voice}", "{rate}", "{pitch}", "{seed}")


class CommandOptions(EngineOptions):
    """The program and its arguments."""

    run: str | None = None  # say --voice {voice} --out {output} {text}
    voices: str = "default"  # names, separated by commas
    language: str = "en"  # ISO 639-1
    licence: str = "unknown (see the program's)"
    commercial: bool = False  # whether its speech may be used commercially
    timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0  # s for one sentence


@ENGINES.register("command")
class Command(Engine):
    """A command line, split once into arguments as a shell would; in each, ``{text}``, ``{output}`` (the WAV to write),
    ``{voice}``, ``{rate}``, ``{pitch}`` and ``{seed}`` are put in. No shell ever sees the text. Without ``{text}`` it
    comes on standard input."""

    name = "command"
    licence = "of the program"
    options: CommandOptions = CommandOptions()

    def require(self) -> None:
        """Raise `UserError` without a command, for one that cannot be split, and for a program that is not here."""
        if self.options.run is None:
            raise UserError("engine 'command' needs a program: option command.run='say -o {output} {text}'")
        program = self._arguments[0]
        if shutil.which(program) is None:
            raise UserError(f"engine 'command': the program {program} is not installed, or is not in the PATH")
        if not any("{output}" in argument for argument in self._arguments[1:]):
            raise UserError(f"engine 'command': {self.options.run!r} does not say where {{output}}, the WAV, goes")
        for before, argument in zip(self._arguments, self._arguments[1:], strict=False):
            if "{text}" in argument and (_TEXT.fullmatch(argument) is None or before == "-c"):
                raise UserError(
                    f"engine 'command': {{text}} must be an argument of its own, not part of {argument!r} or a script"
                )
        if not self._names:
            raise UserError("engine 'command': name at least one voice: option command.voices=anna,bob")

    def all_voices(self) -> list[Voice]:
        """The voices named in the options."""
        self.require()
        language, rights = self.options.language, (self.options.licence, self.options.commercial)
        return [
            Voice(self.name, name, language, language, audio.SAMPLE_RATE, *rights, options=self.given)
            for name in self._names
        ]

    def say(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """Samples of the WAV that the program wrote. Raises `UserError` when it fails, hangs, or writes none."""
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "speech.wav"
            values = {
                # A text that begins like an option would be taken for one.
                "{text}": f" {text}" if text.startswith("-") else text,
                "{output}": str(output),
                "{voice}": voice.name,
                "{rate}": f"{rate:g}",
                "{pitch}": f"{pitch:g}",
                "{seed}": str(seed % 2**31),
            }
            arguments = [_filled(argument, values) for argument in self._arguments]
            spoken = None if any("{text}" in argument for argument in self._arguments) else text
            _run(arguments, spoken, self.options.timeout, text)
            try:
                samples = audio.read(output)
            except AudioError as error:
                reason = str(error).replace(str(output), "the WAV it was to write")
                raise UserError(f"command: {arguments[0]}: voice {voice.name}, {text[:60]!r}: {reason}") from error
        return within_range(samples), audio.SAMPLE_RATE

    @property
    def _names(self) -> list[str]:
        return [name.strip() for name in self.options.voices.split(",") if name.strip()]

    @property
    def _arguments(self) -> list[str]:
        try:
            arguments = shlex.split(self.options.run or "")
        except ValueError as error:
            raise UserError(f"engine 'command': {self.options.run!r}: {error}; check its quotes") from error
        if not arguments:
            raise UserError("engine 'command': the option command.run is empty")
        return arguments


def _filled(argument: str, values: dict[str, str]) -> str:
    """The argument with each place filled once: what was put in is not looked through again."""
    return re.sub("|".join(map(re.escape, PLACES)), lambda place: values[place[0]], argument)


def _run(arguments: list[str], spoken: str | None, timeout: float, text: str) -> None:
    """Run the program to its end; with its children, should it hang."""
    given = subprocess.DEVNULL if spoken is None else subprocess.PIPE
    try:
        process = subprocess.Popen(
            arguments, stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise UserError(f"command: {arguments[0]}: cannot be run ({error.strerror})") from error
    try:
        _, said = process.communicate(None if spoken is None else spoken.encode(), timeout)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"command: {arguments[0]}: did not finish {text[:60]!r} in {timeout:g} s") from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        lines = said.decode(errors="replace").strip().splitlines() or [f"status {process.returncode}"]
        raise UserError(f"command: {arguments[0]}: failed on {text[:60]!r}: {lines[-1][:200]}")
