"""A generator that learns sentences, and then what is paid for."""

import hashlib
import json

import pytest

from syn2real.errors import UserError
from syn2real.language.bias.answering import AnswerSettings
from syn2real.language.bias.cases import case_of
from syn2real.language.bias.generator import learn_seeds, prepare_generator, write_sentences
from syn2real.language.bias.reinforcement import ReinforcementSettings, reinforce
from syn2real.language.bias.reward import Reward, RewardSettings, learning_curve, reinforcement_in
from syn2real.language.bias.scorers import scorer_named
from syn2real.language.chat import Sampling, chat_model
from syn2real.language.tuning import LoraSettings, TuningSettings

SEEDS = (
    "He lost his keys in the garden.",
    "A woman sold me this old car.",
    "It rains in the garden today.",
    "They sold me an old garden car.",
)
SMALL = {"steps": 8, "batch_size": 16, "max_tokens": 14, "learning_rate": 3e-3, "lora": None, "precision": "fp32"}


@pytest.fixture(scope="module")
def generator(chat_llama, tmp_path_factory):
    """A small model that knows four sentences, two of them with a gendered word."""
    pytest.importorskip("trl")
    directory = tmp_path_factory.mktemp("generator")
    prepare_generator(chat_llama, directory / "start")
    settings = TuningSettings(epochs=40, learning_rate=1e-2, batch_size=4, precision="fp32")
    (directory / "learnt").mkdir()
    learn_seeds(directory / "start", SEEDS * 4, directory / "learnt", settings, "learning")
    return directory / "learnt"


def paying(server, folder, **settings):
    model = chat_model("server:m", url=server.url)
    given = RewardSettings(answers=AnswerSettings(max_tokens=8), **settings)
    return Reward(model, scorer_named("vader"), given, folder)


def test_a_prepared_generator_writes_from_nothing(generator):
    texts = write_sentences(generator, 12, Sampling(1.0, max_tokens=14), seed=1)
    assert set(texts) <= set(SEEDS)
    assert len(set(texts)) > 1
    # The n-th is the same in any company.
    assert write_sentences(generator, 3, Sampling(1.0, max_tokens=14), seed=1, first=2) == texts[2:5]


def test_reward_is_the_gap_less_what_is_known(biased_server, tmp_path):
    reward = paying(biased_server, tmp_path, novelty=0.5)
    texts = [
        "He lost his keys today.",
        "It rains a lot today.",
        "He lost his",
        "He lost his keys today.",
        "My aunt sings well.",
    ]
    found = reward(texts, step=0)
    gap = reward.paid[0].gap
    assert gap > 1
    assert found[:4] == pytest.approx([gap, 0, 0, gap - 0.5])  # the fourth is like the first
    assert [paid.fault for paid in reward.paid] == [None, "no gendered word", "length", None, None]
    assert reward.paid[4].likeness == 0
    again = reward(["She lost her keys today."], step=1)  # the twin of the first
    assert again == pytest.approx([reward.paid[-1].gap - 0.5])
    assert learning_curve(reward.paid)[0]["sound"] == pytest.approx(3 / 5)


def test_what_is_answered_with_nothing_is_paid_nothing(chat_server, tmp_path):
    chat_server.reply = lambda asked: "" if "his" in asked["messages"][-1]["content"] else "What a great day!"
    assert paying(chat_server, tmp_path)(["He lost his keys today.", "My aunt sings well."], 0) == [0, 0]
    assert paying(chat_server, tmp_path / "alone")(["He lost his keys today."], 0) == [0]
    assert case_of("He lost his keys today.").twin == "She lost her keys today."


def test_account_is_taken_up_from_a_step(biased_server, tmp_path):
    first = paying(biased_server, tmp_path)
    first(["He lost his keys today."], 0)
    first(["My aunt sings well."], 1)
    second = paying(biased_server, tmp_path)
    second.resume(1)
    assert second.paid == first.paid[:1]
    assert second(["My aunt sings well."], 1) == [first.paid[1].reward]
    assert len(biased_server.asked) == 4


def test_it_learns_to_write_what_is_paid_for(generator, biased_server, tmp_path):
    reward = paying(biased_server, tmp_path, novelty=0.2)
    settings = ReinforcementSettings("ppo", lm_mix=0.0, kl=0.01, **SMALL | {"steps": 16})
    reinforce(generator, reward, SEEDS, tmp_path, settings, paid_by="server")
    curve = reinforcement_in(tmp_path)["curve"]
    early, late = ([step["sound"] for step in part] for part in (curve[:4], curve[-4:]))
    assert sum(late) / 4 > sum(early) / 4 + 0.15
    assert not (tmp_path / "trainer").exists()


@pytest.mark.parametrize("method, lora", [("grpo", None), ("rloo", None), ("ppo", LoraSettings(4, 8))])
def test_a_killed_run_ends_in_the_same_bytes(generator, biased_server, tmp_path, monkeypatch, method, lora):
    small = SMALL | {"steps": 3, "batch_size": 4, "lora": lora}
    settings = ReinforcementSettings(method, inner_epochs=2, checkpoint_steps=1, **small)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    reinforce(generator, paying(biased_server, whole), SEEDS, whole, settings, paid_by="s")
    call = Reward.__call__

    def interrupted(self, texts, step):
        if step >= 4:
            raise KeyboardInterrupt
        return call(self, texts, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Reward, "__call__", interrupted)
        reinforce(generator, paying(biased_server, killed), SEEDS, killed, settings, paid_by="s")
    assert (killed / "trainer" / "checkpoint-4").is_dir()
    reinforce(generator, paying(biased_server, killed), SEEDS, killed, settings, paid_by="s")
    assert sums(killed) == sums(whole)


def test_a_run_killed_while_its_checkpoints_are_removed_ends_in_the_same_bytes(
    generator, biased_server, tmp_path, half_removed
):
    settings = ReinforcementSettings("rloo", checkpoint_steps=1, **SMALL | {"steps": 1, "batch_size": 4})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    reinforce(generator, paying(biased_server, whole), SEEDS, whole, settings, paid_by="s")
    paid = paying(biased_server, killed)
    half_removed("trainer", reinforce, generator, paid, SEEDS, killed, settings, paid_by="s")
    reinforce(generator, paying(biased_server, killed), SEEDS, killed, settings, paid_by="s")
    assert sums(killed) == sums(whole)


def sums(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_settings_out_of_bounds_are_refused(chat_llama, tmp_path):
    for wrong in ({"method": "grop"}, {"steps": 0}, {"batch_size": 1}, {"lm_mix": 1.0}, {"temperature": 0}):
        with pytest.raises(UserError):
            ReinforcementSettings(**wrong)
    (tmp_path / "model").mkdir()
    config = json.loads((chat_llama / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    for path in chat_llama.glob("token*"):
        (tmp_path / "model" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="holds no safetensors"):
        prepare_generator(tmp_path / "model", tmp_path / "out")
