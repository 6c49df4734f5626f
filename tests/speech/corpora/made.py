"""Recordings, archives and packages that the tests make."""

import io
import tarfile
from pathlib import Path

import numpy as np
import soundfile


def ogg(seconds: float = 1.0, pitch: float = 300.0, peak: float = 0.3) -> bytes:
    buffer = io.BytesIO()
    wave = peak * np.sin(2 * np.pi * pitch * np.arange(round(seconds * 44_100)) / 44_100)
    soundfile.write(buffer, np.stack([wave, wave], axis=1), 44_100, format="OGG", subtype="VORBIS")
    return buffer.getvalue()


def tone(path: Path, seconds: float = 1.0, pitch: float = 300.0, rate: int = 16_000) -> Path:
    """A recording in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate), rate)
    return path


def tarball(path: Path, files: dict[str, bytes], mode: str = "w:xz", links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return path


def package(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None, kind: str = "xz") -> Path:
    """A Debian package: an ar archive of debian-binary, control.tar.xz and data.tar.*."""
    data = tarball(path.with_suffix(".tar"), files, f"w:{kind}", links).read_bytes()
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar.{kind}": data}
    with path.open("wb") as out:
        out.write(b"!<arch>\n")
        for name, content in parts.items():
            header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
            out.write(header + content + b"\n" * (len(content) % 2))
    return path
