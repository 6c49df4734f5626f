"""Files of questions, tasks that say more, and the mistakes in either."""

import json

import pytest
import yaml

from syn2real.errors import UserError
from syn2real.language.subset import subset
from syn2real.language.utility import load_task, read_questions


def test_references_under_every_name(capitals):
    found = read_questions(capitals)
    assert [question.references for question in found] == [("Paris",), ("Rome", "Roma"), ("Berlin",)]
    assert [question.id for question in found] == ["fr", "it", "de"]


def test_humaneval_is_read_as_it_is(humaneval):
    (question,) = read_questions(humaneval)
    assert (question.id, question.entry_point) == ("H/0", "add") and question.references == ("    return a + b\n",)
    assert question.tests.endswith("check(add)")


def test_tests_are_text_or_lines(tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_text(
        '{"prompt": "p", "tests": ["assert f(1)", "assert f(2)"]}\n{"prompt": "p", "tests": "assert f(3)"}\n'
    )
    assert [question.tests for question in read_questions(file)] == ["assert f(1)\nassert f(2)", "assert f(3)"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"promt": "x", "reference": "y"}, "unknown key 'promt' .did you mean 'prompt'"),
        ({"reference": "y"}, "prompt: is missing"),
        ({"prompt": " ", "reference": "y"}, "prompt: is no text|prompt: is empty"),
        ({"prompt": "x"}, "has neither reference nor tests"),
        ({"prompt": "x", "references": "y"}, "references: is no list of texts"),
        ({"prompt": "x", "test": "def check(f): pass"}, "test: needs entry_point"),
        ({"prompt": "x", "tests": 3}, "tests: is neither"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, row, problem):
    file = tmp_path / "q.jsonl"
    file.write_text(f'{{"prompt": "fine", "reference": "y"}}\n{json.dumps(row)}\n')
    with pytest.raises(UserError, match=rf"q\.jsonl:2: {problem}"):
        read_questions(file)


def test_two_of_one_id_and_none_at_all(tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_text('{"id": "a", "prompt": "x", "reference": "y"}\n{"id": "a", "prompt": "z", "reference": "y"}\n')
    with pytest.raises(UserError, match=r"q\.jsonl:2: the id 'a' stands in line 1"):
        read_questions(file)
    file.write_text("\n")
    with pytest.raises(UserError, match="holds no questions"):
        read_questions(file)


def test_a_larger_limit_holds_the_smaller():
    items = [str(n) for n in range(50)]
    few, more = (subset(items, limit, 3, lambda item: (item,)) for limit in (10, 20))
    assert set(few) < set(more) and more == sorted(more, key=items.index) and len(few) == 10
    assert subset(items, 10, 4, lambda item: (item,)) != few


def test_a_task_says_more_and_gives_way_to_what_is_given(tmp_path, capitals):
    shots = tmp_path / "shots.jsonl"
    shots.write_text(
        '{"prompt": "the capital of Spain", "reference": "Madrid"}\n{"prompt": "of Peru", "answer": "Lima"}\n'
    )
    said = {
        "questions": "capitals.jsonl",
        "system": "Be brief.",
        "examples": "shots.jsonl",
        "wording": "Name {prompt}:",
    }
    file = tmp_path / "t.yaml"
    file.write_text(yaml.safe_dump(said | {"max_tokens": 5, "options": {"pattern": "[a-z]+"}}))
    task = load_task(file, {"shots": 1})
    turns = task.settings.conversation(task.questions[0])
    assert [(turn.role, turn.content) for turn in turns] == [
        ("system", "Be brief."),
        ("user", "Name the capital of Spain:"),
        ("assistant", "Madrid"),
        ("user", "Name the capital of France:"),
    ]
    assert (task.name, task.settings.max_tokens, task.metric.name) == ("t", 5, "exact")
    assert load_task(file, {"max_tokens": 9, "metric": None}).settings.max_tokens == 9
    assert len(load_task(file, limit=2).questions) == 2


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"metrik": "exact"}, r"t\.yaml:2: unknown key 'metrik' .did you mean 'metric'"),
        ({"metric": "exakt"}, "unknown metric 'exakt' .did you mean 'exact'"),
        ({"options": {"k": 3}}, "metric 'exact' takes no option 'k'"),
        ({"options": {"pattern": "("}}, "is no regular expression"),
        ({"wording": "no place"}, "has no {prompt}"),
        ({"shots": 1}, "no examples"),
        ({"examples": "capitals.jsonl", "shots": 9}, "3 examples, of 9 wanted"),
        ({"metric": "pass_at_k"}, "question 'fr' has no tests"),
        ({"temperature": -1}, "temperature must be"),
    ],
)
def test_mistakes_of_a_task(tmp_path, capitals, said, problem):
    file = tmp_path / "t.yaml"
    file.write_text("questions: capitals.jsonl\n" + yaml.safe_dump(said))
    with pytest.raises(UserError, match=problem):
        load_task(file)


def test_a_file_cannot_allow_code_to_be_run(tmp_path, humaneval):
    file = tmp_path / "t.yaml"
    file.write_text("questions: humaneval.jsonl\noptions: {allow_code: true, unconfined: true}\n")
    with pytest.raises(UserError, match="allow it with --allow-code"):
        load_task(file)
