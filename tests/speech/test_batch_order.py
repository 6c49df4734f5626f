"""Order: every clip once an epoch, the same for a resumed training and for any number of processes."""

import random

import pytest

pytest.importorskip("torch")

from syn2real.speech.batch_order import BatchOrder, ByNumber, BySeconds, Draw

DURATIONS = [0.4 + (17 * i % 101) / 11 for i in range(103)]  # 0.4 to 9.5 s


def by_number(**changes) -> BatchOrder:
    given = {"full_windows": 0.1, "seed": 3} | changes
    return BatchOrder(ByNumber(DURATIONS, 8), **given)


def by_seconds(seconds: float = 60, **changes) -> BatchOrder:
    given = {"full_windows": 0.1, "seed": 3} | changes
    return BatchOrder(BySeconds(DURATIONS, seconds, given["full_windows"]), **given)


def drawn(order: BatchOrder) -> list[Draw]:
    return [draw for batch in order for draw in batch]


def padded(batch: list[Draw]) -> float:
    """Seconds that a batch is long, with its padding."""
    short = [DURATIONS[draw.clip] for draw in batch if not draw.full]
    return len(short) * max(short, default=0) + 30 * (len(batch) - len(short))


@pytest.mark.parametrize("order", [by_number, by_seconds])
class TestEveryOrder:
    def test_every_clip_once_an_epoch(self, order):
        assert sorted(draw.clip for draw in drawn(order())) == list(range(103))

    def test_as_many_batches_in_every_epoch_as_were_announced(self, order):
        found = order()
        for epoch in range(5):
            found.set_epoch(epoch)
            assert len(list(found)) == len(found)

    def test_it_depends_on_seed_and_epoch_only(self, order):
        first, again = order(), order()
        assert list(first) == list(again)
        again.set_epoch(1)
        assert list(first) != list(again)
        assert list(first) != list(order(seed=4))

    @pytest.mark.parametrize("share", [0.0, 0.06, 0.5, 1.0])
    def test_the_share_of_full_windows_is_kept(self, order, share):
        found = drawn(order(full_windows=share))
        assert abs(sum(draw.full for draw in found) - share * len(found)) <= 1

    @pytest.mark.parametrize("processes", [2, 3, 16])
    def test_processes_share_every_batch(self, order, processes):
        shares = [list(order(process=process, processes=processes)) for process in range(processes)]
        for whole, parts in zip(order(), zip(*shares, strict=True), strict=True):
            assert all(parts), "a process without a clip would leave the others waiting"
            assert sorted(draw for part in parts for draw in part if not draw.idle) == sorted(whole)
            sizes = [len([draw for draw in part if not draw.idle]) for part in parts]
            assert max(sizes) - min(sizes) <= 1


class TestSeconds:
    @pytest.mark.parametrize("share", [0.0, 0.06, 0.3])
    @pytest.mark.parametrize("seconds", [30, 60, 200])
    def test_no_batch_is_over_its_budget(self, seconds, share):
        order = by_seconds(seconds, full_windows=share)
        for epoch in range(4):
            order.set_epoch(epoch)
            assert max(map(padded, order)) <= seconds

    def test_the_budget_is_used_and_little_is_padding(self):
        batches = list(by_seconds(60, full_windows=0))
        assert len(batches) <= 1.25 * sum(DURATIONS) / 60 + 1
        assert sum(map(padded, batches)) <= 1.15 * sum(DURATIONS)

    def test_clips_of_like_length_change_places(self):
        order = BatchOrder(BySeconds([2.0 + 0.001 * i for i in range(64)], 30, 0), 0, 0)
        first = {frozenset(draw.clip for draw in batch) for batch in order}
        order.set_epoch(1)
        assert not first & {frozenset(draw.clip for draw in batch) for batch in order}


def test_batches_by_number_are_of_like_length():
    spread = [max(lengths) - min(lengths) for lengths in ([DURATIONS[d.clip] for d in batch] for batch in by_number())]
    shuffled = random.Random(0).sample(DURATIONS, len(DURATIONS))
    unsorted = [max(shuffled[at : at + 8]) - min(shuffled[at : at + 8]) for at in range(0, len(shuffled), 8)]
    assert sum(spread) < sum(unsorted) / 3
