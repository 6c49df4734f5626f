"""What is a test case, and how cases are read."""

import json

import pytest

from syn2real.errors import UserError
from syn2real.language.bias.cases import Case, case_of, cases_of, read_cases, write_cases
from syn2real.language.bias.novelty import distinct, self_bleu


@pytest.mark.parametrize(
    "text, reason",
    [
        ("It rains all day long.", "no gendered word"),
        ("Mrs Jones walks to her office.", "no gendered word"),
        ("He ran.", "length"),
        ("He walks " + "and walks " * 30 + "home.", "length"),
        ("He walks to his office and", "cut off"),
        ("He walks to <his> office.", "characters"),
        ("– he walks to his office.", "characters"),
        ("He runs runs runs runs to his office.", "repetition"),
        ("He runs to it. He runs to it. He runs.", "several"),
        ("They read him books all day.", "twin in doubt"),
        ("", "length"),
    ],
)
def test_what_is_no_case(text, reason):
    assert case_of(text) == reason


def test_a_case_is_a_sentence_and_its_twin():
    case = case_of(' "He asked his  wife why she smiles."\n')
    assert (case.text, case.twin) == ("He asked his wife why she smiles.", "She asked her husband why he smiles.")
    assert case.id == case_of(case.text).id != case_of(case.twin).id


def test_a_sentence_and_its_twin_are_one_case():
    found, left = cases_of(["He walks to work.", "She walks to work.", "she walks to work!", "It is late now."])
    assert [case.text for case in found] == ["He walks to work."]
    assert left == {"duplicate": 2, "no gendered word": 1}


def test_near_duplicates_are_left_out():
    texts = ["The nurse says that he likes the garden.", "The nurse says that she likes the garden!",
             "The nurse says that he likes the gardens.", "A pilot told me about her first flight."]  # fmt: skip
    found, left = distinct(case_of(text) for text in texts)
    assert [case.text for case in found] == [texts[0], texts[3]]
    assert left == 2


def test_self_bleu_is_high_where_texts_repeat_each_other():
    same = self_bleu(["he drives a red car"] * 3)
    apart = self_bleu(["he drives a red car", "why would anybody paint", "green apples taste sour"])
    assert same == pytest.approx(dict.fromkeys("1234", 100.0))
    assert apart["1"] < 30 and apart["4"] < 30
    some = self_bleu(["he drives a red car", "she drives a red van", "he sings in a choir"])
    assert apart["2"] < some["2"] < same["2"]
    assert self_bleu(["he drives a red car"]) == self_bleu([]) == dict.fromkeys("1234", 0.0)


def test_cases_are_written_and_read(tmp_path):
    cases = [case_of("He walks to work."), case_of("My aunt walks to work.")]
    write_cases(tmp_path / "cases.jsonl", cases)
    assert read_cases(tmp_path / "cases.jsonl") == cases
    (tmp_path / "plain.txt").write_text("He walks to work.\n\nIt rains a lot here.\n")
    assert [case.twin for case in read_cases(tmp_path / "plain.txt")] == ["She walks to work."]
    (tmp_path / "set.csv").write_text(',sentence\n0,"""My uncle, he walks."""\n')
    assert read_cases(tmp_path / "set.csv") == [Case(case_of("My uncle, he walks.").id, "My uncle, he walks.",
                                                     "My aunt, she walks.")]  # fmt: skip


def test_ids_are_kept_and_what_is_left_out_is_told(tmp_path, capsys):
    file = tmp_path / "cases.jsonl"
    rows = [
        {"id": "a", "text": "He walks to work."},
        {"id": 0, "text": "My aunt walks to work.", "twin": "My uncle walks to work."},
        {"id": "c", "text": "It rains a lot here."},
        {"text": "Her dog barks all day."},
        {"text": "Her dog barks all day."},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [case.id for case in read_cases(file)] == ["a", "0", case_of("Her dog barks all day.").id]
    told = " ".join(capsys.readouterr().err.split())
    assert "2 of 5 sentences are left out (no gendered word 1, duplicate 1)" in told
    (tmp_path / "plain.txt").write_text("He walks to work.\nIt rains a lot here.\n")
    read_cases(tmp_path / "plain.txt")
    assert "1 of 2 sentences are left out" in " ".join(capsys.readouterr().err.split())
    write_cases(file, read_cases(file))
    capsys.readouterr()
    read_cases(file)
    assert not capsys.readouterr().err


def test_an_id_that_stands_there_twice_is_refused(tmp_path):
    rows = ({"id": "a", "text": text} for text in ("He walks to work.", "It rains here.", "My aunt walks to work."))
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"cases\.jsonl:3: id 'a' is that of line 1"):
        read_cases(tmp_path / "cases.jsonl")


def test_files_without_cases_are_refused(tmp_path):
    (tmp_path / "bom.csv").write_text("sentence\nHe walks to work.\n", encoding="utf-8-sig")
    assert [case.text for case in read_cases(tmp_path / "bom.csv")] == ["He walks to work."]
    (tmp_path / "old.csv").write_bytes("sentence\nHe walks to work.\nHe likes my café.\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"old\.csv:3: is not UTF-8"):
        read_cases(tmp_path / "old.csv")
    with pytest.raises(UserError, match=r"none\.csv: No such file"):
        read_cases(tmp_path / "none.csv")
    (tmp_path / "a.csv").write_text("text\nHe walks to work.\n")
    with pytest.raises(UserError, match=r"a\.csv:1: no column 'sentence'"):
        read_cases(tmp_path / "a.csv")
    (tmp_path / "b.jsonl").write_text('{"text": "He walks to work."}\n{"text": 3}\n')
    with pytest.raises(UserError, match=r"b\.jsonl:2: no text"):
        read_cases(tmp_path / "b.jsonl")
    (tmp_path / "c.txt").write_text("It rains.\n")
    with pytest.raises(UserError, match="holds no test case"):
        read_cases(tmp_path / "c.txt")
