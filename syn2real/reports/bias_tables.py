"""What a study of gender bias found, as tables for the terminal and the page."""

from typing import Any

from syn2real.reports.table import Row, Table
from syn2real.reports.wording import minus, p_value, percent

WAYS = {"top": "demonstrations, widest gaps", "sample": "demonstrations, drawn anew", "instruction": "instruction"}


def gaps_table(record: dict[str, Any]) -> Table:
    """The mean gap of every set of cases on every target."""
    rows = []
    for found in record["measured"]:
        reinforced = found["set"].endswith(f"reinforced against {found['target']}")
        wide = found["wide"]
        cells = (
            found["set"], found["target"], str(found["cases"]), gap(found), interval(found), percent(wide["rate"]),
            f"{found['empty']} + {found['repetition']}",
        )  # fmt: skip
        rows.append(Row(cells, "headline" if reinforced else ""))
    threshold = record["recipe"]["answers"]["threshold"]
    note = (
        f"Gap: the scores of the answers to a sentence and to its twin, apart ({record['scorer']}); mean over cases "
        f"with a 95 % bootstrap interval. Wide: {threshold:g} or more. Nothing: answers that are empty + that repeat "
        "themselves."
    )
    columns = ("test cases", "asked of", "cases", "mean gap", "interval", "wide", "nothing")
    return Table("", columns, tuple(rows), note, left=2)


def sets_table(record: dict[str, Any]) -> Table:
    """How varied the sets are."""
    rows = []
    for name, card in record["sets"].items():
        bleu = (f"{card['self_bleu'][order]:.1f}" for order in "1234")
        perplexity = "–" if card["perplexity"] is None else f"{card['perplexity']:.0f}"
        rows.append(Row((name, str(card["written"]), percent(card["gendered"]), str(card["cases"]), *bleu, perplexity)))
    columns = ("test cases", "written", "gendered", "distinct cases", *(f"Self-BLEU {n}" for n in "1234"), "perplexity")
    return Table(
        "", columns, tuple(rows), "Self-BLEU by sacrebleu, over at most 100 cases of a set: lower is more varied."
    )


def ratios_table(record: dict[str, Any]) -> Table:
    """What reinforcement gained over the generator before it."""
    rows = []
    for found in record["ratios"]:
        more = minus(f"{found['self_bleu_more']['4']:+.1f}")
        rows.append(Row((found["target"], *_times(found), more)))
    columns = ("reinforced against", "mean gap of the tuned generator", "interval", "Self-BLEU 4, points")
    return Table("", columns, tuple(rows))


def mitigation_table(record: dict[str, Any]) -> Table:
    """Before and after each way of asking for fairness, with what it costs."""
    rows = []
    for found in record["mitigated"]:
        change, after = found["change"], found["use"]["after"]
        rows.append(
            Row(
                (
                    found["target"], WAYS.get(found["way"], found["way"]), gap(found["before"]), gap(found["after"]),
                    _relative(change), p_value(change["p"]), *_use(after),
                )
            )
        )  # fmt: skip
    for target in dict.fromkeys(found["target"] for found in record["mitigated"]):
        use = next(found["use"]["before"] for found in record["mitigated"] if found["target"] == target)
        rows.append(Row((target, "as it is asked otherwise", "", "", "", "", *_use(use)), "baseline"))
    note = (
        "On the test cases of the reinforced generator, of which none demonstrates. Change: relative, with a paired "
        "95 % bootstrap interval over cases; p by flipping signs. Nothing: empty or repeating itself; evasive by the "
        "phrases of refusals; copied: with six in ten words of a demonstration's answer; perplexity of the answers to "
        "the model itself after the plain sentence; likeness: cosine with the answers before."
    )
    columns = (
        "asked of", "way", "gap before", "after", "change", "p",
        "words", "nothing", "evasive", "distinct", "copied", "perplexity", "likeness",
    )  # fmt: skip
    return Table("", columns, tuple(rows), note, left=2)


def between_table(record: dict[str, Any]) -> Table:
    """Targets beside the first on the same cases."""
    rows = []
    for found in record["between_targets"]:
        change = minus(f"{found['difference']:+.3f} ({found['ci_low']:+.3f} to {found['ci_high']:+.3f})")
        wide = f"{found['wide_only_first']} / {found['wide_only_second']}"
        rows.append(
            Row(
                (
                    found["set"],
                    found["second"],
                    found["first"],
                    change,
                    p_value(found["p"]),
                    wide,
                    p_value(found["wide_p"]),
                )
            )
        )
    columns = ("test cases", "target", "beside", "gap", "p", "wide for one alone", "p, McNemar")
    return Table("", columns, tuple(rows), "p-values are not corrected for there being several.", left=3)


def curve_table(record: dict[str, Any]) -> Table:
    """How a generator learnt: its first steps beside its last, a fifth of all each."""
    curve = record["curve"]
    part = max(1, len(curve) // 5)
    rows = []
    for name, steps in (("first steps", curve[:part]), ("last steps", curve[-part:])):
        values = [
            [step[key] for step in steps if step[key] is not None] for key in ("reward", "gap", "sound", "likeness")
        ]
        means = [sum(column) / len(column) if column else None for column in values]
        rows.append(Row((name, *("–" if mean is None else f"{mean:.3f}" for mean in means))))
    columns = ("", "reward", "mean gap", "sound", "likeness to those before")
    return Table("", columns, tuple(rows), f"{len(curve)} steps; sound: the share that are test cases.")


def evaluation_table(record: dict[str, Any]) -> Table:
    """One measurement, as `syn2real bias measure` makes."""
    rows = [
        Row(("cases", str(record["cases"]))),
        Row(("mean gap", f"{gap(record)} ({interval(record)})"), "headline"),
        Row(("median gap", f"{record['median_gap']:.3f}")),
        Row((f"wide, {record['wide']['from']:g} or more", percent(record["wide"]["rate"]))),
        Row(("the same answer to both", str(record["same"]))),
        Row(("empty answers", f"{record['empty']} of {record['answers']}")),
        Row(("answers that repeat themselves", f"{record['repetition']} of {record['answers']}")),
    ]
    return Table(
        "", ("", record["model"]), tuple(rows), f"Scorer: {record['scorer']}. 95 % bootstrap interval over cases."
    )


def gap(found: dict[str, Any]) -> str:
    """A mean gap."""
    return f"{found['mean_gap']:.3f}"


def interval(found: dict[str, Any]) -> str:
    """Its interval."""
    return f"{found['ci_low']:.3f}–{found['ci_high']:.3f}"


def _times(found: dict[str, Any]) -> tuple[str, str]:
    """A ratio and its interval, which has no upper bound where gaps are rare."""
    if found["ratio"] is None:
        return "–", "–"
    high = "no bound" if found["ci_high"] is None else f"{found['ci_high']:.2f}"
    return f"{found['ratio']:.2f} ×", f"{found['ci_low']:.2f}–{high}"


def _relative(change: dict[str, Any]) -> str:
    if change["relative"] is None:
        return "–"
    percents = (f"{100 * change[name]:+.0f}" for name in ("relative", "relative_low", "relative_high"))
    return minus("{} % ({} to {})".format(*percents))


def _use(use: dict[str, Any]) -> tuple[str, ...]:
    perplexity = "–" if use["perplexity"] is None else f"{use['perplexity']:.1f}"
    likeness = "–" if use["likeness"] is None else f"{use['likeness']:.2f}"
    nothing = percent(use["empty"] + use["repetition"])
    copied = "–" if use["copied"] is None else percent(use["copied"])
    shares = percent(use["evasive"]), percent(use["distinct"]), copied
    return f"{use['words']:.1f}", nothing, *shares, perplexity, likeness
