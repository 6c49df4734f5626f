"""Programs that mean harm: each is run, and none gets anywhere."""

import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from syn2real.errors import UserError
from syn2real.language.utility.sandbox import Limits, Sandbox
from syn2real.language.utility.sandbox.running import GUEST
from syn2real.lines import write_jsonl

TESTS = "check(1)\n"
FINE = "def check(x): pass\n"
RESERVING = """
import fcntl, os, struct
fcntl.ioctl(os.open("a", os.O_CREAT | os.O_RDWR), 0x40305828, struct.pack("hh4xqqiI16x", 0, 0, 0, 1 << 20, 0, 0))
"""  # FS_IOC_RESVSP


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    found = Sandbox(Limits(seconds=8))
    try:
        assert {"seccomp"} <= set(found.require())
    except UserError as error:
        pytest.skip(str(error))
    return found


def test_what_is_right_passes_with_the_standard_library(sandbox):
    program = """
import asyncio, collections, decimal, hashlib, itertools, json, math, os, re, tempfile, threading
async def once(): return 1
def check(x):
    with tempfile.TemporaryFile() as file:
        assert file.write(b"x") == x and not file.isatty() and not os.get_inheritable(file.fileno())
        os.set_inheritable(file.fileno(), True)
    assert asyncio.run(once()) == x and hashlib.md5(b"").hexdigest()
    thread = threading.Thread(target=lambda: None)
    thread.start(), thread.join()
"""
    assert sandbox.run(program, TESTS).passed


def test_a_program_is_a_module(sandbox):
    """Dataclasses look up the module of a class whose annotations are text."""
    program = """
from dataclasses import dataclass
@dataclass
class Node:
    value: int
    next: "Node | None" = None
def check(x):
    import pickle
    assert Node(2, Node(x)).next == Node(1) and pickle.loads(pickle.dumps(Node(x))) == Node(x)
"""
    ran = sandbox.run(program, TESTS)
    assert ran.passed, ran.said


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("def check(x): assert x == 2", "AssertionError"),
        ("def check(x): return 1 / 0", "ZeroDivisionError"),
        ("def check(", "SyntaxError"),
        # What would run the tests is put out of the way.
        ("import builtins\nbuiltins.exec = builtins.compile = lambda *_: None\ndef check(x): raise OSError", "OSError"),
        ("import numpy", "ModuleNotFoundError"),
        ("def check(x): return check(x)", "RecursionError"),
        ("x = []\nwhile True: x.append(bytes(2**24))", "MemoryError"),
        # processes
        ("import os\nwhile True: os.fork()", "PermissionError"),
        ("import subprocess\nsubprocess.run(['true'])", "PermissionError"),
        ("import os\nos.execv('/bin/sh', ['sh'])", "PermissionError"),
        ("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)", "PermissionError"),
        ("import fcntl, os\nfcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, os.getppid())", "PermissionError"),
        ("import os\nos.sched_setparam(os.getppid(), os.sched_param(0))", "PermissionError"),
        ("import fcntl, os, signal\nfcntl.fcntl(os.pipe()[0], 10, signal.SIGKILL)", "PermissionError"),
        ("import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()", "RuntimeError"),
        # the network
        ("import socket\nsocket.create_connection(('127.0.0.1', 80))", "PermissionError"),
        ("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)", "PermissionError"),
        # files
        ("print(open('/etc/passwd').read())", "PermissionError"),
        ("import os\nprint(open(f'/proc/{os.getppid()}/environ').read())", "PermissionError"),
        ("import os\nos.listdir('/')", "PermissionError"),
        # room on the disk without end, and files that are held and not seen
        (RESERVING, "PermissionError"),
        ("import os\nos.posix_fallocate(os.open('a', os.O_CREAT | os.O_RDWR), 0, 10)", "PermissionError"),
        ("import socket\nsocket.send_fds(socket.socketpair()[0], [b'x'], [0])", "PermissionError"),
        ("import ctypes\nassert not ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)", "AssertionError"),
        ("import ctypes\nassert not ctypes.CDLL(None).close_range(70, 80, 2)", "AssertionError"),
    ],
)
def test_what_is_wrong_or_forbidden_fails(sandbox, program, error):
    ran = sandbox.run(program, TESTS)
    assert (ran.ending, ran.said.split(":")[0]) == ("failed", error)


@pytest.mark.parametrize("call", ["write_text('x')", "unlink()", "chmod(0)", "rename('/tmp/elsewhere')", "mkdir()"])
def test_nothing_outside_is_changed(sandbox, tmp_path, call):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    for path in (mine, tmp_path / "new"):
        assert not sandbox.run(f"import pathlib\npathlib.Path({str(path)!r}).{call}\n{FINE}", TESTS).passed
    assert mine.read_text() == "mine" and mine.stat().st_mode & 0o777 and list(tmp_path.iterdir()) == [mine]


def test_its_own_folder_is_its_own_and_gone_afterwards(sandbox):
    program = "import os\nopen('a', 'w').write('x')\nopen('a').read()\nos.remove('a')\nopen('b', 'w').write('x')\n"
    assert sandbox.run(program + FINE, TESTS).passed
    told = sandbox.run("import os\nraise ValueError(os.getcwd())", "")
    assert not Path(told.said.removeprefix("ValueError: ")).exists()


@pytest.mark.parametrize(
    "program",
    [
        "import sys\nsys.exit(0)",
        "raise SystemExit",
        "import os\nos._exit(0)",
        "import os\ndef check(x): os._exit(0)",
        "import ctypes\nctypes.string_at(0)",
        # It says that it passed, wherever somebody may be listening; but not with the word.
        """
import os
for n in range(64):
    try: os.write(n, b'{"passed": "word"}\\n')
    except OSError: pass
os._exit(0)""",
    ],
)
def test_leaving_before_the_tests_is_not_passing(sandbox, program):
    assert sandbox.run(program, TESTS).ending == "left"


def test_the_environment_is_closed(sandbox, monkeypatch):
    monkeypatch.setenv("SECRET", "1234")
    told = sandbox.run("import os\nraise ValueError(sorted(os.environ))", "").said
    assert "SECRET" not in told and "PATH" not in told and "PYTHONHASHSEED" in told


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b'{"refused": "x"}', ""),
        (b"[" * 50_000, ""),
        (b'{"failed": %s}' % (b"[" * 900 + b"]" * 900), ""),
        (b'{"failed": "%s"}' % (b"x" * 1000), "x" * 300),
        (rb'{"failed": "\ud800 x"}', r"\ud800 x"),
    ],
)
def test_what_a_program_says_in_the_guest_s_place_harms_nobody(sandbox, row, said):
    program = f"""
import os
for n in range(3, 64):
    try: os.write(n, {row!r} + bytes([10]))
    except OSError: pass
os._exit(0)"""
    ran = sandbox.run(program, TESTS)
    assert not ran.passed and ran.said == said
    # Nor where nothing is confined, and nobody else could have said so.
    assert Sandbox(confined=False).run(program, TESTS) == ran


def test_an_error_that_no_file_could_hold_is_written_down(sandbox, tmp_path):
    ran = sandbox.run(r"raise ValueError('\ud800 x')", TESTS)
    assert ran.said == r"ValueError: \ud800 x"
    write_jsonl(tmp_path / "notes.jsonl", [{"note": ran.said}])


# Eight files of 4 MB, of which none has a name, or no descriptor either.
UNNAMED = """
import ctypes, os, time
for _ in range(8):
    held = os.open(' \\r', os.O_CREAT | os.O_RDWR)
    os.write(held, bytes(4 << 20))
    os.remove(' \\r')
    {}
time.sleep(60)"""
MAPPED = "ctypes.CDLL(None).mmap(None, ctypes.c_long(4096), 1, 1, held, ctypes.c_long(0)); os.close(held)"


@pytest.mark.parametrize(
    ("program", "ending"),
    [
        ("while True: pass", "timed out"),
        ("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)", "timed out"),
        ("while True: print('x' * 10**6)", "too much output"),
        ("n = 0\nwhile True:\n  n += 1\n  open(f'{n}', 'wb').write(bytes(10**5))", "too much written"),
        ("n = 0\nwhile True:\n  n += 1\n  open(f'{n}', 'wb').close()", "too much written"),
        (UNNAMED.format(""), "too much written"),
        (UNNAMED.format(MAPPED), "too much written"),
    ],
)
def test_what_does_not_end_is_ended(program, ending, sandbox):
    start = time.monotonic()
    assert Sandbox(Limits(seconds=1.5 if ending == "timed out" else 8)).run(program, TESTS).ending == ending
    assert time.monotonic() - start < 7


def test_one_that_must_not_run_freely_does_not_run(monkeypatch, tmp_path):
    """On a machine of a kind whose system calls are not known nothing is confined, so nothing runs unless told to."""
    guest = tmp_path / "guest"
    guest.mkdir()
    for file in GUEST.glob("*.py"):
        (guest / file.name).write_text(file.read_text().replace("platform.machine()", "'abacus'"))
    monkeypatch.setattr("syn2real.language.utility.sandbox.running.GUEST", guest)
    mark = tmp_path / "mark"
    program = f"open({str(mark)!r}, 'w').close()\n{FINE}"
    with pytest.raises(UserError, match="no list of system calls for abacus"):
        Sandbox().require()
    with pytest.raises(UserError, match="none is run"):
        Sandbox().run(program, TESTS)
    assert not mark.exists()
    assert Sandbox(confined=False).run(program, TESTS).passed and mark.exists()


def test_hash_order_is_the_same_each_time(sandbox):
    program = "raise ValueError(list({'a', 'b', 'c', 'd', 'e'}))"
    assert sandbox.run(program, "").said == sandbox.run(program, "").said


# Of somebody with 70 threads; root's are not counted, so it takes another real user (but its own rights to files).
CROWDED = """
import os, sys, threading, time
from syn2real.language.utility.sandbox import Sandbox

if not os.getuid():
    os.setresuid(65534, 0, 0)
for _ in range(70):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
sandbox = Sandbox()
print(*sandbox.require(), sandbox.run(sys.argv[1], ""), sep=";", flush=True)
os._exit(0)
"""
THREADS = """
import threading, time
threading.stack_size(1 << 16)
started = 0
try:
    while started < 200:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        started += 1
except RuntimeError:
    pass
raise ValueError(started)
"""


def test_its_threads_are_its_own_affair_whoever_runs_it(sandbox):
    told = subprocess.run([sys.executable, "-c", CROWDED, THREADS], capture_output=True, text=True, check=True).stdout
    started = int(re.search(r"ValueError: (\d+)", told)[1])
    assert started >= 30
    assert started < Limits.threads or "namespaces" not in sandbox.require()


@pytest.mark.skipif(not Path("/usr/include").is_dir(), reason="needs the kernel's headers")
def test_the_numbers_are_the_kernels():
    from syn2real.language.utility.sandbox.guest.confinement import _REFUSED

    places = {1: "x86_64-linux-gnu/asm/unistd_64.h", 2: "asm-generic/unistd.h"}
    for place, name in places.items():
        header = Path("/usr/include", name)
        text = header.read_text() if header.is_file() else ""
        known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text))
        for row in map(str.split, _REFUSED.split(",")):
            assert row[0] not in known or known[row[0]] == row[place], row


def test_no_process_is_left(sandbox):
    def children():
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"\nPPid:\t{os.getpid()}\n" in (process / "status").read_text():
                    found.add(process.name)
        return found

    before = children()
    Sandbox(Limits(seconds=0.5)).run("while True: pass", "")
    assert children() <= before


def test_no_descriptor_is_closed_twice(sandbox, monkeypatch):
    """A number that is free again may be another thread's."""
    watch, opened = Sandbox._watch, []

    def watched(self, *arguments):
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(8))
        return watch(self, *arguments)

    monkeypatch.setattr(Sandbox, "_watch", watched)
    assert sandbox.run("", "").passed
    for descriptor in opened:
        os.close(descriptor)
