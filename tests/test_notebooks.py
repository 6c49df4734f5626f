"""Notebooks run from the first cell to the last, and are kept without their outputs."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("transformers")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert cell.cell_type != "code" or (not cell.outputs and cell.execution_count is None)


@pytest.mark.parametrize(
    "name, words",
    [
        ("01_adapt_with_text_only", ("adapted-0.5", "WER")),
        ("02_what_is_in_the_vector", ("cross_attention", "relative error", "cosine to the dense vector 0.99")),
        ("03_evaluate_and_compare", ("by voice", "p: bootstrap", "the same from files: True")),
        ("04_safe_merging", ("fine-tuned   attack success", "merged       attack success", "less merged")),
        ("05_bias", ("355 pairs", "mean gap after", "distinct")),
    ],
)
def test_notebooks_run(tiny_en, smollm2, name, words):
    pytest.importorskip("espeakng_loader")
    (path,) = [path for path in NOTEBOOKS if path.stem == name]
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}})
    client.execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    assert all(word in printed for word in words), printed
