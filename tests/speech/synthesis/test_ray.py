"""A Ray cluster speaks the same bytes as one process, whatever becomes of its nodes."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from syn2real.errors import UserError
from syn2real.speech.corpus import Corpus, Sentence
from syn2real.speech.synthesis import Judges, SynthesisSettings, Workforce, synthesize

ray = pytest.importorskip("ray", reason="needs Ray (syn2real[ray])")
SETTINGS = SynthesisSettings(engines=("espeak",), seed=2)


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes of one core each, on this machine; Ray asks for free memory that a test does not need."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where the actors find the judge
    small = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    made = Cluster(initialize_head=True, head_node_args=small | {"include_dashboard": False})
    try:
        yield made, made.add_node(**small)
    finally:
        ray.shutdown()
        made.shutdown()


@dataclass(frozen=True)
class Slowly:
    """A judge that lets work begin when both actors have, and leaves some for when the node goes."""

    folder: Path

    def __call__(self, samples, rendition):
        (self.folder / f"actor-{os.getpid()}").touch()
        while len(list(self.folder.glob("actor-*"))) < 2:
            time.sleep(0.01)
        time.sleep(0.02)


def spoken(folder):
    return len(list((folder / "ray" / "audio").glob("*.flac")))


def test_a_node_that_is_killed_changes_no_byte(tmp_path, cluster, files):
    nodes, second = cluster
    sentences = [Sentence(f"r{n}", f"Sentence number {n} goes to the cluster.") for n in range(120)]
    failures = []

    def speak():
        try:
            workforce = Workforce(backend="ray", ray_address=nodes.address)
            synthesize(sentences, SETTINGS, tmp_path / "ray", workforce=workforce, judges=Judges(clip=Slowly(tmp_path)))
        except BaseException as error:
            failures.append(error)

    run = Thread(target=speak)
    run.start()
    deadline = time.monotonic() + 90
    while spoken(tmp_path) < 20:
        assert time.monotonic() < deadline and run.is_alive(), failures
        time.sleep(0.02)
    assert spoken(tmp_path) < 80
    nodes.remove_node(second, allow_graceful=False)
    run.join(120)
    assert not failures and not run.is_alive()
    synthesize(sentences, SETTINGS, tmp_path / "serial", 1)
    assert {"caleb", "Reed"} & {u.voice.partition("+")[2] for u in Corpus.load(tmp_path / "serial" / "manifest.jsonl")}
    assert files(tmp_path / "ray") == files(tmp_path / "serial")


def test_a_cluster_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot reach Ray at 127\.0\.0\.1:1"):
        synthesize(
            [Sentence("a", "Hello there.")],
            SETTINGS,
            tmp_path,
            workforce=Workforce(backend="ray", ray_address="127.0.0.1:1"),
        )
