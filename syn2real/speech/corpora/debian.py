"""Debian packages fetched with ``apt-get download``, which needs no root and checks who signed the list."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from syn2real.errors import UserError
from syn2real.hashing import sha256_file


def fetch_package(name: str, folder: Path, version: str, sums: Mapping[str, str]) -> Path:
    """The package ``name`` in ``folder``: of ``version`` where apt offers it, else the newest it offers.

    ``sums`` holds the SHA-256 of the versions known here; for others the one apt knows is held to. Raises `UserError`
    without apt, for a package it does not know, and for a file with another sum.
    """
    if not shutil.which("apt-get") or not shutil.which("apt-cache"):
        raise UserError("apt-get is not on this system")
    found = offered(name)
    if not found:
        raise UserError(f"apt-get does not know {name}; run `apt-get update` as root and try again")
    version = version if version in found else next(iter(found))
    for old in folder.glob(f"{name}_*.deb"):
        old.unlink()  # apt-get keeps a file of the same name unread
    command = ["apt-get", "download", f"{name}={version}"]
    # stdout is a machine's: apt-get's own progress goes to stderr
    done = subprocess.run(command, cwd=folder, stdout=2, stderr=subprocess.PIPE, text=True, env=_plain_english())
    fetched = sorted(folder.glob(f"{name}_*.deb"))
    if done.returncode or not fetched:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"`{' '.join(command)}` failed ({reason}); run `apt-get update` as root and try again")
    expected = sums.get(version, found[version])
    if (actual := sha256_file(fetched[0])) != expected:
        fetched[0].unlink()
        raise UserError(f"{fetched[0].name} has SHA-256 {actual}, expected {expected}; it was thrown away")
    return fetched[0]


def offered(name: str) -> dict[str, str]:
    """Version to SHA-256, newest first, of the packages of this name that apt knows."""
    shown = subprocess.run(["apt-cache", "show", name], capture_output=True, text=True, env=_plain_english())
    versions = re.split(r"\n\n+", shown.stdout) if shown.returncode == 0 else []
    found = (dict(re.findall(r"^(Version|SHA256): *(\S+)$", stanza, re.MULTILINE)) for stanza in versions)
    return {stanza["Version"]: stanza["SHA256"] for stanza in found if len(stanza) == 2}


def _plain_english() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}
