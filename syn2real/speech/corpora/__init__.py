"""Importers: each turns a public corpus into a directory with ``audio/`` and ``manifest.jsonl``."""

from syn2real.speech.corpora.folder import import_folder
from syn2real.speech.corpora.importing import IMPORTERS, ImportReport
from syn2real.speech.corpora.manifest import import_manifest
from syn2real.speech.corpora.tuxpaint import import_tuxpaint

__all__ = ["IMPORTERS", "ImportReport", "import_folder", "import_manifest", "import_tuxpaint"]
