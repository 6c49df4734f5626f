"""The files of a grid's report: whole, self-contained, escaped, the same every time, and true to the record."""

import csv
import json
import re
from collections.abc import Callable
from copy import deepcopy
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import grid_records
import pytest
from grid_records import make_record, whole_grid
from rich.console import Console

from syn2real.reports.examples import worst_utterances
from syn2real.reports.grid_figures import draw_lambda
from syn2real.reports.grid_files import spreadsheets, write_grid_report
from syn2real.reports.grid_page import markdown_report, render_grid
from syn2real.reports.grid_terminal import print_grid
from syn2real.reports.plan import print_plan
from syn2real.reports.table import markdown_text

FILES = {
    "report.html",
    "report.md",
    "systems.csv",
    "domains.csv",
    "lambdas.csv",
    "pairs.csv",
    "vectors.csv",
    "transfer.csv",
    "utterances.csv",
    "domains.png",
    "lambda.png",
    "vectors.png",
    "transfer.png",
}
VOID = {"meta", "img", "br", "input", "hr", "link"}


class Page(HTMLParser):
    """What a browser would make of a page: tags in order, addresses, visible text; complains of what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def grid_record() -> dict[str, Any]:
    return whole_grid()


@pytest.fixture(scope="module")
def report(grid_record: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("report")
    write_grid_report(grid_record, directory)
    return directory


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def changed(record: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    copy = deepcopy(record)
    change(copy)
    return copy


def test_files_are_all_there_and_always_the_same(report, grid_record, tmp_path):
    assert {path.name for path in report.iterdir()} == FILES
    write_grid_report(json.loads(json.dumps(grid_record)), tmp_path)
    for path in report.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_page_is_whole_and_needs_nothing_else(report):
    page = Page((report / "report.html").read_text())
    assert all(address.startswith("data:") for address in page.addresses)
    assert page.tags.count("img") == 4 and not {"script", "link", "iframe"} & set(page.tags)
    assert not re.search(r"url\(|@import|https?:", (report / "report.html").read_text())
    for title in ("All systems, short windows", "Target by target", "What was forgotten", "Every system against every"):
        assert title in page.words


def test_texts_from_outside_are_escaped(report):
    page, source = Page((report / "report.html").read_text()), (report / "report.html").read_text()
    assert "SYN2REAL on <learners> of English" in page.words and "<learners>" not in source
    assert "<b>every</b> text" in page.words and "b" not in page.tags
    assert "\\<learners\\>" in (report / "report.md").read_text()


def test_pictures_can_be_seen(report):
    image = pytest.importorskip("PIL.Image")
    for name in ("domains.png", "lambda.png", "vectors.png", "transfer.png"):
        with image.open(report / name) as picture:
            assert min(picture.size) > 250 and len(picture.convert("L").getcolors()) > 50


def test_spreadsheets_hold_the_record_unrounded(grid_record):
    sheets = {name: rows(text) for name, text in spreadsheets(grid_record).items()}
    groups = grid_record["comparison"]["groups"]
    systems = [row for group in groups for row in group["systems"]]
    assert [float(row["wer"]) for row in sheets["systems.csv"]] == [row["wer"] for row in systems]
    assert [row["system"] for row in sheets["systems.csv"]] == [row["name"] for row in systems]
    parts = [part for row in systems for part in row["domains"]]
    assert [float(row["ci_low"]) for row in sheets["domains.csv"]] == [part["ci_low"] for part in parts]
    pairs = [pair for group in groups for pair in group["pairs"]]
    assert [float(row["p_holm"]) for row in sheets["pairs.csv"]] == [pair["p_holm"] for pair in pairs]
    points = [p for row in grid_record["lambdas"] for curve in ("curve", "target_curve") for p in row[curve]]
    assert [int(row["errors"]) for row in sheets["lambdas.csv"]] == [point["errors"] for point in points]
    vectors, transfer = grid_record["vectors"], grid_record["transfer"]
    cosines = [value for table in (vectors["cosine"], *vectors["groups"].values()) for row in table for value in row]
    assert [float(row["cosine"]) for row in sheets["vectors.csv"]] == cosines
    gains = [value for row in transfer["relative"] for value in row]
    assert [row["relative"] for row in sheets["transfer.csv"]] == ["" if x is None else str(x) for x in gains]
    heard = [text for row in grid_record["utterances"] for text in row["hypotheses"].values()]
    assert [row["hypothesis"] for row in sheets["utterances.csv"]] == heard


def test_markdown_says_what_the_pictures_and_the_page_show(grid_record):
    text = markdown_report(grid_record, {})
    name = markdown_text(grid_record["vectors"]["names"][0])
    assert f"| {name} | 3.1 | 1.00 |" in text and "**cross attention**" in text
    assert f"| {name} | – | −28.0 % (" in text
    worst = worst_utterances(grid_record["utterances"], "syn2real", "target-synthetic")[0]
    at = text.index(f"- {markdown_text(worst['target'])} · ")
    for said in (worst["reference"], worst["hypotheses"]["syn2real"]):
        assert markdown_text(said) in text[at:]


def test_curves_of_different_sums_are_not_pooled(grid_record):
    only, without = (
        changed(grid_record, lambda r, w=w: r.update(lambdas=[x for x in r["lambdas"] if bool(x["sum"]) == w]))
        for w in (True, False)
    )
    assert only["lambdas"] and draw_lambda(only) is None
    assert draw_lambda(grid_record) == draw_lambda(without)


def test_a_record_from_before_sums_were_chosen(grid_record):
    old = changed(grid_record, lambda record: [row.pop("sum") for row in record["lambdas"]])
    found = rows(spreadsheets(old)["lambdas.csv"])
    assert found and all(row["sum"] == "" for row in found)


def test_what_there_is_nothing_of_is_left_out(grid_record, tmp_path):
    (tmp_path / "vectors.png").write_bytes(b"of an earlier run")
    bare = changed(grid_record, lambda r: r.update(vectors=None, transfer=None, lambdas=[], utterances=[], note=""))
    for group in bare["comparison"]["groups"]:
        for row in group["systems"]:
            row["elsewhere"] = None
    write_grid_report(bare, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"lambda.png", "vectors.png", "transfer.png"}
    page = Page((tmp_path / "report.html").read_text())
    assert page.tags.count("img") == 1
    for title in ("The vectors", "How much of the vector", "What was forgotten", "A λ for each group"):
        assert title not in page.words
    assert "SYN2REAL, whose errors are shown here, was not heard." in page.words
    assert (tmp_path / "lambdas.csv").read_text() == ""


def test_where_nothing_is_wrong(grid_record, tmp_path):
    right = changed(grid_record, lambda r: [u["errors"].update(dict.fromkeys(u["errors"], 0)) for u in r["utterances"]])
    write_grid_report(right, tmp_path)
    assert "Nowhere: every test utterance is right." in Page((tmp_path / "report.html").read_text()).words


def test_leaks_and_failures_stand_first(grid_record):
    def spoil(record: dict[str, Any]) -> None:
        record["leaks"] = ["selection: <target-dev> hears the target"]
        record["cells"][3] |= {"status": "failed", "error": "disk full | really"}

    broken = changed(grid_record, spoil)
    page = Page(render_grid(broken, {}))
    assert page.words.index("Leak, allowed by the recipe: selection: <target-dev>") < page.words.index("Short windows")
    assert page.words.index("1 cell failed and is missing") < page.words.index("disk full | really")
    text = markdown_report(broken, {})
    assert "> **Leak.** selection: \\<target-dev\\>" in text and "disk full \\| really" in text


def test_a_grid_of_many_conditions_has_an_overview(grid_record):
    def another(record: dict[str, Any]) -> None:
        groups = record["comparison"]["groups"]
        groups += [{**group, "model": "whisper-base"} for group in deepcopy(groups)]
        record["lambdas"] += [{**row, "model": "whisper-base"} for row in deepcopy(record["lambdas"])]
        record["sizes"] = [{"model": "whisper-base", "parameters": 72_593_920, "norm": 3.14159, "share": 0.0123}]

    both = changed(grid_record, another)
    page = Page(render_grid(both, {"lambda.png": draw_lambda(both) or b""}))
    assert "Overview" in page.words and page.words.count("whisper-base, espeak+hibari, short windows: WER") == 1
    assert "whisper-base 72.6 3.14 1.23 %" in page.words and page.tags.count("img") == 1
    text = markdown_report(both, {})
    assert "700 clips (60.0 min) of 40 speakers." in text
    assert "## whisper-base, espeak+hibari" in text and "| whisper-base | 72.6 | 3.14 | 1.23 % |" in text


def test_worst_utterances_are_aligned_and_heard(grid_record, tmp_path):
    sound = tmp_path / "a.wav"
    sound.write_bytes(b"RIFF")
    worst = max(grid_record["utterances"], key=lambda row: row["errors"]["syn2real"])
    record = changed(grid_record, lambda r: [row.update(audio=str(sound)) for row in r["utterances"]])
    page = Page(render_grid(record, {}))
    assert worst["reference"] in page.words and "data:audio/wav;base64,UklGRg==" in page.addresses
    assert page.tags.count("audio") == 12


def test_terminal_shows_brackets_as_they_are(grid_record):
    def spoil(record: dict[str, Any]) -> None:
        record["leaks"] = ["[red]leak[/red]"]
        record["cells"][0] |= {"status": "failed", "error": "[bold]x"}

    console = Console(record=True, width=200, file=StringIO())
    print_grid(changed(grid_record, spoil), console)
    shown = console.export_text()
    assert "[red]leak[/red]" in shown and "[bold]x" in shown
    row = next(line for line in shown.splitlines() if line.strip().startswith("SYN2REAL  "))
    assert f"{100 * grid_record['comparison']['groups'][0]['systems'][7]['wer']:.1f} %" in row
    assert "fewer errors than tuning on synthetic speech alone" in shown.splitlines()[-1]


def test_a_plan_names_stages_and_what_is_left():
    stages = [
        {"name": "speech", "title": "text of [topic0]", "amount": 240.0, "seconds": 30.0, "done": True},
        {"name": "model", "title": "target synthetic", "amount": 1480.0, "seconds": 9000.0, "done": False},
    ]
    console = Console(record=True, width=120, file=StringIO())
    print_plan({"cells": 2, "stages": stages, "done": 1, "seconds": 4500, "cores": 2}, console)
    shown = console.export_text()
    assert "2 cells, 2 stages" in shown and "text of [topic0]" in shown and "2.5 h" in shown and "1,480" in shown
    assert "1 to do, 1 done already: roughly 75 min on 2 cores" in shown


@pytest.mark.parametrize("systems", [["source-real"], ["average", "best-sum", "source-synthetic"]])
def test_a_grid_without_the_usual_systems_is_reported(systems, monkeypatch, tmp_path):
    monkeypatch.setattr(grid_records, "RATES", {name: grid_records.RATES[name] for name in systems})
    write_grid_report(make_record(draws=50), tmp_path)
    assert (tmp_path / "domains.png").is_file() and (tmp_path / "report.html").is_file()
