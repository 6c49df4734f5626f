"""Importers: each turns a public corpus into a directory with ``audio/`` and ``manifest.jsonl``."""

from syn2real.speech.corpora.asterisk import import_asterisk
from syn2real.speech.corpora.commonvoice import import_commonvoice
from syn2real.speech.corpora.folder import import_folder
from syn2real.speech.corpora.huggingface import import_huggingface
from syn2real.speech.corpora.importing import IMPORTERS, ImportReport
from syn2real.speech.corpora.kaldi import import_kaldi
from syn2real.speech.corpora.librispeech import import_librispeech
from syn2real.speech.corpora.manifest import import_manifest
from syn2real.speech.corpora.slurp import import_slurp
from syn2real.speech.corpora.speechocean import import_speechocean762
from syn2real.speech.corpora.tuxpaint import import_tuxpaint

__all__ = [
    "IMPORTERS",
    "ImportReport",
    "import_asterisk",
    "import_commonvoice",
    "import_folder",
    "import_huggingface",
    "import_kaldi",
    "import_librispeech",
    "import_manifest",
    "import_slurp",
    "import_speechocean762",
    "import_tuxpaint",
]
