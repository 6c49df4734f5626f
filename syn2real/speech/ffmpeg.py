"""Recordings that libsndfile cannot read (G.722, M4A, AMR, …), decoded once by ffmpeg where it is installed."""

import shutil
import subprocess
from pathlib import Path

from syn2real.cache import cache_directory, only_one
from syn2real.errors import AudioError, one_line
from syn2real.hashing import sha256_file
from syn2real.sealing import sealed_file

# Containers of sound and nothing that names other files or addresses, as playlists do: a manifest's recordings may not
# lead out of its folder.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,asf,flv,aac,ac3,eac3,dts,amr,amrnb,amrwb,g722,g726,gsm,sbc,"
    "wav,w64,aiff,au,caf,ogg,flac,mp3,ape,tta,tak,wv,mpc,mpc8,shn,voc,dsf,rm,loas,latm,mulaw,alaw"
)


def installed() -> str | None:
    """The ffmpeg on the PATH, if there is one."""
    return shutil.which("ffmpeg")


def decoded(path: Path) -> Path:
    """A FLAC with the first sound track of ``path`` at its own rate, 16 bits, kept in the cache by the file's bytes.

    Raises `AudioError` with ffmpeg's own word where it cannot read the file either, or reads it only in part.
    """
    program = installed()
    assert program is not None
    # A raw stream, as G.722 is, is told by its name alone.
    target = cache_directory() / "decoded" / f"{sha256_file(path)}{path.suffix.lower()}.flac"
    with only_one(target.stem):
        if not target.is_file():
            with sealed_file(target) as partial:
                _run(program, path, partial)
    return target


def _run(program: str, path: Path, target: Path) -> None:
    reading = ["-protocol_whitelist", "file", "-format_whitelist", CONTAINERS, "-i", f"file:{path.absolute()}"]
    writing = ["-map", "0:a:0", "-c:a", "flac", "-sample_fmt", "s16", "-f", "flac", f"file:{target.absolute()}"]
    command = [program, "-nostdin", "-hide_banner", "-v", "error", "-xerror", "-y", *reading, *writing]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        reason = one_line(RuntimeError(done.stderr.replace(str(path.absolute()), path.name)), 200)
        raise AudioError(f"{path}: cannot be read as audio, by ffmpeg neither ({reason}); re-export it")
