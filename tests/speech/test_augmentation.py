import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from syn2real.errors import AudioError, UserError
from syn2real.hashing import sha256_json
from syn2real.speech import audio
from syn2real.speech.augmentation import (
    PRESETS,
    TRANSFORMS,
    Augmentation,
    Background,
    Band,
    Clipping,
    Codec,
    Gain,
    Interval,
    MeasuredRoom,
    Noise,
    Room,
    Speed,
    Telephone,
    Transform,
    Within,
    transform,
)
from syn2real.speech.augmentation.rooms import Shoebox
from syn2real.speech.augmentation.spectrum import convolve, fast_length, power
from syn2real.speech.corpus import Corpus

RATE = audio.SAMPLE_RATE


@pytest.fixture(scope="module")
def speech(recordings) -> np.ndarray:
    """A real clip of English."""
    return audio.read(Corpus.load(recordings)[0].audio_filepath)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings: half a second at 8 kHz in stereo, and three seconds at 16 kHz, in a folder below."""
    (tmp_path / "noises" / "street").mkdir(parents=True)
    random = np.random.default_rng(0)
    soundfile.write(tmp_path / "noises" / "short.wav", 0.1 * random.standard_normal((4_000, 2)), 8_000)
    soundfile.write(tmp_path / "noises" / "street" / "long.flac", 0.1 * random.standard_normal(48_000), RATE)
    return tmp_path / "noises"


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def hiss(seconds: float = 1.0, level: float = 0.1) -> np.ndarray:
    return (level * generator(9).standard_normal(round(seconds * RATE))).astype(np.float32)


def ratio(speech: np.ndarray, mixed: np.ndarray) -> float:
    """dB between the speech's mean power and that of what was added."""
    return 10 * np.log10(power(speech) / power(mixed - speech))


def band_power(samples: np.ndarray, low: float, high: float) -> float:
    """dB of the band's mean power in a bin."""
    hertz = np.fft.rfftfreq(samples.size, 1 / RATE)
    inside = (hertz >= low) & (hertz < high)
    return float(10 * np.log10(np.mean(np.abs(np.fft.rfft(samples))[inside] ** 2) + 1e-20))


def decay_time(response: np.ndarray) -> float:
    """T60 in s by Schroeder's backward integration: the slope from -5 to -25 dB, carried on to -60."""
    energy = np.cumsum(response[::-1].astype(np.float64) ** 2)[::-1]
    level = 10 * np.log10(energy / energy[0] + 1e-30)
    first, last = np.argmax(level < -5), np.argmax(level < -25)
    return -60 / np.polyfit(np.arange(first, last) / RATE, level[first:last], 1)[0]


class TestNoise:
    @pytest.mark.parametrize("colour", ["white", "pink", "brown", "speech"])
    @pytest.mark.parametrize("snr", [-5, 0, 12.5, 30])
    def test_the_ratio_is_the_one_asked_for(self, speech, colour, snr):
        assert ratio(speech, Noise(snr=snr, colours=colour)(speech, generator())) == pytest.approx(snr, abs=0.1)

    @pytest.mark.parametrize(("colour", "fall"), [("white", 0), ("pink", 3), ("brown", 6)])
    def test_colours_fall_by_so_many_decibels_an_octave(self, colour, fall):
        tone = (0.1 * np.sin(np.arange(10 * RATE))).astype(np.float32)
        noise = Noise(snr=0, colours=colour)(tone, generator()) - tone
        octaves = [band_power(noise, low, 2 * low) for low in (125, 250, 500)]
        assert np.diff(octaves) == pytest.approx([-fall, -fall], abs=0.5)

    def test_speech_noise_has_the_speech_s_spectrum_but_is_not_speech(self, speech):
        noise = Noise(snr=0, colours="speech")(speech, generator()) - speech
        for low in (200, 500, 1000, 2000):
            assert band_power(noise, low, 2 * low) == pytest.approx(band_power(speech, low, 2 * low), abs=1.5)
        assert abs(np.corrcoef(noise, speech)[0, 1]) < 0.1

    def test_digital_silence_stays(self):
        silence = np.zeros(1_000, np.float32)
        assert not Noise()(silence, generator()).any()


class TestBackground:
    @pytest.mark.parametrize("layers", [1, 6])
    def test_the_ratio_holds_for_all_layers_together(self, folder, speech, layers):
        mixed = Background(str(folder), snr=7, layers=layers)(speech, generator())
        assert ratio(speech, mixed) == pytest.approx(7, abs=0.1)

    def test_an_excerpt_of_a_long_recording(self, folder):
        whole = audio.read(folder / "street" / "long.flac")
        clip = hiss(1.0)
        added = Background(str(folder / "street"), snr=0)(clip, generator(1)) - clip
        found = np.correlate(whole, added / np.linalg.norm(added), "valid")
        place = int(found.argmax())
        assert found[place] == pytest.approx(np.linalg.norm(whole[place : place + clip.size]), rel=1e-3)
        assert place > 0

    def test_speech_of_a_manifest_makes_babble(self, recordings):
        clip = hiss(2.0)
        babble = Background(str(recordings), snr=0, layers=(4, 8))
        assert len(babble.recordings) == 24
        assert ratio(clip, babble(clip, generator())) == pytest.approx(0, abs=0.1)

    @pytest.mark.parametrize(("name", "problem"), [("none", "no such folder"), ("empty", "holds no recordings")])
    def test_a_source_without_recordings(self, tmp_path, name, problem):
        (tmp_path / "empty").mkdir()
        with pytest.raises(UserError, match=problem):
            Background(str(tmp_path / name))

    def test_a_damaged_recording_is_named(self, folder):
        (folder / "short.wav").write_bytes(b"no sound")
        background = Background(str(folder))
        with pytest.raises(AudioError, match=r"short\.wav"):
            for seed in range(10):
                background(hiss(), generator(seed))


class TestRooms:
    @pytest.mark.parametrize(("t60", "tolerance"), [(0.2, 0.3), (0.4, 0.1), (0.8, 0.05), (1.5, 0.05)])
    def test_the_decay_time_is_the_one_asked_for(self, t60, tolerance):
        measured = [decay_time(Room(t60=t60).draw(generator(s)).response(generator(s))) for s in range(20)]
        assert np.mean(measured) == pytest.approx(t60, rel=tolerance / 4)
        assert measured == pytest.approx([t60] * 20, rel=tolerance)

    def test_first_images_by_hand(self):
        room = Shoebox(np.array([4.0, 5.0, 3.0]), np.array([1.0, 2.5, 1.5]), np.array([3.0, 2.5, 1.5]), 0.4)
        times, amplitudes = room.images(4.1 / 343)
        # Direct 2 m; floor and ceiling √(2² + 3²) m; the two walls in line both 4 m.
        distances = np.array([2, np.sqrt(13), np.sqrt(13), 4, 4])
        assert np.sort(times) * 343 == pytest.approx(distances)
        bounced = room.reflection ** np.array([0, 1, 1, 1, 1])
        assert amplitudes[np.argsort(times, kind="stable")] == pytest.approx(bounced / (4 * np.pi * distances))

    def test_images_agree_with_pyroomacoustics(self):
        pra = pytest.importorskip("pyroomacoustics", reason="needs pyroomacoustics, of the extra dev, to compare with")
        room = Room().draw(generator(3))
        peer = pra.ShoeBox(room.size, fs=RATE, materials=pra.Material(1 - room.reflection**2), max_order=30)
        peer.add_source(room.talker)
        peer.add_microphone(room.microphone)
        peer.image_source_model()
        away = np.linalg.norm(peer.sources[0].images - room.microphone[:, None], axis=0)
        near = away < 0.04 * 343
        times, amplitudes = room.images(0.04)
        assert np.sort(times) * 343 == pytest.approx(np.sort(away[near]), rel=1e-6)
        theirs = np.sort(np.abs(peer.sources[0].damping[0, near]) / (4 * np.pi * away[near]))
        assert np.sort(np.abs(amplitudes)) == pytest.approx(theirs, rel=1e-5)

    def test_the_noise_goes_on_where_the_images_end(self):
        """The power of the images shortly before they end is that of the tail shortly after."""
        before, after = [], []
        for seed in range(60):
            room = Room(t60=0.6).draw(generator(seed))
            response = room.response(generator(seed))
            direct = np.linalg.norm(room.talker - room.microphone) / 343
            end = round((room.mixing_time - direct) * RATE) + 40
            before.append(power(response[end - 160 : end]) * 10 ** (-6 * 0.01 / 0.6))
            after.append(power(response[end : end + 160]))
        assert 10 * np.log10(np.mean(before) / np.mean(after)) == pytest.approx(0, abs=1)

    def test_nothing_piles_up_at_zero_hertz(self):
        gains = [np.abs(np.fft.rfft(Room().draw(generator(s)).response(generator(s)), 1 << 15)) for s in range(20)]
        assert np.mean([gain[:200].max() / np.sqrt(np.mean(gain**2)) for gain in gains]) < 3

    def test_direct_sound_is_not_delayed_and_loudness_stays(self, speech):
        near = Room(t60=0.1, distance=0.3)(speech, generator())
        lags = np.fft.irfft(np.fft.rfft(near, 2 * near.size) * np.conj(np.fft.rfft(speech, 2 * near.size)))
        assert int(lags.argmax()) == 0
        assert near.size == speech.size
        assert power(near) == pytest.approx(power(speech), rel=1e-4)

    def test_talker_and_microphone_stand_in_the_room_at_the_distance(self):
        for seed in range(50):
            room = Room(distance=(0.3, 2)).draw(generator(seed))
            assert 0.3 - 1e-9 <= np.linalg.norm(room.talker - room.microphone) <= 2 + 1e-9
            for place in (room.talker, room.microphone):
                assert ((place >= 0.5 - 1e-9) & (place <= room.size - 0.5 + 1e-9)).all()

    def test_a_distance_past_the_room_is_what_the_room_allows(self):
        room = Room(distance=30, length=3, width=3, height=2.5).draw(generator())
        assert 0.5 < np.linalg.norm(room.talker - room.microphone) < 3.2

    def test_measured_responses_are_convolved_and_aligned(self, tmp_path, speech):
        response = np.zeros(800, np.float32)
        response[[100, 500]] = 0.8, 0.4  # 6 ms of nothing, direct sound, one echo after 25 ms
        soundfile.write(tmp_path / "hall.wav", response, RATE, subtype="FLOAT")
        wet = MeasuredRoom(str(tmp_path))(speech, generator())
        expected = speech + 0.5 * np.concatenate([np.zeros(400, np.float32), speech[:-400]])
        expected *= np.sqrt(power(speech) / power(expected))
        assert np.abs(wet - expected).max() < 1e-4


class TestChannels:
    def test_a_band_is_kept_and_the_rest_removed(self):
        clip = hiss(2.0)
        narrow = Band(low=300, high=4000)(clip, generator())
        assert band_power(narrow, 500, 3900) == pytest.approx(band_power(clip, 500, 3900), abs=0.05)
        assert band_power(narrow, 20, 190) < band_power(clip, 20, 190) - 40
        assert band_power(narrow, 4110, 8000) < band_power(clip, 4110, 8000) - 40

    @pytest.mark.parametrize(("coding", "least"), [("mu-law", 30), ("a-law", 30), ("gsm", 5)])
    def test_a_telephone_line(self, speech, coding, least):
        band = Telephone(low=300, high=3400, codings="none")(speech, generator())
        line = Telephone(low=300, high=3400, codings=coding)(speech, generator())
        assert line.size == band.size == speech.size
        for samples in (band, line):
            assert band_power(samples, 4000, 8000) < band_power(samples, 400, 3300) - 30
        assert least < ratio(band, line) < 60

    @pytest.mark.parametrize("level", [0.9, 0.09, 0.009])
    def test_companding_keeps_the_ratio_at_any_level(self, level):
        """G.711's 8 bits: 30 to 45 dB from a loud sine to a soft one, where linear 8 bits would lose 40 dB."""
        sine = (level * np.sin(2 * np.pi * 1000 / RATE * np.arange(RATE))).astype(np.float32)
        clean = Telephone(codings="none", low=300, high=3400)(sine, generator())
        assert 30 < ratio(clean, Telephone(codings="mu-law", low=300, high=3400)(sine, generator())) < 45

    @pytest.mark.parametrize(("name", "least"), [("mp3", 8), ("opus", 15), ("vorbis", 10)])
    def test_codecs_lose_something_but_not_the_speech_nor_its_time(self, speech, name, least):
        coded = Codec(formats=name, compression=0.7)(speech, generator())
        assert coded.size == speech.size
        assert least < ratio(speech, coded) < 60

    def test_loud_samples_are_not_clipped_by_a_coder(self, speech):
        loud = speech / np.abs(speech).max() * 4
        coded = Codec(formats="vorbis", compression=0.1)(loud, generator())
        assert np.abs(coded).max() > 3.5


class TestLevels:
    def test_gain(self):
        clip = hiss()
        assert power(Gain(gain=-6)(clip, generator())) == pytest.approx(power(clip) * 10**-0.6, rel=1e-5)

    def test_clipping(self):
        clip = hiss()
        cut = Clipping(depth=6)(clip, generator())
        assert np.abs(cut).max() == pytest.approx(np.abs(clip).max() * 10**-0.3, rel=1e-5)
        assert (cut == clip)[np.abs(clip) < np.abs(cut).max()].all()

    @pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
    def test_speed_changes_length_and_pitch(self, factor):
        tone = (0.1 * np.sin(2 * np.pi * 1000 / RATE * np.arange(2 * RATE))).astype(np.float32)
        fast = Speed(factor=factor)(tone, generator())
        assert fast.size == pytest.approx(tone.size / factor, abs=2)
        peak = np.abs(np.fft.rfft(fast)).argmax() * RATE / fast.size
        assert peak == pytest.approx(1000 * factor, rel=1e-3)

    def test_a_clip_is_not_slowed_past_the_window(self):
        assert Speed(factor=0.8)(hiss(29.0), generator()).size <= audio.WINDOW * RATE


class TestSpectrum:
    @given(st.integers(1, 10**6))
    def test_fast_lengths_are_little_longer_and_have_no_large_prime(self, least):
        length = fast_length(least)
        assert least <= length <= least * 9 / 8 + 1
        while length % 2 == 0:
            length //= 2
        assert length < 16

    @given(st.integers(1, 300), st.integers(1, 300))
    def test_convolution(self, size, taps):
        left, right = generator(1).standard_normal(size), generator(2).standard_normal(taps)
        assert convolve(left, right) == pytest.approx(np.convolve(left, right), abs=1e-4)


class TestAugmentation:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_presets_on_real_speech(self, preset, speech):
        augmentation = Augmentation.from_spec(preset)
        heard = [augmentation(speech, "clip", epoch) for epoch in range(4)]
        for changed in heard:
            assert changed.dtype == np.float32
            assert np.isfinite(changed).all()
            assert 0.001 < np.abs(changed).max() <= 1
            assert preset == "broad" or changed.size == speech.size
        assert len({sha256_json(changed.tolist()) for changed in heard}) == 4

    def test_the_same_whatever_the_order_and_the_process(self, speech):
        keys = [(f"clip-{number}", epoch) for number in range(6) for epoch in range(2)]
        here = {key: Augmentation.from_spec("broad", seed=3)(speech, *key) for key in keys}
        augmentation = Augmentation.from_spec("broad", seed=3)
        for key in reversed(keys):
            assert np.array_equal(augmentation(speech, *key), here[key])
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            there = list(pool.map(augmentation, [speech] * 4, *zip(*keys[:4], strict=True)))
        assert all(np.array_equal(there[place], here[key]) for place, key in enumerate(keys[:4]))

    def test_seed_key_and_epoch_each_change_the_draw(self):
        clip = hiss(0.2)
        one, other = (Augmentation.from_spec([{"transform": "noise"}], seed) for seed in (0, 1))
        heard = [one(clip, "a"), one(clip, "b"), one(clip, "a", 1), other(clip, "a")]
        assert len({changed.tobytes() for changed in heard}) == 4

    def test_probability_is_the_share_of_clips(self):
        half = Augmentation.from_spec([{"transform": "gain", "gain": -20, "probability": 0.3}])
        clip = hiss(0.01)
        touched = sum(not np.array_equal(half(clip, str(number)), clip) for number in range(1000))
        assert 250 < touched < 350

    def test_a_peak_past_full_scale_is_scaled_down_and_not_clipped(self):
        clip = hiss(0.5, level=0.3)
        loud = Augmentation.from_spec([{"transform": "gain", "gain": 20}])(clip, "a")
        assert loud == pytest.approx(clip / np.abs(clip).max(), rel=1e-5)

    def test_the_samples_given_are_left_as_they_are(self, speech):
        before = speech.copy()
        augmentation = Augmentation.from_spec("broad")
        for number in range(8):
            augmentation(speech, str(number))
        assert np.array_equal(speech, before)

    @settings(max_examples=40)
    @given(
        size=st.integers(1, 9_000),
        level=st.sampled_from([0.0, 1e-6, 0.1, 1.0, 5.0]),
        names=st.lists(st.sampled_from(sorted(set(TRANSFORMS.names()) - {"background", "measured_room"}))),
        seed=st.integers(0, 2**63),
    )
    def test_any_clip_through_any_transforms_stays_sound(self, size, level, names, seed):
        clip = (level * generator(5).uniform(-1, 1, size)).astype(np.float32)
        augmentation = Augmentation.from_spec([{"transform": name} for name in names or ["gain"]], seed)
        changed = augmentation(clip, "clip")
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        assert np.abs(changed).max() <= 1
        if "speed" in names:
            assert changed.size >= 1
        else:
            assert changed.size == size
        assert np.array_equal(changed, augmentation(clip, "clip"))

    @pytest.mark.parametrize("samples", [np.zeros(0), np.zeros((4, 2)), np.array([0.0, np.nan])])
    def test_what_is_no_clip_is_refused(self, samples):
        with pytest.raises(AudioError, match="a-clip: can only augment one channel of finite samples"):
            Augmentation.from_spec("broad")(samples, "a-clip")


class TestSpecification:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_round_trip(self, preset):
        augmentation = Augmentation.from_spec(preset, seed=5)
        assert Augmentation.from_spec(augmentation.spec(), seed=5) == augmentation
        assert sha256_json(augmentation.spec())  # plain JSON
        assert pickle.loads(pickle.dumps(augmentation)) == augmentation

    @pytest.mark.parametrize(
        ("spec", "problem"),
        [
            ("brod", r"unknown preset 'brod' \(did you mean 'broad'\?\)"),
            ([], r"a preset \(telephone, .*\) or a list of transforms, not \[\]"),
            (["noise"], "transform 1: write each as {transform: NAME"),
            ([{"transform": "nois"}], r"transform 1: unknown transform 'nois' \(did you mean 'noise'\?\)"),
            ([{"transform": "gain"}, {"transform": "noise", "snrr": 3}], r"transform 2: noise: .*did you mean 'snr'\?"),
            ([{"transform": "noise", "snr": 200}], r"noise: snr: write a number or \[low, high\] within -20 and 80 dB"),
            ([{"transform": "noise", "snr": [9, 3]}], r"not \[9, 3\]"),
            ([{"transform": "noise", "snr": "loud"}], "not 'loud'"),
            ([{"transform": "noise", "snr": float("nan")}], "not nan"),
            ([{"transform": "noise", "snr": True}], "not True"),
            (
                [{"transform": "noise", "colours": ["pnik"]}],
                r"colours: unknown choice 'pnik' .*'pink'",
            ),
            ([{"transform": "noise", "colours": []}], "name at least one of white, pink, brown, speech"),
            ([{"transform": "noise", "probability": 2}], "probability: write a number from 0 to 1, not 2"),
            ([{"transform": "noise", "probabilty": 1}], r"did you mean 'probability'\?"),
            ([{"transform": "background"}], "background: name its recordings"),
            ([{"transform": "background", "source": 3}], "source: name a folder of recordings"),
            ([{"transform": "measured_room", "source": "nowhere"}], "nowhere: no such folder"),
        ],
    )
    def test_mistakes_are_one_line(self, spec, problem):
        with pytest.raises(UserError, match=problem) as raised:
            Augmentation.from_spec(spec)
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("transforms:\n- transform: noise\n- transform: rom\n", r":3: unknown transform 'rom' .*'room'"),
            ("transform:\n- transform: noise\n", r":1: unknown key 'transform' \(did you mean 'transforms'\?\)"),
            ("transforms: broad\n", ":1: write a list of transforms"),
        ],
    )
    def test_mistakes_in_a_file_come_with_their_line(self, tmp_path, text, problem):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        with pytest.raises(UserError, match=problem):
            Augmentation.load(path)

    def test_a_file(self, tmp_path):
        path = tmp_path / "mine.yaml"
        path.write_text("transforms:\n- {transform: noise, snr: 10, colours: pink}\n- {transform: codec}\n")
        assert Augmentation.load(path, seed=2) == Augmentation.from_spec(
            [{"transform": "noise", "snr": [10, 10], "colours": ["pink"]}, {"transform": "codec"}], seed=2
        )

    def test_the_fingerprint_follows_the_recordings(self, folder):
        spec = [{"transform": "background", "source": str(folder)}]
        before = Augmentation.from_spec(spec).fingerprint
        assert Augmentation.from_spec(spec).fingerprint == before
        soundfile.write(folder / "short.wav", hiss(), RATE)
        assert Augmentation.from_spec(spec).fingerprint != before

    def test_a_transform_of_one_s_own(self, monkeypatch):
        monkeypatch.setattr(TRANSFORMS, "_items", dict(TRANSFORMS._items))

        @transform("invert")
        @dataclass(frozen=True)
        class Invert(Transform):
            depth: Annotated[Interval, Within(0, 1)] = (1, 1)

            def __call__(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
                return -samples * np.float32(random.uniform(*self.depth))

        clip = hiss(0.1)
        assert np.array_equal(Augmentation.from_spec([{"transform": "invert"}])(clip, "a"), -clip)
