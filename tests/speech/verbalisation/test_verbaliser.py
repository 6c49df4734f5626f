"""Written text and the words that are spoken."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_texts import LANGUAGES, TEXTS

from syn2real.errors import NotInstalled
from syn2real.speech.verbalisation import coverage, numerals, verbalise
from syn2real.speech.verbalisation.languages import TABLES

CASES = {
    "en": {
        "Meet me at 5:30 pm.": "Meet me at five thirty pm.",
        "17:05": "seventeen oh five",
        "10.30pm": "ten thirty pm",
        "at 5am, 5:00 or 5 a.m.": "at five am, five o'clock or five a.m.",
        "9:00-17:00": "nine o'clock to seventeen hundred",
        "1:02:03": "one hour two minutes three seconds",
        "2026-11-21": "November twenty-first, twenty twenty-six",
        "3/4/2026": "March fourth, twenty twenty-six",
        "21/11/2026": "November twenty-first, twenty twenty-six",
        "Nov 21st": "November twenty-first",
        "Nov. 21, 1984": "November twenty-first, nineteen eighty-four",
        "21st of November 2005": "twenty-first of November two thousand and five",
        "the 5 may come": "the five may come",
        "the 1990s and the '90s": "the nineteen nineties and the nineties",
        "$5.20": "five dollars and twenty cents",
        "€3, $0.50, £1m and $1.5bn": "three euros, fifty cents, one million pounds and one point five billion dollars",
        "$5 million": "five million dollars",
        "$5-7, $5-$7": "five to seven dollars, five dollars to seven dollars",
        "-5 °C": "minus five degrees Celsius",
        "5kg, 5 km/h, 1 kg, 120 m²": "five kilograms, five kilometers per hour, one kilogram, "
        "one hundred and twenty square meters",
        "a 5-kg bag": "a five kilogram bag",
        "5–7%": "five to seven percent",
        "555-1234": "five five five one two three four",
        "+1 555 123 4567": "plus one five five five one two three four five six seven",
        "1/2, 3/4, 5/8, 1½": "one half, three quarters, five eighths, one and one half",
        "Dr. Li lives in Oak St.": "Doctor Li lives in Oak Street.",
        "St. John, e.g. approx. here": "Saint John, for example approximately here",
        "No. 5, he said no.": "Number five, he said no.",
        "AT&T + NASA = #1": "AT and T plus NASA equals number one",
        "mail jo.li@example.com": "mail jo dot li at example dot com",
        "see https://www.example.org/a-b.": "see www dot example dot org slash a b.",
        "24/7": "twenty-four seven",
        "Henry VIII, World War II, Part I": "Henry the eighth, World War two, Part one",
        "the part I like, CIVIL, MIX": "the part I like, CIVIL, MIX",
        "3.14": "three point one four",
        "1,234,567": "one million two hundred and thirty-four thousand five hundred and sixty-seven",
        "007": "zero zero seven",
        "A4, H2O, COVID-19": "A four, H two O, COVID-nineteen",
        "2.0.1": "two point zero point one",
        "3:2": "three to two",
        "he/she and/or TCP/IP": "he or she and or TCP slash IP",
        "€1.50/kg, $20/hour, 60 l/min, 100 km/h": "one euro and fifty cents per kilogram, twenty dollars per hour, "
        "sixty liters per minute, one hundred kilometers per hour",
        "call 555-1234 ext. 12": "call five five five one two three four extension twelve",
        "10 min. walk, then 5 km.": "Ten minutes walk, then five kilometers.",
        "5 pm it is. 6 is not.": "Five pm it is. Six is not.",
        "１２ ٣ ②": "twelve three two",
    },
    "en-GB": {"3/4/2026": "April third, twenty twenty-six"},
    "es": {
        "a las 17:05 o a la 1:30": "a las diecisiete y cinco o a la una y treinta",
        "21/11/2026": "veintiuno de noviembre de dos mil veintiséis",
        "$5,20 o 1 €": "cinco dólares con veinte centavos o un euro",
        "21 personas, 1 libro, 200 libras": "veintiuna personas, un libro, doscientas libras",
        "31 días, 1 vez, 1 problema, el 3er piso": "treinta y un días, una vez, un problema, el tercer piso",
        "él/ella, y/o, 2 €/kg": "él o ella, y o, dos euros por kilogramo",
        "21 y 22": "veintiuno y veintidós",
        "5 M€, 50 %, 3º, 2ª": "cinco millones de euros, cincuenta por ciento, tercero, segunda",
        "1.234,5 y 1 000 000": "mil doscientos treinta y cuatro coma cinco y un millón",
        "Sr. López, Felipe VI, siglo XX": "Señor López, Felipe sexto, siglo veinte",
        "juan@ejemplo.es": "juan arroba ejemplo punto es",
    },
    "fr": {
        "à 17h30, à 1h": "à dix-sept heures trente, à une heure",
        "le 1er mai, le 21/11/2026": "le premier mai, le vingt et un novembre deux mille vingt-six",
        "5,20 €, 1 M€, 1,5 €": "cinq euros vingt, un million d'euros, un virgule cinq euro",
        "3,14 et 3,05": "trois virgule quatorze et trois virgule zéro cinq",
        "Louis XIV, XXe siècle": "Louis quatorze, vingtième siècle",
        "06 12 34 56 78": "zéro six douze trente-quatre cinquante-six soixante-dix-huit",
        "M. Dupont, Mme Durand": "Monsieur Dupont, Madame Durand",
        "1 fois, 21 personnes, 1 chat": "une fois, vingt et une personnes, un chat",
        "0h15, 0 km, et/ou": "zéro heure quinze, zéro kilomètre, et ou",
    },
    "de": {
        "um 17:05 Uhr oder 1 Uhr": "um siebzehn Uhr fünf oder ein Uhr",
        "am 24.12. feiern wir, ab 1.5. frei": "am vierundzwanzigsten Dezember feiern wir, ab ersten Mai frei",
        "Am 3.4.": "Am dritten April.",
        "Version 2.1. Dann am 24.13.": "Version zwei Komma eins. Dann am vierundzwanzig Komma dreizehn.",
        "am 21.11.2026, der 2. Weltkrieg": "am einundzwanzigsten November zweitausendsechsundzwanzig, "
        "der zweite Weltkrieg",
        "um 17:05 Uhr. Dann 5 Min. Pause, 5 Min., 3 Std. 20 Min.": "um siebzehn Uhr fünf. Dann fünf Minuten. Pause, "
        "fünf Minuten, drei Stunden zwanzig Minuten.",
        "die 1990er und 80er, 3:2": "die neunzehnhundertneunziger und achtziger, drei zu zwei",
        "Lehrer/innen, ja/nein, 2 €/Stück": "Lehrer Schrägstrich innen, ja oder nein, zwei Euro pro Stück",
        "1 Person, 1 Kunde, Art. 5 Abs. 1": "eine Person, ein Kunde, Artikel fünf Absatz eins",
        "3. Oktober 1990": "dritter Oktober neunzehnhundertneunzig",
        "3 Mio. €, 1 %, 5,20 €": "drei Millionen Euro, ein Prozent, fünf Euro zwanzig",
        "1 Katze, 1 Buch": "eine Katze, ein Buch",
        "z. B. Nr. 5": "zum Beispiel Nummer fünf",
        "+49 30 123456": "plus vier neun drei null eins zwei drei vier fünf sechs",
    },
    "ro": {
        "2 persoane, 2 copii, 2 kg": "două persoane, doi copii, două kilograme",
        "25 €, 5,20 lei, 120 km": "douăzeci și cinci de euro, cinci lei și douăzeci de bani, "
        "o sută douăzeci de kilometri",
        "1 mai, 21.11.2026": "întâi mai, douăzeci și unu noiembrie două mii douăzeci și șase",
        "al 2-lea, a 2-a": "al doilea, a doua",
        "22 de fete, 22 de copii": "douăzeci și două de fete, douăzeci și doi de copii",
        "21 de fete": "douăzeci și una de fete",
    },
    "it": {
        "alle 17:05, alle 1:00": "alle diciassette e zero cinque, alle una",
        "1 maggio, 5,20 €": "primo maggio, cinque euro e venti centesimi",
        "1 persona, 2ª volta": "una persona, seconda volta",
        "1 mln di €": "un milione di euro",
    },
    "pt": {
        "às 2:00, R$ 5,20": "às duas horas, cinco reais e vinte centavos",
        "2 pessoas, 2 livros, 16": "duas pessoas, dois livros, dezasseis",
        "D. Pedro II, 1 de maio": "D. Pedro segundo, primeiro de maio",
    },
    "pt-BR": {"16": "dezesseis"},
    "ru": {"5 яблок, 3,5, 17:05": "пять яблок, три целых пять десятых, семнадцать ноль пять"},
    "ja": {"5時に": "五時に"},
    "xx": {"5 things & more": "5 things & more"},
}


@pytest.mark.parametrize(
    ("language", "written", "spoken"), [(lang, w, s) for lang, cases in CASES.items() for w, s in cases.items()]
)
def test_what_is_written_as_it_is_spoken(language: str, written: str, spoken: str) -> None:
    assert verbalise(written, language).text == spoken


@settings(max_examples=150)
@given(TEXTS, LANGUAGES)
def test_no_digit_is_left_and_what_is_spoken_stays(text: str, language: str) -> None:
    spoken = verbalise(text, language).text
    assert not any(character.isdigit() for character in spoken)
    assert verbalise(spoken, language).text == spoken
    if any(character.isalpha() for character in text):
        assert any(character.isalpha() for character in spoken)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["zebra", "quokka", "¡Olé", "5:30", "12", "50%", "3.5", "1/2"]), max_size=8), LANGUAGES)
def test_words_between_keep_their_order(words: list[str], language: str) -> None:
    spoken = verbalise(" ".join(words), language).text.split()
    kept = [word for word in words if word.isalpha() or word == "¡Olé"]
    assert [word for word in spoken if word in ("zebra", "quokka", "¡Olé")] == kept


@pytest.mark.parametrize("language", sorted(TABLES))
def test_plain_words_stay_to_the_byte(language: str) -> None:
    text = "  Two  words,\tand (three): «sí» – naïve…\n"
    found = verbalise(text, language)
    assert found.text == text and not found.changes


def test_every_change_is_told() -> None:
    changes = verbalise("At 5:30 for $3 & more", "en").changes
    assert [(c.kind, c.written, c.said) for c in changes] == [
        ("time", "5:30", "five thirty"),
        ("money", "$3", "three dollars"),
        ("symbol", "&", "and"),
    ]


def test_who_knows_what() -> None:
    assert [coverage(language) for language in ("ro", "pt-BR", "ru", "xx")] == [
        "numbers, dates, amounts, signs and abbreviations",
        "numbers, dates, amounts, signs and abbreviations",
        "numbers only",
        "nothing",
    ]


def test_without_num2words_only_digits_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "num2words", None)
    numerals._words.cache_clear()
    assert verbalise("Dr. Li & co", "en").text == "Doctor Li and co"
    with pytest.raises(NotInstalled, match=r"num2words is not installed: .*syn2real\[speech\]"):
        verbalise("5 cats", "en")
