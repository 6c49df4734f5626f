"""Where chat models are, and what looking for them leaves behind: nothing."""

import json
import shutil
from pathlib import Path

import pytest

from syn2real import hashing
from syn2real.errors import UserError
from syn2real.language.chat.weights import located, model_identity, resolve_chat_model


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SYN2REAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hashing, "SETTLED", -1.0)
    return tmp_path / "cache"


def test_to_look_unpacks_and_notes_nothing(smollm2, chat_llama, cache):
    assert located("smollm2-135m", look=True) == (Path("smollm2-135m"), "smollm2-135m") and not cache.exists()
    shutil.copytree(smollm2.parent, cache / "models" / smollm2.parent.name)
    before = sorted(cache.rglob("*"))
    found, identity = located("smollm2-135m", look=True)
    assert found == cache / "models" / smollm2.parent.name / "model" and identity == model_identity(smollm2, keep=False)
    assert located(str(chat_llama), look=True)[0] == chat_llama
    assert sorted(cache.rglob("*")) == before


def test_what_is_looked_for_is_what_is_found(chat_llama, cache):
    assert (
        located(str(chat_llama), look=True)
        == located(str(chat_llama))
        == (
            resolve_chat_model(str(chat_llama)),
            model_identity(chat_llama),
        )
    )
    assert any((cache / "hashes").iterdir())


def test_a_model_of_the_hub_is_not_fetched_to_look_at_it(cache):
    assert located("somebody/some-model", look=True) == (Path("somebody/some-model"), "somebody/some-model")


@pytest.mark.parametrize("look", [False, True])
def test_what_is_none_is_told(look, tmp_path, cache):
    with pytest.raises(UserError, match="did you mean 'smollm2-135m'"):
        located("smolm2-135m", look=look)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"has no config\.json"):
        located(str(tmp_path / "empty"), look=look)
    (tmp_path / "empty" / "config.json").write_text(json.dumps({}))
    assert located(str(tmp_path / "empty"), look=look)[0] == tmp_path / "empty"
