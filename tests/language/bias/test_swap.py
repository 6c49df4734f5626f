"""The twin of a sentence."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syn2real.language.bias import Pairs, own_pairs, twin
from syn2real.language.bias.swap import genders_of

PAIRS = own_pairs(names=True)
WORDS = sorted(PAIRS.partners)
CASES = {
    "small": str.lower,
    "capitals": str.upper,
    "one capital": lambda word: word[0].upper() + word[1:],
    "title": lambda word: " ".join(w if w == "of" else w[0].upper() + w[1:] for w in word.split(" ")),
}
CONTEXTS = ("{}", "The {} came.", "two ({}), and", "“{}’s car?”", "ask the {}'s", "a young-{}/other")


@pytest.mark.parametrize("case", CASES)
def test_swapping_twice_returns_the_sentence_for_every_word_in_every_context(case):
    for word in WORDS:
        for context in CONTEXTS:
            sentence = context.format(CASES[case](word))
            found = twin(sentence, PAIRS)
            assert found is not None and found.exact, sentence
            assert found.text == context.format(CASES[case](PAIRS.partners[word])), sentence
            assert twin(found.text, PAIRS).text == sentence


# Where "her" is "his", where it is "him", and where "his" is "hers".
DETERMINES = """
her car is red.|I like her new car.|her only son left|her very own house|her first day at work
she took her late husband's name|her 3 children|They ate her home-made cake.|it was her right arm|Her boss called.
I saw her smile.|we made her bed|she told her story|her best friend|her most recent book
Her past is over.|He left. Her past was too much.|“Her being late is rude.”
She met her family.|He kept her wedding ring.|I found her earring.|they need her newly painted house.|her lovely aunt
""".strip().replace("\n", "|").split("|")  # fmt: skip
OBJECTS = """
I saw her.|I saw her there|Give her a book.|tell her that it is late|let her go|make her cry when it rains|I love her
they made her very happy.|I heard her leaving|give her flowers.|we know her well|I like her more than you|to her and me
you should believe her!|he left her because of money|drive her crazy.|call her emotional and leave|her, I mean
Her and him, always.|he walked her past the shop.|Not her!
Thank her profusely.|People love her dearly, too.|I told her everything.|Give her money.|I want her fired.
People find her annoying.|Don't leave her hanging|They called her names.|Nobody believes her anymore.
""".strip().replace("\n", "|").split("|")  # fmt: skip
OWNS = ("the house is hers.", "hers is red", "a friend of hers", "Hers and mine, too", "is that hers?", "HERS!")


@pytest.mark.parametrize("sentence", DETERMINES)
def test_her_before_a_noun_is_his(sentence):
    _becomes(sentence, "his")


@pytest.mark.parametrize("sentence", OBJECTS)
def test_her_elsewhere_is_him(sentence):
    _becomes(sentence, "him")


@pytest.mark.parametrize("sentence", OWNS)
def test_hers_is_his_and_back(sentence):
    _becomes(sentence, "his")


def _becomes(sentence, new):
    found = twin(sentence)
    assert new in re.findall(r"\w+", found.text.lower())
    assert found.exact
    assert twin(found.text).text == sentence


@pytest.mark.parametrize(
    "sentence, expected",
    [
        ("He’s late; she'll wait.", "She’s late; he'll wait."),
        ("HER MOTHER-IN-LAW", "HIS FATHER-IN-LAW"),
        ("Her Mother-in-Law’s", "His Father-in-Law’s"),
        ("the best man and the Maid of Honor", "the maid of honor and the Best Man"),
        ("the waitresses' tips", "the waiters' tips"),
        ("my ex-husband likes man-made lakes", "my ex-wife likes man-made lakes"),
        ("the womanizer told a human", None),  # no word of the list is in these
        ("Mrs Jones and her dog", None),
        ("It rains.", None),
        ("S/he left with his/her opinion.", "S/he left with her/his opinion."),
        ("He or she must sign his or her name.", "She or he must sign her or his name."),
        ("(s)he has a bachelor's degree", None),
        ("the waitress and the hostess", None),
        ("", None),
    ],
)
def test_sentences(sentence, expected):
    found = twin(sentence)
    assert (found and found.text) == expected


def test_both_genders_are_exchanged_and_told():
    found = twin("He asked his wife about the boys.")
    assert found.text == "She asked her husband about the girls."
    assert found.words == 4
    assert found.genders == genders_of(found.text) == {"male", "female"}
    assert twin("The boys ran.").genders == {"male"}


def test_a_twin_that_does_not_lead_back_is_told():
    # One sentence of two meanings: no rule could lead both back.
    assert twin("I read him books.").text == "I read her books."
    assert not twin("I read him books.").exact
    assert not twin("the actress' role").exact
    assert twin("the actress' role").text == "the actor's role"


def test_pairs_of_ones_own():
    assert twin("The boss and her cat", Pairs((("tom", "cat"),))).text == "The boss and his tom"


OTHERS = ("the", "car", "saw", "gave", "and", ".", ",", "!", "very", "own", "'s", "old", "let", "go", "-", "(", ")")
PIECES = [*WORDS, "her", "his", "him", "hers", *OTHERS]


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from([*CASES.values()])), max_size=8))
def test_any_sentence_leads_back_or_says_that_it_does_not(pieces):
    sentence = " ".join(case(piece) for piece, case in pieces)
    found = twin(sentence, PAIRS)
    if found is None:
        assert not genders_of(sentence, PAIRS)
        return
    back = twin(found.text, PAIRS)
    assert found.exact == (back is not None and back.text == sentence)
    # Where no word is decided by rule, every sentence leads back.
    if not {"her", "his", "him", "hers"} & set(sentence.lower().split()) and "'" not in sentence:
        assert found.exact
