"""lm-evaluation-harness, for real, on a local task and a small model."""

import json
import shutil
import sys

import pytest
from typer.testing import CliRunner

from syn2real.cli.main import app
from syn2real.errors import UserError

TASK = """
task: capitals_local
dataset_path: json
dataset_kwargs:
  data_files: {test: QUESTIONS}
test_split: test
output_type: OUTPUT
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
"""
GENERATE = """
generation_kwargs: {until: ["\\n"], max_gen_toks: 4, do_sample: false}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
CHOOSE = """
doc_to_choice: ["Paris", "Rome"]
metric_list: [{metric: acc}, {metric: acc_norm}]
"""


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    rows = [{"question": "the capital of France", "answer": "Paris"}, {"question": "of Italy", "answer": "Rome"}]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def write(output: str, more: str) -> str:
        text = TASK.replace("QUESTIONS", str(tmp_path / "questions.jsonl")).replace("OUTPUT", output) + more
        (tmp_path / "task.yaml").write_text(text)
        return "task.yaml"

    return write


def run(*arguments: object) -> dict:
    result = CliRunner().invoke(app, ["utility", *map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("output", "more", "metrics"),
    [("generate_until", GENERATE, ["exact_match"]), ("multiple_choice", CHOOSE, ["acc", "acc_norm"])],
)
def test_a_task_of_the_harness_becomes_ours(task, chat_llama, tmp_path, monkeypatch, output, more, metrics):
    pytest.importorskip("lm_eval")
    from syn2real.language.utility import harness

    file = task(output, more)
    # What was found before a kill is not asked again.
    (tmp_path / ".a.partial").mkdir()
    first = harness.run_harness(str(chat_llama), [file], tmp_path / ".a.partial")
    monkeypatch.setattr(harness, "_evaluated", lambda *_: pytest.fail("asked again"))
    record = run("evaluate", chat_llama, "--harness", file, "-o", "a")
    assert record["tasks"] == first
    found = record["tasks"]["capitals_local"]
    assert list(found["measures"]) == metrics and found["questions"] == 2 and found["unit"] == "share"
    assert found["measures"][metrics[0]]["ci_high"] is not None
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["capitals_local.jsonl", "utility.json"]
    shutil.copytree("a", "b")
    (pair,) = run("compare", "a", "b")["tasks"]["capitals_local"]["pairs"]
    assert pair["difference"] == 0


def test_mistakes(task, chat_llama, tmp_path):
    pytest.importorskip("lm_eval")
    broken = task("generate_until", GENERATE.replace("exact_match", "exakt_match"))
    with pytest.raises(UserError, match=r"lm-evaluation-harness: task\.yaml: "):
        run("evaluate", chat_llama, "--harness", broken, "-o", "a")
    unsafe = task("generate_until", f"{GENERATE}unsafe_code: true\n")
    with pytest.raises(UserError, match="unsafe"):
        run("evaluate", chat_llama, "--harness", unsafe, "-o", "a")
    (tmp_path / "empty.yaml").write_text("a: b\n")
    with pytest.raises(UserError, match=r"empty\.yaml: names no task"):
        run("evaluate", chat_llama, "--harness", "empty.yaml", "-o", "a")
    with pytest.raises(UserError, match="needs the model itself"):
        run("evaluate", "server:m", "--url", "http://localhost:1", "--harness", "x", "-o", "a")


def test_without_it_the_extra_is_named(monkeypatch, chat_llama):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(UserError, match=r"syn2real\[harness\]"):
        run("evaluate", chat_llama, "--harness", "x", "-o", "a")
