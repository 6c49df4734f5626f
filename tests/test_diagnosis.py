"""`doctor` reports what is broken; it does not break."""

import sys

from syn2real.diagnosis import diagnose


def test_a_torch_that_does_not_import_is_a_finding(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = {finding.what: finding for finding in diagnose()}
    assert found["torch"].state == "broken"
    assert "reinstall" in found["torch"].remedy
    assert found["disk"].detail


def test_merging_without_compiled_loops_is_a_finding(monkeypatch):
    monkeypatch.setattr("syn2real.merge.kernels._LIBRARY", None)
    found = {finding.what: finding for finding in diagnose()}
    assert found["merge loops"].state == "absent" and "compiler" in found["merge loops"].remedy


def test_a_library_that_does_not_load_is_a_finding(monkeypatch):
    def fail(names):
        raise OSError("libsndfile.so: cannot open shared object file")

    monkeypatch.setattr("syn2real.speech.engines.missing_engines", fail)
    found = {finding.what: finding for finding in diagnose()}
    assert found["engines"].state == "broken" and "libsndfile" in found["engines"].detail
