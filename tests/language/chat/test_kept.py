"""What was answered once is not asked again, and stays as it was."""

from syn2real.language.chat.kept import KeptReplies
from syn2real.lines import appended_jsonl


def test_all_are_asked_where_one_is_not_known_and_the_known_stay(tmp_path):
    kept, (first, second) = KeptReplies(tmp_path / "said.jsonl"), ({"text": "a"}, {"text": "b"})
    assert kept.recall_all([first], lambda: ["one"]) == ["one"]
    assert kept.recall_all([first, second], lambda: ["another", "two"]) == ["one", "two"]
    again = KeptReplies(kept.path)
    assert again.recall_all([second, first], lambda: 1 / 0) == ["two", "one"]
    assert len(list(appended_jsonl(kept.path))) == 2
