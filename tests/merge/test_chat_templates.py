"""Which chat template a merged model gets."""

import json
import shutil
from pathlib import Path

import pytest

from syn2real.errors import UserError
from syn2real.merge import write
from syn2real.merge.chat_templates import template_of
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import MergeRecipe

from .llamas import llama, load, save

TURNS = "{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}{% endfor %}"
PLAIN = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    """Three models: the first says its template in its tokenizer's settings, the others, alike, in a file."""
    made = [save(tmp_path / name, llama(), seed) for seed, name in enumerate("abc")]
    settings = {"model_max_length": 32, "chat_template": [{"name": "default", "template": PLAIN}]}
    (made[0] / "tokenizer_config.json").write_text(json.dumps(settings))
    for other in made[1:]:
        (other / "chat_template.jinja").write_text(TURNS)
    return [str(model) for model in made]


def merged(models: list[str], output: Path, **changes: object) -> Path:
    recipe = MergeRecipe.model_validate({"method": "linear", "models": models, **changes})
    return write(plan_recipe(recipe), output)


def test_what_differs_in_spaces_alone_is_one_template(models: list[str], tmp_path: Path) -> None:
    for model, text in zip(models, (PLAIN, f"{TURNS}\n", TURNS), strict=True):
        (Path(model) / "chat_template.jinja").write_text(text)
    assert template_of(merged(models, tmp_path / "out", chat_template="auto")) == f"{TURNS}\n"


@pytest.mark.parametrize(
    ("file", "content"), [("chat_template.jinja", b"\xff"), ("tokenizer_config.json", b'{"chat_template": "\xff"}')]
)
def test_a_template_that_is_not_utf8_is_named(models: list[str], file: str, content: bytes, tmp_path: Path) -> None:
    (Path(models[0]) / file).write_bytes(content)
    with pytest.raises(UserError, match=f"{file}:1: is not UTF-8"):
        merged(models, tmp_path / "out", chat_template="auto")


def test_a_template_by_a_name_that_is_none_is_passed_over(models: list[str]) -> None:
    settings = {"chat_template": [{"name": ["default"], "template": TURNS}, {"name": "default", "template": PLAIN}]}
    (Path(models[0]) / "tokenizer_config.json").write_text(json.dumps(settings))
    assert template_of(Path(models[0])) == PLAIN


def test_where_a_template_is_kept(models: list[str], tmp_path: Path) -> None:
    assert [template_of(Path(model)) for model in models] == [PLAIN, TURNS, TURNS]
    assert template_of(tmp_path) is None


@pytest.mark.parametrize(
    ("wanted", "found"), [(None, PLAIN), ("auto", TURNS), (PLAIN + "!", PLAIN + "!"), ("chatml", "<|im_start|>")]
)
def test_the_result_has_the_one_that_was_asked_for(
    models: list[str], tmp_path: Path, wanted: str | None, found: str
) -> None:
    output = merged(models, tmp_path / "out", chat_template=wanted)
    assert found in (template_of(output) or "")
    settings = json.loads((output / "tokenizer_config.json").read_text())
    assert settings["model_max_length"] == 32 and ("chat_template" in settings) == (wanted is None)
    load(output)


def test_chatml_is_what_transformers_renders(tmp_path: Path, chat_llama: Path) -> None:
    transformers = pytest.importorskip("transformers")
    output = merged([str(chat_llama)], tmp_path / "out", chat_template="chatml")
    tokenizer = transformers.AutoTokenizer.from_pretrained(output)
    turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
    text = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\nhi<|im_end|>\n"
    assert tokenizer.apply_chat_template(turns, tokenize=False) == text
    asked = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert asked == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"


def test_what_it_is_not(models: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'chatml'"):
        merged(models, tmp_path / "out", chat_template="chatlm")
    for model in models:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        (Path(model) / "chat_template.jinja").unlink(missing_ok=True)
        (Path(model) / "tokenizer_config.json").unlink(missing_ok=True)
    with pytest.raises(UserError, match="none has one"):
        merged(models, tmp_path / "out", chat_template="auto")
