"""A few sentences become more: filtered, with their provenance, and a killed run goes on."""

import json

import pytest
from typer.testing import CliRunner

from syn2real.cli.main import app
from syn2real.errors import UserError
from syn2real.language.chat import chat_model
from syn2real.language.expansion import ExpansionSettings, Seed, expand, prompt
from syn2real.speech.corpus import read_sentences, sentence_key

SEEDS = [Seed(f"s{number}", f"wake me up at {word}") for number, word in enumerate(("one", "two", "three", "four"))]
THINGS = ("jazz", "rock", "soul", "funk", "blues", "swing", "samba", "tango", "polka", "waltz", "opera", "metal")


def inventive(asked):
    """Five lines that depend on the request's seed; one repeats a seed."""
    seed = asked["seed"]
    lines = [f"{n}. Play {THINGS[(seed + n) % 12]} number {(seed // 7 + n) % 97} in room {n}" for n in range(1, 5)]
    return "\n".join(["Here you are:", *lines, "5. Wake me up at one."])


def run(model, folder, count, **settings):
    return expand(
        model,
        SEEDS,
        ExpansionSettings(count, **settings),
        folder / "out.replies.jsonl",
        key=sentence_key,
        unspeakable=lambda line: None,
    )


@pytest.fixture
def model(chat_server):
    chat_server.reply = inventive
    return chat_model("server:m", url=chat_server.url)


def test_rows_say_where_they_come_from(model, tmp_path):
    made = run(model, tmp_path, 12)
    assert len(made.rows) == 12 == len({row["id"] for row in made.rows})
    source = made.rows[0]["generated"]
    first = prompt(SEEDS, ExpansionSettings(12), 0)
    assert (source["model"], source["seed"], source["prompt"]) == ("m", first.seed, first.hash)
    assert source["shown"] == [seed.id for seed in first.shown]
    assert made.refused["seed again"] >= 1 and 0 < made.share < 1


def test_prompts_show_seeds_in_turn():
    shown = {prompt(SEEDS, ExpansionSettings(9, shown=2), number).shown for number in range(30)}
    assert {seed for pair in shown for seed in pair} == set(SEEDS) and len(shown) > 6


def test_a_killed_run_goes_on_and_ends_in_the_same_rows(model, chat_server, tmp_path):
    whole = run(model, tmp_path, 60)
    (tmp_path / "again").mkdir()
    lines = (tmp_path / "out.replies.jsonl").read_bytes()
    (tmp_path / "again" / "out.replies.jsonl").write_bytes(lines[: len(lines) // 2])
    assert run(model, tmp_path / "again", 60).rows == whole.rows
    before = len(chat_server.asked)
    assert run(model, tmp_path, 20).rows == whole.rows[:20]
    assert len(chat_server.asked) == before


def test_a_model_that_repeats_itself_is_given_up(model, chat_server, tmp_path):
    chat_server.reply = lambda asked: "Play some jazz\nPlay some jazz"
    made = run(model, tmp_path, 5)
    assert [row["text"] for row in made.rows] == ["Play some jazz"]
    assert made.asked == 48 and made.refused == {"duplicate": 95}


def test_without_seeds_there_is_nothing_to_go_by(model, tmp_path):
    with pytest.raises(UserError, match="no seed sentences"):
        expand(model, [], ExpansionSettings(1), tmp_path / "r", key=str, unspeakable=lambda line: None)


def test_the_command_writes_text_that_is_read_as_it_is(chat_server, tmp_path):
    chat_server.reply = lambda asked: inventive(asked) + "\n6. Smile 😀 now\n7. Скажи привет мне"
    (tmp_path / "seeds.txt").write_text("\n".join(seed.text for seed in SEEDS), encoding="utf-8")
    arguments = ["text", "expand", tmp_path / "seeds.txt", "-n", 10, "-o", tmp_path / "more.jsonl", "-m", "server:m"]
    arguments += ["--url", chat_server.url, "--about", "requests to a clock", "--domain", "alarms", "--json"]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    answer = json.loads(done.stdout)
    assert done.exit_code == 0 and answer["sentences"] == answer["wanted"] == 10
    assert answer["refused"]["characters"] >= 2
    sentences = read_sentences(tmp_path / "more.jsonl")
    assert len(sentences) == 10 and {sentence.domain for sentence in sentences} == {"alarms"}
    turns = chat_server.asked[0]["messages"]
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[1]["content"] == "Write 4 requests to a clock." and turns[2]["content"].startswith("1. wake me up at ")
