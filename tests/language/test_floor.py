"""The language floor stands beside the speech floor, and knows nothing of it."""

import subprocess
import sys


def test_language_imports_no_speech():
    script = (
        "import sys, syn2real.language.expansion, syn2real.language.chat.local, syn2real.language.chat.server, "
        "syn2real.language.tuning; "
        "print('\\n'.join(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {name for name in loaded if name.startswith(("syn2real.speech", "syn2real.experiments", "syn2real.cli"))}
    assert "transformers" not in loaded
