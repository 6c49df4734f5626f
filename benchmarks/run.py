"""`make bench`: every benchmark that runs here, one after the other. Each prints its figures as JSON lines."""

import argparse
import subprocess
import sys
from pathlib import Path

SPEECHOCEAN = Path(__file__).parents[2] / "shared" / "data" / "speechocean762" / "manifest.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, default=SPEECHOCEAN, help="with a field split: train and test")
    options = parser.parse_args()
    if not options.manifest.is_file():
        raise SystemExit(f"{options.manifest}: not here; pass a manifest with --manifest")
    subprocess.run([sys.executable, "-m", "benchmarks.windows", "--manifest", str(options.manifest)], check=True)


if __name__ == "__main__":
    main()
