"""What a process takes: time, processor time and peak memory, each system in a process of its own."""

import json
import resource
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def measure(command: list[str], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a command to its end: seconds, processor seconds, peak resident and peak anonymous memory in MB."""
    start, used = time.perf_counter(), processor_seconds()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    peaks = {"VmHWM": 0, "RssAnon": 0}
    watcher = threading.Thread(target=watch, args=(process, peaks))
    watcher.start()
    stdout, stderr = process.communicate()
    seconds = time.perf_counter() - start
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\n{stderr[-2000:]}")
    memory = {"rss": peaks["VmHWM"] / 1e3, "anonymous": peaks["RssAnon"] / 1e3}
    return {"seconds": seconds, "cpu": processor_seconds() - used, "stdout": stdout, **memory}


def processor_seconds() -> float:
    """User's and system's, of all commands that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def watch(process: "subprocess.Popen[str]", peaks: dict[str, int]) -> None:
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            return
        for line in lines:
            key, _, value = line.partition(":")
            if key in peaks:
                peaks[key] = max(peaks[key], int(value.split()[0]))
        time.sleep(0.01)


def show(**row: Any) -> None:
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}), flush=True)
