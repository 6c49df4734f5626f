"""The collector rests during imports, and only then."""

import gc
import sys

import pytest

from syn2real.cli.startup import importing, load_recognisers


@pytest.fixture(autouse=True)
def _thawed():
    yield
    gc.unfreeze()


def test_the_collector_goes_on_afterwards():
    before = gc.get_freeze_count()
    with importing():
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
    assert gc.isenabled() and gc.get_freeze_count() >= before + len(kept)


def test_a_failed_import_does_not_leave_it_off():
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()


def test_recognisers_are_loaded_once():
    pytest.importorskip("transformers")
    load_recognisers()
    assert "transformers.models.whisper.modeling_whisper" in sys.modules
    before = gc.get_freeze_count()
    load_recognisers()
    assert gc.isenabled() and gc.get_freeze_count() == before
