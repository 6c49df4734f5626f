"""`make bench`: every benchmark that runs here, one after the other. Each prints its figures as JSON lines."""

import subprocess
import sys
from pathlib import Path

SPEECHOCEAN = Path(__file__).parents[2] / "shared" / "data" / "speechocean762" / "manifest.jsonl"


def main() -> None:
    if SPEECHOCEAN.is_file():
        subprocess.run([sys.executable, "-m", "benchmarks.windows", "--manifest", str(SPEECHOCEAN)], check=True)
    else:
        print(f"benchmarks.windows needs speechocean762: pass its manifest with --manifest ({SPEECHOCEAN} is not here)")


if __name__ == "__main__":
    main()
