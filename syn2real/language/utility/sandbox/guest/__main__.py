"""Runs one program with its tests. Standard input says what; what comes of it is written to the descriptor it names."""

import json
import os
import resource
import sys
from types import ModuleType
from typing import Any


def main() -> None:
    """Give up rights, run, tell."""
    job = json.load(sys.stdin)
    out: int = job["out"]
    for name, value in job["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    os.chdir(job["folder"])
    if job["confined"]:
        from confinement import confine

        try:
            layers = confine(job["folder"], job["readable"], job["threads"])
        except OSError as error:
            _tell(out, {"refused": error.strerror or str(error)})
            os._exit(0)
        _tell(out, {"layers": layers})
    _run(job.pop("word"), out, job)


def _run(word: str, out: int, job: dict[str, Any]) -> None:
    # Bound before the program can put something else in their place. Leaving is of no use to it: only what is said
    # here, with a word it is not told, counts.
    write, leave, dumps, kind, execute = os.write, os._exit, json.dumps, type, exec
    sys.argv = ["program.py"]
    # A module that can be found: dataclasses and pickles look for that of a class by its name.
    sys.modules["program"] = ModuleType("program")
    space: dict[str, Any] = vars(sys.modules["program"])
    try:
        for code in [compile(job[name], f"{name}.py", "exec") for name in ("program", "tests")]:
            execute(code, space)
    except BaseException as error:
        said = f"{kind(error).__name__}: {error}" if f"{error}" else kind(error).__name__
        write(out, dumps({"failed": said[:300]}).encode() + b"\n")
        leave(0)
    write(out, b'{"passed": "' + word.encode() + b'"}\n')
    leave(0)


def _tell(out: int, what: dict[str, Any]) -> None:
    os.write(out, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
