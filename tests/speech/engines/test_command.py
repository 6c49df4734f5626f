"""Programs that write a WAV: real ones, run without a shell."""

import sys
import time

import numpy as np
import pytest

from syn2real.errors import UserError
from syn2real.speech.engines import engine, find_voice

TONE = """
import sys, wave
import numpy as np
output, text = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else sys.stdin.read()
sys.stderr.write(repr(text))
with wave.open(output, "wb") as file:
    file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000)
    times = np.arange(1000 * len(text))
    file.writeframes((8000 * np.sin(times / 12)).astype("<i2").tobytes())
"""


@pytest.fixture
def tone(tmp_path):
    program = tmp_path / "tone.py"
    program.write_text(TONE)
    return f"{sys.executable} {program} {{output}} {{text}}"


def say(run, text="good morning", **options):
    given = {"command": {"run": run, **options}}
    voice = find_voice("command:default", given)
    return engine("command", given["command"]).speak(text, voice, 1.2, 0.9, 5)


def test_speaks(tone):
    samples, rate = say(tone)
    assert rate == 16_000 and samples.dtype == np.float32 and samples.size == 12_000
    assert 0.2 < np.abs(samples).max() < 0.3


@pytest.mark.parametrize("text", ["a; touch x", "$(id) `id`", "'quoted\" \\", "{output} {voice} {text}", "más té"])
def test_text_is_one_argument_whatever_it_holds(tone, text):
    assert say(tone, text)[0].size == 1000 * len(text)


def test_text_that_looks_like_an_option_is_set_off(tone):
    assert say(tone, "--help")[0].size == 1000 * len(" --help")


def test_text_on_standard_input(tone):
    assert say(tone.replace(" {text}", ""))[0].size == 12_000


def test_every_place_is_filled(tmp_path):
    program = tmp_path / "show.py"
    program.write_text("import sys; sys.exit(' '.join(sys.argv[2:]))")
    run = f"{sys.executable} {program} {{output}} --voice={{voice}} {{rate}} {{pitch}} {{seed}} --say={{text}}"
    with pytest.raises(UserError, match=r"--voice=default 1\.2 0\.9 5 --say=hello"):
        say(run, "hello")


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path):
    mark = tmp_path / "mark"
    script = tmp_path / "hang.sh"
    script.write_text(f"(sleep 1.5; echo late > {mark}) &\nsleep 60\n")
    began = time.monotonic()
    with pytest.raises(UserError, match=r"did not finish 'good morning' in 0\.3 s"):
        say(f"sh {script} {{output}}", timeout=0.3)
    assert time.monotonic() - began < 5
    time.sleep(1.6)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (None, "needs a program: option command.run"),
        ("", "command.run is empty"),
        ("sh 'open", "No closing quotation; check its quotes"),
        ("no-such-program {output}", "no-such-program is not installed"),
        ("sh x {text}", "does not say where {output}"),
        ("sh -c 'say {text} -o {output}'", "{text} must be an argument of its own"),
        ("sh -c {text} {output}", "{text} must be an argument of its own"),
    ],
)
def test_options_are_checked(run, problem):
    import re

    with pytest.raises(UserError, match=re.escape(problem)):
        engine("command", {} if run is None else {"run": run})


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 3", "failed on 'good morning': status 3"),
        ("echo out of ideas >&2; exit 1", "failed on 'good morning': out of ideas"),
        ("exit 0", "'good morning': the WAV it was to write: no such recording"),
        ("echo nonsense > $1", "the WAV it was to write: cannot be read as audio"),
    ],
)
def test_failure_names_voice_and_sentence(script, problem, tmp_path):
    (tmp_path / "bad.sh").write_text(script)
    with pytest.raises(UserError, match=problem.replace("$", r"\$")):
        say(f"sh {tmp_path / 'bad.sh'} {{output}}")
