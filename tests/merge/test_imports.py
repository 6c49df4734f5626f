import subprocess
import sys


def test_the_merge_core_brings_in_nothing_of_speech_or_transformers():
    """Nor matplotlib or Optuna: a merge should start at once."""
    script = (
        "import sys, syn2real.merge, syn2real.merge.verification, syn2real.cli.merge; print('\\n'.join(sys.modules))"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )
    unwanted = {"transformers", "tokenizers", "peft", "huggingface_hub", "soundfile", "matplotlib", "optuna", "gguf"}
    assert not unwanted & loaded
    assert not {name for name in loaded if name.startswith(("syn2real.speech", "syn2real.experiments"))}
