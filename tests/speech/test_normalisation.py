import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.whisper.english_normalizer import BasicTextNormalizer

from syn2real.errors import NotInstalled, UserError
from syn2real.speech import normalisation, scoring
from syn2real.speech.normalisation import normaliser
from syn2real.speech.scoring import Pair, score
from syn2real.speech.survey import survey


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("none", "  Two\twords, ¡Sí!\n", "Two words, ¡Sí!"),
        ("basic", "  ¡El Niño, está AQUÍ! ", "el niño está aquí"),
        ("basic", "un (largo) camino [risas]", "un camino"),
        ("basic", "o piatră", "o piatră"),
        ("basic", "", ""),
        ("unicode", "  ¡El Niño, está AQUÍ! (ruido)", "el niño está aquí"),
        ("unicode", "उसकी किताब, मेज पर है।", "उसकी किताब मेज पर है"),
        ("unicode", "สวัสดีครับ", "สวัสดีครับ"),
        ("unicode", "Zimmer № 5, 20 ℃", "zimmer no 5 20 c"),
        ("unicode", "l\u2019ami, 3\u00a0kg; co\u00adop", "l ami 3 kg coop"),
        (
            "english",
            "Mr. Grey won't buy twenty-one tyres; the colour's off",
            "mister gray will not buy 21 tires the color is off",
        ),
        ("english", "um, hmm.", ""),
        ("english", "well...", "well ."),  # a wart of Whisper's own, kept so that rates compare with published ones
    ],
)
def test_normalisers(name: str, text: str, expected: str) -> None:
    assert normaliser(name)(text) == expected


@given(st.text(st.sampled_from("abZ9 .,'-$^`~_<>[]()\t\n\0\x1fé") | st.characters(), max_size=20))
def test_basic_is_whispers_own(text: str) -> None:
    whispers = BasicTextNormalizer(remove_diacritics=False, split_letters=False)
    assert normaliser("basic")(text) == " ".join(whispers(text).split())


def test_basic_joins_accents_written_apart() -> None:
    assert normaliser("basic")("nin\u0303o") == normaliser("basic")("ni\u00f1o") == "ni\u00f1o"


@pytest.mark.parametrize("name", normalisation.names())
def test_what_is_normal_stays(name: str) -> None:
    text = normaliser(name)("The Centre, at 5 o'clock: It's (really) GREY!")
    assert normaliser(name)(text) == text


def test_each_names_the_packages_it_came_from() -> None:
    assert str(normaliser("none")) == "none"
    assert str(normaliser("basic")).startswith("basic (transformers ")
    assert "transformers " in normaliser("english").version and "whisper-normalizer " in normaliser("english").version
    assert normaliser("english") is normaliser("english")


def test_a_script_whose_vowels_basic_blanks_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [Pair("a", "उसकी किताब मेज पर है", "उसके किताबें मेज पर हैं")]
    scoring._tell_of_marks.cache_clear()
    assert score(pairs, "basic").rate == 0 and "unicode keeps them" in " ".join(capsys.readouterr().err.split())
    assert score(pairs, "unicode").rate == 3 / 5 and not capsys.readouterr().err
    scoring._tell_of_marks.cache_clear()
    for harmless in ("nin\u0303o", "el “rock´n´roll”"):
        score([Pair("a", harmless, "niño")], "basic")
    assert not capsys.readouterr().err
    list(survey([(pairs, ())], normaliser("basic")))
    assert "unicode keeps them" in " ".join(capsys.readouterr().err.split())
    scoring._tell_of_marks.cache_clear()


def test_unknown_name_is_met_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown normaliser 'englsh' \(did you mean 'english'\?\)"):
        normaliser("englsh")


def test_missing_spelling_map_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalisation, "_SPELLING_PACKAGE", "no-such-package-of-ours")
    normaliser.cache_clear()
    with pytest.raises(NotInstalled, match=r"no-such-package-of-ours is not installed: .*syn2real\[speech\]"):
        normaliser("english")
    normaliser.cache_clear()


def test_torch_is_not_loaded() -> None:
    code = (
        "import sys; from syn2real.speech.normalisation import normaliser; "
        "normaliser('english')('a'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
