"""What the tables of a study of language models say of answers that the judge gave no verdict on."""

from typing import Any

from syn2real.reports.alignment_tables import curves_table, systems_table

SHARE = {"rate": 0.5, "ci_low": 0.25, "ci_high": 0.75}


def system(name: str, scale: float | None, harmful: int, harmless: int) -> dict[str, Any]:
    found = {"system": name, "scale": scale, "models": 3, "unparsed": harmful, "unparsed_harmless": harmless}
    return found | dict.fromkeys(("attack_success", "over_refusal", "utility"), SHARE)


def record(*unparsed: tuple[int, int]) -> dict[str, Any]:
    counts = {"harmful": 40, "harmless": 20, "task": 5}
    return {
        "asked": {f"{part}_{kind}": count for part in ("validation", "test") for kind, count in counts.items()},
        "systems": [system("linear", 0.1 * place, *counted) for place, counted in enumerate(unparsed)],
        "curves": {"linear": [system("linear", 0.1 * place, *counted) for place, counted in enumerate(unparsed)]},
        "chosen": {"linear": 0.0},
        "recipe": {
            "seeds": [1, 2, 3],
            "attack_share": 0.5,
            "safety": {"judge": "refusal"},
            "task": {"metric": "exact", "options": {}},
        },
    }


def test_answers_without_a_verdict_are_shown_where_there_are_any():
    for make in (systems_table, curves_table):
        plain, told = make(record((0, 0), (0, 0))), make(record((0, 0), (90, 2)))
        assert "unparsed" not in "".join(plain.columns) and "Unparsed" not in plain.note
        assert told.columns == (*plain.columns, "unparsed, harmful", "unparsed, harmless")
        assert [row.cells[-2:] for row in told.rows] == [("0 of 120", "0 of 60"), ("90 of 120", "2 of 60")]
        assert "which the rates leave out" in told.note
        assert all(len(row.cells) == len(table.columns) for table in (plain, told) for row in table.rows)
