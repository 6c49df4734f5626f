"""What users call their things is printed as it is, not read as markup."""

from rich.console import Console

from syn2real.cli.corpus import _print
from syn2real.cli.output import console
from syn2real.reports.scores import print_evaluation


def test_square_brackets_in_names_are_kept(capsys):
    _print({"domains": {"[red]": 3}}, "[bold]corpus")
    assert capsys.readouterr().out == "[bold]corpus\n  domains: [red] 3\n"


def test_square_brackets_in_domains_are_kept(capsys):
    counts = dict.fromkeys(("substitutions", "deletions", "insertions", "empty_insertions"), 0)
    rates = {"wer": 0.0, "ci_low": None, "ci_high": None, "ci_unit": "utterance", "ci_units": 1, "words": 1}
    rates |= {"counts": counts, "mer": 0.0, "wil": 0.0, "sentence_error": 0.0}
    empty = {"substitutions": [], "deletions": [], "insertions": []}
    record = rates | {"domains": {"[red]": rates, "[/x]": rates}, "groups": {}, "confusions": empty}
    record |= {"cer": 0.0, "wer_unnormalised": 0.0, "normaliser": "none"}
    print_evaluation(record, Console(width=100))
    assert "[red]" in (out := capsys.readouterr().out) and "[/x]" in out


def test_a_pipe_is_wide_enough_for_tables_and_a_width_that_is_asked_for_is_kept(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    line = " ".join(["word"] * 30)
    console().print(line)
    assert capsys.readouterr().out == line + "\n"
    monkeypatch.setenv("COLUMNS", "50")
    console().print(line)
    assert capsys.readouterr().out.count("\n") == 3
