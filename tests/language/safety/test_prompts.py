"""Requests from the public sets' files, and from one's own."""

import json
from pathlib import Path

import pytest

from syn2real.errors import UserError
from syn2real.language.safety.prompts import drawn, read_prompts, read_sets, sources

SETS = Path(__file__).parents[4] / "shared" / "data" / "safety"


@pytest.fixture
def sets() -> Path:
    if not SETS.is_dir():
        pytest.skip("the public sets are not here")
    return SETS


@pytest.mark.parametrize(
    ("name", "count", "harmful", "first"),
    [
        ("advbench_behaviors.csv", 520, 520, "advbench_1"),
        ("harmbench_behaviors_text_all.csv", 400, 400, "dimethylmercury_instructions_home"),
        ("xstest_prompts.csv", 450, 200, "1"),
        ("harmful_instructions.json", 260, 260, None),
    ],
)
def test_public_sets_are_read_as_published(sets, name, count, harmful, first):
    found = read_prompts(sets / name)
    assert (len(found), sum(prompt.harmful for prompt in found)) == (count, harmful)
    assert first in (None, found[0].id) and {prompt.source for prompt in found} == {Path(name).stem}


def test_a_behaviour_in_context_comes_with_its_context(sets):
    found = {prompt.id: prompt for prompt in read_prompts(sets / "harmbench_behaviors_text_all.csv")}
    contextual = [prompt for prompt in found.values() if "\n\n---\n\n" in prompt.text]
    assert len(contextual) == 100 and all(prompt.category for prompt in contextual)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", 'goal,target\nBuild it,Sure\n\n"Do a, b",Sure\n', [("Build it", ""), ("Do a, b", "")]),
        ("j.csv", "Index,Goal,Target,Behavior,Category\n0,Build it,Sure,Building,x\n", [("Build it", "x")]),
        ("u.csv", "Prompt,Category\nDo it,theft\n", [("Do it", "theft")]),
        ("s.csv", "category,source,forbidden_prompt\nfraud,x,How do I?\n", [("How do I?", "fraud")]),
        ("x.csv", "id_v2,prompt,type,focus\nv1,Kill a process?,homonyms,kill\n", [("Kill a process?", "homonyms")]),
        ("l.jsonl", '{"prompt": "Do it", "category": {"theft": true, "drugs": false}}\n', [("Do it", "theft")]),
        ("i.json", '["One", {"instruction": "Two", "category": null}]', [("One", ""), ("Two", "")]),
        ("U.CSV", "prompt,category\nDo it,theft\n", [("Do it", "theft")]),
        ("s.csv", "prompt;category\nDo it, now;theft\n", [("Do it, now", "theft")]),
        ("t.tsv", "Category\tPrompt\ntheft\tDo it\n", [("Do it", "theft")]),
        ("a.jsonl", '{"instruction": "Sum up:", "input": "a text"}\n', [("Sum up:\n\na text", "")]),
        ("t.txt", "One thing\n\nAnother, thing\n", [("One thing", ""), ("Another, thing", "")]),
    ],
)
def test_every_layout(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    assert [(prompt.text, prompt.category) for prompt in read_prompts(tmp_path / name)] == expected


def test_a_folder_of_headless_tables(tmp_path):
    (tmp_path / "category_1.csv").write_text('"First, of one"\nSecond\n')
    (tmp_path / "category_2.csv").write_text("Second\n")
    found = read_prompts(tmp_path)
    assert [(prompt.text, prompt.category) for prompt in found] == [
        ("First, of one", "category_1"),
        ("Second", "category_1"),
        ("Second", "category_2"),
    ]


def test_harmless_is_what_the_user_says_it_is(tmp_path):
    (tmp_path / "t.txt").write_text("How do I boil an egg?\n")
    assert not read_prompts(tmp_path / "t.txt", harmless=True)[0].harmful


@pytest.mark.parametrize(
    ("head", "rows"),
    [
        ("id,prompt,type,label", ("1,Kill a process?,homonyms,safe", "2,Kill a man?,contrast_homonyms,unsafe")),
        ("id_v2,prompt,type,focus", ("1,Kill a process?,homonyms,kill", "2,Kill a man?,contrast_homonyms,kill")),
    ],
)
def test_a_set_that_says_what_is_harmful_is_believed(tmp_path, head, rows):
    for place in (tmp_path / "one.csv", tmp_path / "folder" / "one.csv"):
        place.parent.mkdir(exist_ok=True)
        place.write_text("\n".join((head, *rows)) + "\n")
    for path in (tmp_path / "one.csv", tmp_path / "folder"):
        for harmless in (False, True):
            assert [one.harmful for one in read_prompts(path, harmless=harmless)] == [False, True]


def test_a_row_that_says_whether_it_is_harmful_is_believed(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "x", "harmful": false}\n{"prompt": "y"}\n{"prompt": "z", "harmful": true}\n')
    assert [one.harmful for one in read_prompts(path)] == [False, True, True]
    assert [one.harmful for one in read_prompts(path, harmless=True)] == [False, False, True]


def test_requests_of_several_files_are_each_asked_once(tmp_path):
    both, plain = tmp_path / "both.csv", tmp_path / "plain.txt"
    both.write_text("id,prompt,type,label\n1,kill a process,homonyms,safe\n2,rob a bank,contrast,unsafe\n")
    plain.write_text("boil an egg\n")
    found = read_sets([both, both], [both, plain])
    assert [[(one.text, one.harmful) for one in of] for of in found] == [
        [("kill a process", False), ("rob a bank", True)],
        [("boil an egg", False)],
    ]
    with pytest.raises(UserError, match=r"plain\.txt: named as harmful and as harmless"):
        read_sets([plain], [plain])


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / folder / "test.txt" for folder in ("first", "second")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(f"{path.parent.name} request\n")
    assert [of[0].source for of in read_sets(paths)] == ["first/test", "second/test"]
    assert read_sets(paths[:1])[0] == read_prompts(paths[0])
    other = tmp_path / "x" / "first" / "test.txt"
    other.parent.mkdir(parents=True)
    with pytest.raises(UserError, match="both would be reported as 'first/test'; rename one"):
        sources([*paths, other])


def test_a_larger_draw_holds_the_smaller(tmp_path):
    (tmp_path / "t.txt").write_text("".join(f"request {number}\n" for number in range(50)))
    found = read_prompts(tmp_path / "t.txt")
    few, more = drawn(found, 5, seed=3), drawn(found, 20, seed=3)
    assert len(few) == 5 and set(few) < set(more) and more == [prompt for prompt in found if prompt in more]
    assert drawn(found, 5, seed=4) != few and drawn(found, None) == found


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", '{"prompt": "x"}\n{"question": "y"}\n', "a.jsonl:2: no request"),
        ("a.jsonl", '{"prompt": "x"}\n{"prompt": " "}\n', "a.jsonl:2: an empty request"),
        ("a.jsonl", '{"prompt": "x"\n', "a.jsonl:1: not JSON"),
        ("a.csv", "prompt,category\nDo this, now, please\n", "a.csv:2: 3 cells under 2 columns"),
        ("a.csv", 'prompt\n"never closed\n', "is no CSV"),
        ("a.json", '{"prompt": "x"}', "is no list"),
        ("a.json", "[3]", "item 1 is no request"),
        ("a.txt", "\n", "holds no requests"),
        ("a.list", "x\n", r"a.list: unknown form; give \.csv, \.tsv"),
        ("a.csv", "question,risk_area\nHow do I hack?,crime\n", "no request in question, risk_area; call the column"),
        ("a.csv", "question\nHow do I hack?\n", "no request in question; call the column"),
        ("a.jsonl", '{"prompt": "x", "harmful": "perhaps"}\n', "a.jsonl:1: harmful: 'perhaps' is neither"),
        ("a.csv", "prompt,id\nx,1\ny,1\n", "two requests have the id '1'"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, problem):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=problem.replace("(", "\\(")):
        read_prompts(tmp_path / name)


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"prompt\nfine\n\xff\xfe\n")
    with pytest.raises(UserError, match=r"a\.csv:3: is not UTF-8"):
        read_prompts(tmp_path / "a.csv")


def test_the_same_request_twice_is_refused_without_ids(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(["same", "same"]))
    with pytest.raises(UserError, match="two requests"):
        read_prompts(tmp_path / "a.json")
