"""Augmentation in manifests: asked for by a line, applied when it is read, written out on request."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from syn2real.cli.main import app
from syn2real.errors import AudioError, UserError
from syn2real.sealing import partial_path
from syn2real.speech import audio
from syn2real.speech.augmentation import Augmentation, augmented, materialise, read_utterance
from syn2real.speech.corpus import Corpus

FAR = Augmentation.from_spec("far_field", seed=4)


@pytest.fixture
def corpus(recordings, tmp_path) -> Corpus:
    """Six real recordings in a folder of their own."""
    (tmp_path / "audio").mkdir()
    copies = []
    for utterance in list(Corpus.load(recordings))[:6]:
        copy = tmp_path / "audio" / utterance.audio_filepath.name
        copy.write_bytes(utterance.audio_filepath.read_bytes())
        copies.append(replace(utterance, audio_filepath=copy))
    Corpus.of(copies).save(tmp_path / "manifest.jsonl")
    return Corpus.load(tmp_path / "manifest.jsonl")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def asking(corpus: Corpus, request: object) -> Corpus:
    return Corpus.of(replace(utterance, extra={"augmentation": request}) for utterance in corpus)


class TestLazy:
    def test_a_manifest_asks_and_reading_obeys(self, corpus, tmp_path):
        augmented(corpus, FAR).save(tmp_path / "far.jsonl")
        for plain, lazy in zip(corpus, Corpus.load(tmp_path / "far.jsonl"), strict=True):
            assert lazy.audio_filepath == plain.audio_filepath
            samples = audio.read(plain.audio_filepath)
            assert np.array_equal(read_utterance(lazy), FAR(samples, plain.id))
            assert np.array_equal(read_utterance(plain), samples)

    def test_any_subset_in_any_order_sounds_the_same(self, corpus):
        lazy = list(augmented(corpus, FAR))
        whole = {utterance.id: read_utterance(utterance) for utterance in lazy}
        for utterance in reversed(lazy[2:5]):
            assert np.array_equal(read_utterance(utterance), whole[utterance.id])

    def test_the_fingerprint_tells_corpora_apart(self, corpus):
        marks = {c.fingerprint for c in (corpus, augmented(corpus, FAR), augmented(corpus, replace(FAR, seed=5)))}
        assert len(marks) == 3

    def test_a_source_is_found_from_any_directory(self, corpus, tmp_path, monkeypatch):
        soundfile.write(tmp_path / "hum.wav", np.sin(np.arange(8_000) / 9), 16_000)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "noises").mkdir()
        (tmp_path / "hum.wav").rename(tmp_path / "noises" / "hum.wav")
        lazy = augmented(corpus, Augmentation.from_spec([{"transform": "background", "source": "noises"}]))
        monkeypatch.chdir("/")
        assert not np.array_equal(read_utterance(lazy[0]), read_utterance(corpus[0]))

    def test_asking_twice_is_refused(self, corpus):
        with pytest.raises(UserError, match="asks for an augmentation already"):
            augmented(augmented(corpus, FAR), FAR)

    @pytest.mark.parametrize(
        ("request_", "problem"),
        [
            ("far_field", 'write {"transforms"'),
            ({"transforms": []}, 'write {"transforms"'),
            ({"transforms": [], "seed": 0}, "a list of transforms, not \\[\\]"),
            ({"transforms": [{"transform": "rom"}], "seed": 0}, "did you mean 'room'"),
            ({"transforms": [{"transform": "room"}], "seed": "x"}, "seed must be a whole number"),
        ],
    )
    def test_what_is_no_augmentation_names_the_utterance(self, corpus, request_, problem):
        with pytest.raises(UserError, match=f"utterance '{corpus[0].id}': field 'augmentation': .*{problem}"):
            read_utterance(asking(corpus, request_)[0])


class TestMaterialised:
    def test_files_hold_what_reading_gives(self, corpus, tmp_path):
        lazy = augmented(corpus, FAR)
        written = materialise(lazy, tmp_path / "far")
        for asked, utterance in zip(lazy, written, strict=True):
            expected = read_utterance(asked)
            assert np.abs(audio.read(utterance.audio_filepath) - expected).max() < 1e-4  # 16 bits
            assert "augmentation" not in utterance.extra
            assert utterance.extra["augmented"] == asked.extra["augmentation"]
            assert (utterance.id, utterance.text, utterance.speaker) == (asked.id, asked.text, asked.speaker)

    def test_durations_follow_speed(self, corpus, tmp_path):
        slow = Augmentation.from_spec([{"transform": "speed", "factor": 0.8}])
        written = materialise(augmented(corpus, slow), tmp_path / "slow")
        assert written.duration == pytest.approx(corpus.duration / 0.8, rel=1e-3)

    def test_what_an_unfinished_run_left_is_kept_if_it_is_the_same(self, corpus, tmp_path):
        materialise(augmented(corpus, FAR), tmp_path / "whole")
        first = Corpus.load(tmp_path / "whole" / "manifest.jsonl")[0].audio_filepath.name
        for seed, kept in ((4, True), (5, False)):
            partial = partial_path(tmp_path / f"again-{seed}")
            (partial / "audio").mkdir(parents=True)
            (partial / "augmentation.json").write_bytes((tmp_path / "whole" / "augmentation.json").read_bytes())
            marked = partial / "audio" / first
            audio.write_flac(marked, np.full(16_000, 0.5, np.float32))
            before = marked.read_bytes()
            materialise(augmented(corpus, replace(FAR, seed=seed)), tmp_path / f"again-{seed}")
            assert ((tmp_path / f"again-{seed}" / "audio" / first).read_bytes() == before) == kept

    def test_a_corpus_that_asks_for_nothing(self, corpus, tmp_path):
        with pytest.raises(UserError, match="no utterance asks for an augmentation"):
            materialise(corpus, tmp_path / "same")
        assert not (tmp_path / "same").exists()

    def test_a_damaged_recording_leaves_no_corpus(self, corpus, tmp_path):
        corpus[3].audio_filepath.write_bytes(b"no sound")
        with pytest.raises(AudioError, match=corpus[3].audio_filepath.name):
            materialise(augmented(corpus, FAR), tmp_path / "far")
        assert not (tmp_path / "far").exists()


class TestCommand:
    def run(self, *arguments: object) -> str:
        result = CliRunner().invoke(app, ["augment", *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, *arguments: object) -> str:
        with pytest.raises(UserError) as raised:
            CliRunner().invoke(app, ["augment", *map(str, arguments)], catch_exceptions=False)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    def test_lazy_then_materialised_is_materialised_at_once(self, corpus, tmp_path):
        plain, far = tmp_path / "manifest.jsonl", tmp_path / "far.jsonl"
        self.run(plain, "--preset", "far_field", "--seed", 4, "-o", far)
        answer = json.loads(self.run(far, "--materialise", "-o", tmp_path / "one", "--json"))
        assert answer["utterances"] == 6
        self.run(plain, "--preset", "far_field", "--seed", 4, "--materialise", "-o", tmp_path / "two")
        assert tree(tmp_path / "one") == tree(tmp_path / "two")

    def test_a_recipe(self, corpus, tmp_path):
        (tmp_path / "mine.yaml").write_text("transforms:\n- {transform: noise, snr: 10}\n")
        self.run(tmp_path / "manifest.jsonl", "--recipe", tmp_path / "mine.yaml", "-o", tmp_path / "n.jsonl")
        request = Corpus.load(tmp_path / "n.jsonl")[0].extra["augmentation"]
        assert request["transforms"][0]["snr"] == [10, 10]

    def test_mistakes(self, corpus, tmp_path):
        plain = tmp_path / "manifest.jsonl"
        assert "--preset (broad" in self.refused(plain, "-o", tmp_path / "x.jsonl")
        assert "did you mean 'telephone'" in self.refused(plain, "--preset", "telefone", "-o", tmp_path / "x.jsonl")
        assert "or pass --materialise" in self.refused(plain, "--preset", "codec", "-o", tmp_path / "x")
        assert "already exists" in self.refused(plain, "--preset", "codec", "-o", plain)
        outside = tmp_path / "elsewhere" / "x.jsonl"
        assert "outside the manifest's folder" in self.refused(plain, "--preset", "codec", "-o", outside)
        both = ("--preset", "codec", "--recipe", tmp_path / "mine.yaml")
        assert "not both" in self.refused(plain, *both, "-o", tmp_path / "x.jsonl")

    def test_killed_and_run_again_ends_in_the_same_bytes(self, recordings, tmp_path):
        command = [sys.executable, "-m", "syn2real.cli.main", "augment", recordings, "--preset", "broad"]
        command += ["--materialise", "-o"]
        subprocess.run([*command, tmp_path / "whole"], check=True, capture_output=True)
        killed = tmp_path / "killed"
        process = subprocess.Popen([*command, killed], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while process.poll() is None and len(list(partial_path(killed).glob("audio/*.flac"))) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        left = {path.name: path.stat().st_mtime_ns for path in partial_path(killed).glob("audio/*.flac")}
        assert left
        assert not killed.exists()
        subprocess.run([*command, killed], check=True, capture_output=True)
        assert tree(killed) == tree(tmp_path / "whole")
        assert all((killed / "audio" / name).stat().st_mtime_ns == when for name, when in left.items())
