"""The near side of the sandbox: a fresh folder and process for each program, watched, and killed when it is time."""

import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Literal

from syn2real.errors import UserError
from syn2real.language.utility.sandbox.written import bytes_written

Ending = Literal["passed", "failed", "left", "timed out", "too much output", "too much written"]
Told = tuple[Ending, list[dict[str, Any]]]
GUEST = Path(__file__).parent / "guest"
_LOOK = 0.05  # s between two looks at what a program has written
_SAID = 300  # characters of an error


@dataclass(frozen=True)
class Limits:
    """What one program may use."""

    seconds: float = 10.0  # on the clock; of the processor as many, rounded up
    memory: int = 512 << 20  # bytes of addresses, Python's own included
    output: int = 1 << 20  # bytes it prints
    written: int = 16 << 20  # bytes in its folder, and in files it removed and still holds
    files: int = 64  # open at once
    threads: int = 64  # where namespaces keep them apart from others of the user; elsewhere memory bounds them

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 3600:
            raise UserError(f"a program's seconds must be above 0 and at most 3600, not {self.seconds:g}")

    def resources(self) -> dict[str, int]:
        """As the guest sets them: names of ``RLIMIT_…``."""
        processor = int(self.seconds) + 1
        return {
            "CPU": processor,
            "AS": self.memory,
            "FSIZE": self.written,
            "NOFILE": self.files,
            "CORE": 0,
        }


@dataclass(frozen=True)
class Ran:
    """How a program ended."""

    ending: Ending
    said: str = ""  # of a failure, the error; never what the program printed

    @property
    def passed(self) -> bool:
        """Whether its tests ran to their end."""
        return self.ending == "passed"


@dataclass(frozen=True)
class Sandbox:
    """Runs programs under limits. ``confined`` is to be given up only for programs that are trusted."""

    limits: Limits = field(default_factory=Limits)
    confined: bool = True

    def require(self) -> list[str]:
        """The layers that lock a program down here. Raises `UserError` where the kernel has too few."""
        told = self._told("", "", "word")[1]
        refused = self._refused(told)
        layers = [layer for row in told for layer in row.get("layers", ())]
        if self.confined and (refused or not layers):
            raise UserError(
                f"programs cannot be locked down on this machine ({refused or 'they do not start'}): that takes Linux "
                "5.13 or newer with Landlock and seccomp; run there, or in a machine of its own with --unconfined"
            )
        return layers

    def run(self, program: str, tests: str) -> Ran:
        """Run a program, then its tests in the same names. It passes when the tests come to their end, whatever it
        returns to the system. Raises `UserError` where it cannot be locked down."""
        word = secrets.token_hex(16)
        ending, told = self._told(program, tests, word)
        refused = self._refused(told)
        if refused is not None:
            raise UserError(f"a program cannot be locked down ({refused}); none is run")
        if any(row.get("passed") == word for row in told):
            return Ran("passed")
        failed = next((row["failed"] for row in told if isinstance(row.get("failed"), str)), None)
        if ending == "left" and failed is not None:
            # Half a surrogate pair is no character that a file holds.
            said = failed[:_SAID].encode(errors="backslashreplace").decode()
            return Ran("left" if failed.startswith("SystemExit") else "failed", said)
        return Ran(ending)

    def _refused(self, told: list[dict[str, Any]]) -> str | None:
        """Why a process could not be locked down. It says so first or never: all else may be a program's word."""
        return str(told[0]["refused"]) if self.confined and told and "refused" in told[0] else None

    def _told(self, program: str, tests: str, word: str) -> Told:
        """How the process ended, and what it told."""
        with TemporaryDirectory(prefix="program-") as folder, _pipe() as (reading, writing):
            job = {
                "program": program,
                "tests": tests,
                "word": word,
                "out": writing.fileno(),
                "folder": folder,
                "readable": _readable(),
                "limits": self.limits.resources(),
                "threads": self.limits.threads,
                "confined": self.confined,
            }
            process = subprocess.Popen(
                # Nothing of this process's packages and settings; its sets in the same order each time.
                [sys.executable, "-P", "-s", "-S", "-B", str(GUEST)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={"PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8"},
                cwd=folder,
                pass_fds=(writing.fileno(),),
                start_new_session=True,
            )
            writing.close()
            try:
                with suppress(BrokenPipeError), process.stdin as given:  # type: ignore[union-attr]
                    given.write(json.dumps(job).encode())
                ending, told = self._watch(process, reading, Path(folder).resolve())
            finally:
                _kill(process)
        return ending, told

    def _watch(
        self, process: subprocess.Popen[bytes], reading: IO[bytes], folder: Path
    ) -> tuple[Ending, list[dict[str, Any]]]:
        until = time.monotonic() + self.limits.seconds
        printed, told, most = 0, b"", self.limits.written
        with selectors.DefaultSelector() as selector:
            output: IO[bytes] = process.stdout  # type: ignore[assignment]
            selector.register(output, selectors.EVENT_READ)
            selector.register(reading, selectors.EVENT_READ)
            while selector.get_map():
                if time.monotonic() > until:
                    return "timed out", []
                for key, _ in selector.select(_LOOK):
                    part = os.read(key.fd, 1 << 16)
                    if not part:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is output:
                        printed += len(part)
                    else:
                        told += part
                if max(printed, len(told)) > self.limits.output:
                    return "too much output", []
                if bytes_written(process.pid, folder, most) > most:
                    return "too much written", []
        return "left", _rows(told)


@contextmanager
def _pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A pipe's two ends, which the caller may close. As files: a bare number that is closed twice may be another
    thread's the second time."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", 0) as end, os.fdopen(writing, "wb", 0) as start:
        yield end, start


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()


def _readable() -> list[str]:
    """What a program may read beside its folder: Python's standard library and what that loads."""
    python = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")} | {f"{sys.base_prefix}/lib"}
    system = {"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime"}
    return sorted({*python, *system, str(GUEST), "/dev/null", "/dev/urandom", "/dev/zero"})


def _rows(told: bytes) -> list[dict[str, Any]]:
    rows = []
    for line in told.splitlines():
        with suppress(ValueError, RecursionError):  # no JSON, or nested without end
            row = json.loads(line)
            rows += [row] if isinstance(row, dict) else []
    return rows
