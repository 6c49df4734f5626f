"""Models with different tokens: rows follow their token."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from syn2real.errors import CheckpointMismatch, UserError
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.output import write
from syn2real.merge.plan import Plan, plan_merged, plan_recipe
from syn2real.merge.recipe import parse_recipe
from syn2real.merge.tokenizer_files import read_tokens
from syn2real.merge.verification import check
from syn2real.merge.vocabulary import aligned
from tests.merge.llamas import llama, load, save

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
FIRST = ["<unk>", "<s>", "</s>", "a", "b", "c", "ab", "abc"]
SECOND = ["<unk>", "</s>", "<s>", "c", "b", "a", "d", "cd", "ab", "bc"]


def entry(number: int, content: str, **flags: Any) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": number, "content": content, **plain, **flags}


def bpe(tokens: list[str], added: Mapping[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    merges = [[t[:i], t[i:]] for t in tokens for i in range(1, len(t)) if {t[:i], t[i:]} <= set(tokens) and t[0] != "<"]
    special = [entry(i, token) for i, token in enumerate(tokens) if token[0] == "<"]
    special += [entry(len(tokens) + i, token, **flags) for i, (token, flags) in enumerate((added or {}).items())]
    return {
        "version": "1.0",
        "added_tokens": special,
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": merges,
        },
    }


def unigram(tokens: list[str], added: list[str]) -> dict[str, Any]:
    document = bpe(tokens, {token: {} for token in added})
    document["model"] = {"type": "Unigram", "unk_id": 0, "vocab": [[t, -1.0 - i / 8] for i, t in enumerate(tokens)]}
    return document


def model(folder: Path, tokenizer: dict[str, Any], rows: int, seed: int, **config: Any) -> Path:
    save(folder, llama(vocab_size=rows, num_hidden_layers=1, **config), seed)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


def plan(**recipe: Any) -> Plan:
    return plan_recipe(parse_recipe(**recipe))


def merged(output: Path, **recipe: Any) -> Path:
    return write(plan(**recipe), output, threads=1)


def row(path: Path, token: str, name: str = EMBEDDING) -> torch.Tensor:
    return load_file(path / "model.safetensors")[name][read_tokens(path).ids[token]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Models whose tokens overlap in part, in another order, with an added token and padding each."""
    folder = tmp_path_factory.mktemp("pair")
    first = model(folder / "a", bpe(FIRST, {"<|x|>": {}}), 12, 1)
    second = model(
        folder / "b", bpe(SECOND, {"<|y|>": {"lstrip": True}, "<|x|>": {}, "plain": {"special": False}}), 16, 2
    )
    return first, second


def test_differing_sizes_are_refused_by_default(pair: tuple[Path, Path]) -> None:
    found = plan(method="linear", models=list(map(str, pair))).problems
    assert any("vocabulary" in str(problem) for problem in found)


def test_differing_tokenizers_of_one_size_are_refused(tmp_path: Path) -> None:
    a = model(tmp_path / "a", bpe(FIRST), 8, 1)
    b = model(tmp_path / "b", bpe([*FIRST[:5], *FIRST[:4:-1]]), 8, 2)
    (problem,) = plan(method="linear", models=[str(a), str(b)]).problems
    assert isinstance(problem, CheckpointMismatch)
    assert str(problem) == (
        "a and b have different tokenizers: token 5 is 'c' in a, 'abc' in b, and 1 more differ; "
        "set vocabulary to base, union or intersection"
    )


def test_sums_in_python_are_refused_for_the_same_reason(tmp_path: Path) -> None:
    a = Checkpoint.open(model(tmp_path / "a", bpe(FIRST), 8, 1))
    b = Checkpoint.open(model(tmp_path / "b", bpe([*FIRST[:5], *FIRST[:4:-1]]), 8, 2))
    for total in (a + 0.5 * (b - a), (0.5 * a + 0.5 * b).anchored(b), (1.0 * b).anchored(a)):
        with pytest.raises(CheckpointMismatch, match="different tokenizers: token 5"):
            write(total, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_renamed_added_token_is_noted(tmp_path: Path) -> None:
    a = model(tmp_path / "a", bpe(FIRST, {"<|reserved|>": {}}), 12, 1)
    b = model(tmp_path / "b", bpe(FIRST, {"<|tool|>": {}}), 12, 2)
    found = plan(method="linear", models=[str(a), str(b)])
    assert not found.problems
    assert "token 8 is '<|reserved|>' in a, '<|tool|>' in b" in found.notes[0]
    total = (0.5 * Checkpoint.open(a) + 0.5 * Checkpoint.open(b)).anchored(Checkpoint.open(a))
    assert plan_merged(total).notes == found.notes


def test_rules_for_single_tokens(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = map(str, pair)
    rules: dict[str, Any] = {
        "<|y|>": {"source": {"kind": "zero"}},  # a lacks it, b has it
        "d": {"source": {"kind": "model_token", "model": b, "token": "cd"}},
        "c": {"source": a},  # both have it: no effect
        "ab": {"source": b, "force": True},
        "<|x|>": {"source": {"kind": "model_token", "model": b, "token_id": 3}, "force": True},
    }
    out = merged(tmp_path / "out", method="linear", models=[a, b], vocabulary="union", tokens=rules)
    for name in (EMBEDDING, HEAD):

        def half(first: torch.Tensor | float, second: torch.Tensor) -> torch.Tensor:
            return ((first + second.double()) / 2).float()

        second = {token: row(pair[1], token, name) for token in (*SECOND, "<|y|>")}
        assert torch.equal(row(out, "<|y|>", name), half(0.0, second["<|y|>"]))
        assert torch.equal(row(out, "d", name), half(second["cd"].double(), second["d"]))
        assert torch.equal(row(out, "c", name), half(row(pair[0], "c", name).double(), second["c"]))
        assert torch.equal(row(out, "ab", name), second["ab"])
        assert torch.equal(row(out, "<|x|>", name), second["c"])
    assert check(out).confirmed


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"abd": {"source": "a"}}, "not in the merged vocabulary"),
        ({"ab": {"source": "elsewhere"}}, "elsewhere is not one of the models"),
        ({"d": {"source": "a"}}, "has no token 'd'"),
        ({"d": {"source": {"kind": "model_token", "model": "b", "token_id": 16}}}, "has no token number 16"),
    ],
)
def test_rules_that_name_what_is_not_there(pair: tuple[Path, Path], rule: dict[str, Any], words: str) -> None:
    a, b = map(str, pair)
    text = json.dumps(rule).replace('"a"', json.dumps(a)).replace('"b"', json.dumps(b))
    with pytest.raises(UserError, match=words):
        plan(method="linear", models=[a, b], vocabulary="union", tokens=json.loads(text))


@pytest.mark.parametrize("vocabulary", ["base", "union"])
def test_rows_are_added_up_to_a_multiple(pair: tuple[Path, Path], tmp_path: Path, vocabulary: str) -> None:
    a, b = map(str, pair)
    given = {"method": "linear", "models": [a, b], "vocabulary": vocabulary}
    plain = load_file(merged(tmp_path / "plain", **given) / "model.safetensors")
    out = merged(tmp_path / "out", **given, pad_to_multiple_of=64)
    assert json.loads((out / "config.json").read_text())["vocab_size"] == 64
    first = load_file(Path(a) / "model.safetensors")
    for name, found in load_file(out / "model.safetensors").items():
        if name in (EMBEDDING, HEAD):
            rows = len(plain[name])
            assert torch.equal(found[:rows], plain[name])
            assert all(any(torch.equal(extra, padding) for padding in first[name][9:]) for extra in found[rows:])
        else:
            assert torch.equal(found, plain[name])
    assert load(out)(torch.tensor([[1, 2, 3]])).logits.shape[-1] == 64


@pytest.mark.parametrize("vocabulary", ["base", "union"])
def test_rows_beyond_a_vocabulary_without_padding_are_the_mean(tmp_path: Path, vocabulary: str) -> None:
    """As mergekit 0.1.5 makes them, for each model before the merge."""
    one = model(tmp_path / "one", bpe(FIRST), len(FIRST), 1)
    two = model(tmp_path / "two", bpe(SECOND), len(SECOND), 2)
    models = [str(one), str(two)]
    given: dict[str, Any] = {"method": "linear", "models": models, "vocabulary": vocabulary}
    plain = load_file(merged(tmp_path / "plain", **given) / "model.safetensors")
    out = merged(tmp_path / "out", **given, pad_to_multiple_of=7)
    for name in (EMBEDDING, HEAD):
        found, count = load_file(out / "model.safetensors")[name], len(plain[name])
        assert len(found) == 14 and torch.equal(found[:count], plain[name])
        assert torch.allclose(found[count:], plain[name].double().mean(0).float(), rtol=0, atol=1e-7)
    assert check(out).confirmed


def test_an_added_row_costs_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = model(tmp_path / "one", bpe(FIRST), len(FIRST), 1)
    opened = Checkpoint.open(one)
    view = aligned("base", {"one": opened}, "one", None, multiple=64).models["one"]
    asked: list[str] = []
    read = opened._source.read_range
    monkeypatch.setattr(opened._source, "read_range", lambda name, *at: (asked.append(name), read(name, *at))[1])
    rows = [view.read_range(HEAD, at * 8, at * 8 + 8) for at in (8, 63, 20)]
    assert all(torch.equal(row, rows[0]) for row in rows) and len(asked) == 1
    assert torch.allclose(rows[0], opened.read(HEAD).double().mean(0), rtol=1e-14, atol=1e-16)


def test_rules_go_with_a_vocabulary_that_is_brought_together(pair: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="pad_to_multiple_of: goes with vocabulary: base or union"):
        plan(method="linear", models=list(map(str, pair)), pad_to_multiple_of=64)


def test_base_keeps_the_anchors_tokens(pair: tuple[Path, Path], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    a, b = pair
    out = merged(tmp_path / "out", method="linear", models=[str(a), str(b)], vocabulary="base")
    assert (out / "tokenizer.json").read_bytes() == (a / "tokenizer.json").read_bytes()
    tokenizer, result = transformers.AutoTokenizer.from_pretrained(out), load(out)
    assert result.config.vocab_size == 12
    for name, found in ((EMBEDDING, result.get_input_embeddings()), (HEAD, result.get_output_embeddings())):
        for token in (*FIRST, "<|x|>"):
            here = found.weight[tokenizer.convert_tokens_to_ids(token)]
            if token in SECOND or token == "<|x|>":
                expected = ((row(a, token, name).double() + row(b, token, name)) / 2).float()
            else:
                expected = row(a, token, name)
            assert torch.equal(here, expected), token
        padding = load_file(a / "model.safetensors")[name][9:]
        assert torch.equal(found.weight[9:], padding)


def test_the_other_way_round(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    out = merged(tmp_path / "out", method="linear", models=[str(a), str(b)], vocabulary="base", anchor=str(b))
    assert Checkpoint.open(out)[EMBEDDING].shape == (16, 8)
    assert torch.equal(row(out, "ab"), ((row(a, "ab").double() + row(b, "ab")) / 2).float())
    assert torch.equal(row(out, "cd"), row(b, "cd"))


def test_a_tokenizer_that_is_no_models(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    leading = tmp_path / "leading"
    leading.mkdir()
    (leading / "tokenizer.json").write_text(json.dumps(bpe(["<unk>", "cd", "d", "c", "abc", "z"])))
    (leading / "vocab.json").write_text("{}")
    recipe = {"method": "linear", "models": [str(a), str(b)], "vocabulary": "base", "tokenizer": str(leading)}
    notes = " ".join(plan(**recipe).notes)
    assert "6 rows, 2 of them for tokens that all models have" in notes and "1 tokens of " in notes
    out = merged(tmp_path / "out", **recipe)
    result = load(out)
    assert result.config.vocab_size == 6 and result.get_input_embeddings().weight.shape[0] == 6
    both = ((row(a, "c").double() + row(b, "c")) / 2).float()
    wanted = {"c": both, "cd": row(b, "cd"), "abc": row(a, "abc"), "z": torch.zeros(8)}
    for token, values in wanted.items():
        assert torch.equal(row(out, token), values), token
    assert (out / "vocab.json").read_text() == "{}" and not (out / "tokenizer_config.json").exists()
    own = json.loads((a / "config.json").read_text())
    assert own | {"vocab_size": 6} == json.loads((out / "config.json").read_text()) | {"dtype": own["dtype"]}
    assert check(out).confirmed
    (leading / "tokenizer.json").write_text(json.dumps(bpe(["<unk>", "d", "cd", "c", "abc", "z"])))
    assert set(check(out).differing) == {EMBEDDING, HEAD}
    padded = merged(tmp_path / "padded", **recipe, pad_to_multiple_of=4)
    weight = load_file(padded / "model.safetensors")[EMBEDDING]
    torch.testing.assert_close(weight[6:], weight[:6].mean(0).expand(2, -1))
    with pytest.raises(UserError, match="tokenizer: goes with vocabulary: base"):
        plan(**recipe | {"vocabulary": "union"})


def test_a_missing_token_is_the_anchors_where_there_is_no_base(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    third = model(tmp_path / "c", bpe([*FIRST, "cd"]), 9, 3)
    models = [str(third), str(b), str(a)]
    out = merged(tmp_path / "out", method="linear", models=models, vocabulary="base", anchor=str(b))
    assert torch.equal(row(out, "cd"), ((row(third, "cd").double() + row(b, "cd") + row(b, "cd")) / 3).float())


def test_a_row_with_two_names_is_found_by_either(pair: tuple[Path, Path], tmp_path: Path) -> None:
    named = bpe(FIRST, {"<|x|>": {}})
    named["added_tokens"].append(entry(3, "<|control|>"))  # over "a", as fine-tuning leaves a renamed token
    a = model(tmp_path / "a", named, 12, 1)
    out = merged(tmp_path / "out", method="linear", models=[str(a), str(pair[1])], vocabulary="base")
    assert torch.equal(row(out, "a"), ((row(a, "a").double() + row(pair[1], "a")) / 2).float())


@pytest.mark.parametrize(
    "change",
    [
        {"vocab": {**dict.fromkeys(FIRST, 0), "a": -3}},
        {"vocab": {"a": 10**30}},
        {"merges": ["ab"]},
        {"merges": [["a", "b", "c"]]},
        {"merges": {"a b": 1}},
        {"type": "Unigram", "vocab": [["a", "high"]]},
        {"type": "Unigram", "vocab": [["a", float("nan")]]},
    ],
)
@pytest.mark.parametrize("leads", [True, False])
def test_damaged_tokenizers_are_named(
    pair: tuple[Path, Path], tmp_path: Path, change: dict[str, Any], leads: bool
) -> None:
    document = bpe(FIRST)
    document["model"] |= change
    broken = model(tmp_path / "broken", document, 12, 1)
    models = [str(broken), str(pair[0])]
    with pytest.raises(UserError, match=r"broken/tokenizer\.json: "):
        plan(method="linear", models=models if leads else models[::-1], vocabulary="union")


def test_tokens_that_are_no_text_are_refused_before_anything_is_computed(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    broken = model(tmp_path / "broken", bpe([*FIRST, "\ud800"]), 12, 1)
    with pytest.raises(UserError, match="it is no Unicode"):
        plan(method="linear", models=[str(pair[0]), str(broken)], vocabulary="union")
    shutil.copytree(broken, tmp_path / "latin")
    (tmp_path / "latin" / "tokenizer.json").unlink()
    (tmp_path / "latin" / "vocab.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match=r"vocab\.txt:1: is not UTF-8"):
        plan(method="linear", models=[str(pair[0]), str(tmp_path / "latin")], vocabulary="base")


def test_union_grows_model_and_tokenizer(pair: tuple[Path, Path], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    a, b = pair
    (tmp_path / "a").mkdir()
    for file in a.iterdir():
        (tmp_path / "a" / file.name).write_bytes(file.read_bytes())
    a = tmp_path / "a"
    (a / "vocab.json").write_text("{}")  # would be the smaller vocabulary
    out = merged(tmp_path / "out", method="linear", models=[str(a), str(b)], vocabulary="union")
    assert not (out / "vocab.json").exists()
    tokenizer, result = transformers.AutoTokenizer.from_pretrained(out), load(out)
    fresh = [token for token in (*SECOND, "<|y|>", "plain") if token not in FIRST]
    wanted = [*FIRST, "<|x|>", *fresh]
    assert tokenizer.convert_tokens_to_ids(wanted) == list(range(len(wanted)))
    assert len(tokenizer) == len(wanted) == 14
    # 12 rows for 9 tokens were padded to a multiple of 4, with rows 9 to 11.
    weight = result.get_input_embeddings().weight
    assert result.config.vocab_size == weight.shape[0] == 16
    for token in wanted:
        holders = [row(path, token).double() for path in (a, b) if token in read_tokens(path).ids]
        expected = torch.stack(holders).mean(0).float()
        assert torch.equal(weight[tokenizer.convert_tokens_to_ids(token)], expected), token
    assert torch.equal(weight[14:], load_file(a / "model.safetensors")[EMBEDDING][9:11])
    assert result(torch.tensor([[3, 13, 15]])).logits.shape == (1, 3, 16)
    # Flags are kept; the anchor's merges come first, the other's after them.
    assert "<|y|>" in tokenizer.added_tokens_encoder and "plain" not in tokenizer.all_special_tokens
    written = {t["content"]: t for t in json.loads((out / "tokenizer.json").read_text())["added_tokens"]}
    assert written["<|y|>"]["lstrip"] and written["<|x|>"] == entry(8, "<|x|>")
    assert tokenizer.tokenize("abc cd <|y|> bcd plain") == ["abc", "cd", " <|y|>", "b", "cd", "plain"]


def test_a_merge_is_not_gone_on_with_after_a_tokenizer_has_changed(pair: tuple[Path, Path], tmp_path: Path) -> None:
    b = Path(shutil.copytree(pair[1], tmp_path / "b"))
    recipe = {"method": "linear", "models": [str(pair[0]), str(b)], "vocabulary": "base"}
    left = 2

    def stop(name: str) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(plan(**recipe), tmp_path / "out", threads=1, on_tensor=stop)
    reordered = bpe([*SECOND[:3], *SECOND[:2:-1]], {"<|y|>": {}, "<|x|>": {}, "plain": {}})
    (b / "tokenizer.json").write_text(json.dumps(reordered))
    again, clean = (load_file(merged(tmp_path / name, **recipe) / "model.safetensors") for name in ("out", "clean"))
    assert all(torch.equal(again[name], clean[name]) for name in clean)


def test_tokens_beyond_a_models_rows_are_none_of_its(tmp_path: Path) -> None:
    a = model(tmp_path / "a", bpe(FIRST), 8, 1)
    b = model(tmp_path / "b", bpe(SECOND, {"<|new|>": {}}), 10, 2)  # row 10 was never made
    out = merged(tmp_path / "out", method="linear", models=[str(a), str(b)], vocabulary="union")
    tokens = read_tokens(out).ids
    assert "cd" in tokens and "<|new|>" not in tokens


def test_lines_of_a_vocabulary_end_with_line_feeds_alone(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes("[PAD]\n\u2028\nhello\n".encode())
    assert read_tokens(tmp_path).ids == {"[PAD]": 0, "\u2028": 1, "hello": 2}


def test_a_union_with_nothing_new_is_the_anchor(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a = pair[0]
    out = merged(tmp_path / "out", method="linear", models=[str(a), str(a)], vocabulary="union")
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (out / name).read_bytes() == (a / name).read_bytes()


def test_a_union_of_unigrams_keeps_scores(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    a = model(tmp_path / "a", unigram(FIRST, ["<|x|>"]), 9, 1)
    b = model(tmp_path / "b", unigram(SECOND, ["<|y|>"]), 11, 2)
    out = merged(tmp_path / "out", method="linear", models=[str(a), str(b)], vocabulary="union")
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    wanted = [*FIRST, "<|x|>", "d", "cd", "bc", "<|y|>"]
    assert tokenizer.convert_tokens_to_ids(wanted) == list(range(13))
    assert tokenizer.tokenize("abc cd<|y|>") == ["abc", "cd", "<|y|>"]
    assert load(out).config.vocab_size == 13  # neither was padded


def test_intersection_merges_only_what_all_have(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    parts = [{"model": str(a), "weight": 0.25}, {"model": str(b), "weight": 0.75}]
    out = merged(tmp_path / "out", method="linear", models=parts, vocabulary="intersection")
    assert (out / "tokenizer.json").read_bytes() == (a / "tokenizer.json").read_bytes()
    weight, own = (load_file(path / "model.safetensors")[EMBEDDING] for path in (out, a))
    for token, number in read_tokens(a).ids.items():
        if token in read_tokens(b).ids:
            assert torch.allclose(weight[number], 0.25 * own[number] + 0.75 * row(b, token))
        else:
            assert torch.equal(weight[number], own[number])
    assert torch.equal(weight[9:], own[9:])


def test_a_token_that_a_tuned_model_lacks_does_not_move(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    recipe = {"method": "task_arithmetic", "base": str(a), "models": [str(b)], "parameters": {"weight": 0.5}}
    out = merged(tmp_path / "out", **recipe, vocabulary="base")
    assert torch.equal(row(out, "abc"), row(a, "abc"))
    assert torch.allclose(row(out, "ab"), (row(a, "ab") + row(b, "ab")) / 2)
    # A token that the base lacks is its tuned model's as it is.
    out = merged(tmp_path / "union", **recipe, vocabulary="union")
    assert torch.equal(row(out, "cd"), row(b, "cd"))


def test_an_expression_leaves_what_only_the_anchor_has(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    models = {"T": str(a), "R": str(b), "S": str(a)}
    out = merged(tmp_path / "out", expression="T + 0.5 * (R - S)", models=models, vocabulary="base")
    assert torch.equal(row(out, "abc"), row(a, "abc"))
    assert torch.allclose(row(out, "c"), (row(a, "c") + row(b, "c")) / 2)


def test_three_models_average_over_those_that_have_a_token(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    c = model(tmp_path / "c", bpe([*SECOND[:6], "dd"]), 7, 3, tie_word_embeddings=True)
    (a_, b_, c_) = map(str, (a, b, c))
    out = merged(tmp_path / "out", method="linear", models=[a_, b_, c_], vocabulary="union")
    assert torch.allclose(row(out, "ab"), (row(a, "ab") + row(b, "ab")) / 2)
    assert torch.allclose(row(out, "c"), (row(a, "c") + row(b, "c") + row(c, "c")) / 3)
    assert torch.equal(row(out, "dd"), row(c, "dd"))
    # The third is tied: its embedding stands for the head that the others store.
    assert torch.allclose(row(out, "dd", HEAD), row(c, "dd"))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_any_range_of_a_gathered_tensor(pair: tuple[Path, Path], tmp_path: Path, kind: torch.dtype) -> None:
    from syn2real.merge.vocabulary import aligned

    models = {name: Checkpoint.open(path) for name, path in zip("ab", pair, strict=True)}
    if kind != torch.float32:
        out = merged(tmp_path / "half", method="linear", models=[str(pair[1])], out_dtype="bfloat16")
        models["b"] = Checkpoint.open(out)
    seen = aligned("union", models, "a", None).models["b"]
    whole = seen.read(EMBEDDING)
    assert whole.shape == (16, 8)
    generator = np.random.default_rng(0)
    for _ in range(200):
        start, stop = sorted(generator.integers(0, whole.numel() + 1, 2).tolist())
        found = seen.read_range(EMBEDDING, start, stop)
        assert torch.equal(found.double(), whole.reshape(-1)[start:stop].double())


def test_biases_and_shared_embeddings_follow(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    paths = []
    for name, tokens, rows in (("a", FIRST, 8), ("b", SECOND, 10)):
        config = transformers.BartConfig(
            d_model=8,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=12,
            decoder_ffn_dim=12,
            vocab_size=rows,
            max_position_embeddings=16,
            pad_token_id=0,
            forced_eos_token_id=2,
        )
        path = save(tmp_path / name, config, rows)
        weights = load_file(path / "model.safetensors")
        weights["final_logits_bias"] = torch.arange(rows, dtype=torch.float32)[None] * (10 if name == "b" else 1)
        save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
        (path / "tokenizer.json").write_text(json.dumps(bpe(tokens)))
        paths.append(path)
    out = merged(tmp_path / "out", method="linear", models=list(map(str, paths)), vocabulary="union")
    model = load(out, kind=transformers.AutoModelForSeq2SeqLM)
    assert {token: float(model.final_logits_bias[0, i]) for token, i in read_tokens(out).ids.items()} == {
        "<unk>": 0.0,
        "<s>": (1 + 20) / 2,
        "</s>": (2 + 10) / 2,
        "a": (3 + 50) / 2,
        "b": (4 + 40) / 2,
        "c": (5 + 30) / 2,
        "ab": (6 + 80) / 2,
        "abc": 7.0,
        "d": 60.0,
        "cd": 70.0,
        "bc": 90.0,
    }


def test_refusals(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    other = model(tmp_path / "u", unigram(SECOND, []), 10, 2)
    with pytest.raises(UserError, match="a Unigram tokenizer cannot be united with BPE"):
        plan(method="linear", models=[str(a), str(other)], vocabulary="union")
    bare = save(tmp_path / "bare", llama(num_hidden_layers=1), 1)
    with pytest.raises(UserError, match=r"bare: no tokenizer.json, vocab.json or vocab.txt"):
        plan(method="linear", models=[str(a), str(bare)], vocabulary="base")
    small = model(tmp_path / "small", bpe(FIRST), 6, 1)
    with pytest.raises(UserError, match="8 tokens, but 6 rows"):
        plan(method="linear", models=[str(small), str(b)], vocabulary="base")
    (bare / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="no vocabulary in it"):
        plan(method="linear", models=[str(a), str(bare)], vocabulary="base")
    slow = save(tmp_path / "slow", llama(num_hidden_layers=1, vocab_size=8), 1)
    (slow / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(FIRST)}))
    with pytest.raises(UserError, match=r"a union needs the anchor's tokenizer.json"):
        plan(method="linear", models=[str(slow), str(b)], vocabulary="union")
    merged(tmp_path / "out", method="linear", models=[str(slow), str(b)], vocabulary="base")


def test_masked_models_grow_with_their_vocabulary(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    paths = []
    for name, tokens in (("a", FIRST), ("b", SECOND)):
        config = transformers.BertConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, vocab_size=16,
            max_position_embeddings=20, tie_word_embeddings=False,
        )  # fmt: skip
        torch.manual_seed(len(paths))
        transformers.BertForMaskedLM(config).save_pretrained(tmp_path / name)
        (tmp_path / name / "tokenizer.json").write_text(json.dumps(bpe(tokens)))
        paths.append(str(tmp_path / name))
    found = plan(method="linear", models=paths, vocabulary="union")
    out = write(found, tmp_path / "out", threads=1)
    model = load(out, kind=transformers.AutoModelForMaskedLM)
    assert model.config.vocab_size == model.cls.predictions.bias.shape[0] == model.cls.predictions.decoder.out_features
    assert not [note for note in found.notes if "keeps them" in note]


def test_other_tensors_of_as_many_rows_are_pointed_out(tmp_path: Path) -> None:
    a, b = (model(tmp_path / name, bpe(tokens), 10, 1) for name, tokens in (("a", FIRST), ("b", SECOND)))
    for path in (a, b):
        weights = load_file(path / "model.safetensors")
        weights["model.token_bonus"] = torch.ones(10, 3)
        save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    notes = plan(method="linear", models=[str(a), str(b)], vocabulary="union").notes
    assert [note for note in notes if note.startswith("model.token_bonus: has 10 rows too and keeps them")]
