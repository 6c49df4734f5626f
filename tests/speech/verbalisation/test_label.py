"""What is spoken and what is the label agree."""

import pytest
from hypothesis import given, settings
from written_texts import LANGUAGES, TEXTS

from syn2real.errors import UserError
from syn2real.speech.normalisation import normaliser
from syn2real.speech.verbalisation import TextRule, bare

TEXT = "Wake me at 5:30 a.m., Dr. Li 😀!"


def test_by_default_the_label_is_what_is_spoken() -> None:
    made = TextRule("en")(TEXT)
    assert made.spoken == made.label == "Wake me at five thirty a.m., Doctor Li!"
    assert made.written == TEXT and [bad.character for bad in made.removed] == ["😀"]


def test_the_label_may_follow_the_writing_but_never_holds_what_is_not_said() -> None:
    made = TextRule("en", label="written")(TEXT)
    assert (made.spoken, made.label) == ("Wake me at five thirty a.m., Doctor Li!", "Wake me at 5:30 a.m., Dr. Li!")


def test_slurp_writes_words_alone_and_speaks_with_punctuation() -> None:
    made = TextRule("en", style="slurp")("Wake me at 5:30 A. M., it's twenty-one °C!")
    assert made.spoken == "Wake me at five thirty A. M., it's twenty-one degrees C!"
    assert made.label == "wake me at five thirty am it's twenty one degrees c"


def test_without_verbalisation_the_text_goes_as_it_is() -> None:
    made = TextRule("en", verbalise=False)(TEXT)
    assert made.spoken == made.label == TEXT


def test_nothing_to_speak_is_empty() -> None:
    for text in ("🎉🎉", "…", "ж"):
        assert TextRule("en")(text).spoken == TextRule("en")(text).label == ""


def test_plain_text_is_left_alone() -> None:
    made = TextRule("es")("El niño está AQUÍ, ¿no?")
    assert made.spoken == made.label == made.written and not made.changes and not made.removed


def test_signs_without_a_table_are_left_to_the_engine() -> None:
    assert TextRule("ca")("5 & 3 ❤").spoken == "cinc & tres"


def test_letters_of_other_shapes_are_plain() -> None:
    assert TextRule("en")("Ｈｅｌｌｏ 𝐰𝐨𝐫𝐥𝐝 ﬁne").spoken == "Hello world fine"


@pytest.mark.parametrize("values", [{"label": "said"}, {"style": "asr"}])
def test_unknown_choices_are_refused(values: dict[str, str]) -> None:
    with pytest.raises(UserError, match="must be"):
        TextRule("en", **values)  # type: ignore[arg-type]


@settings(max_examples=80)
@given(TEXTS, LANGUAGES)
def test_scoring_forgives_what_the_label_rule_changes(text: str, language: str) -> None:
    plain = TextRule(language)(text)
    assert TextRule(language)(plain.spoken).spoken == plain.spoken
    assert bare(bare(plain.label)) == bare(plain.label)


@pytest.mark.parametrize(
    ("language", "written"),
    [("en", "At 5:30 p.m. it's $5.20, 50% off!"), ("es", "A las 17:05 por 3 €, 21 personas"), ("ro", "25 € la 17:05")],
)
def test_a_reference_in_digits_equals_a_hypothesis_in_words(language: str, written: str) -> None:
    normal = normaliser(f"spoken-{language}")
    assert normal(written) == normal(TextRule(language)(written).label)
    assert normal(written) == normal(TextRule(language, style="slurp")(written).label)
    assert "num2words " in normal.version
