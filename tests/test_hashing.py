import os

import pytest

from syn2real import hashing
from syn2real.hashing import forget_sha256, remembered_sha256, sha256_file


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("SYN2REAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hashing, "SETTLED", -1.0)
    path = tmp_path / "weights"
    path.write_bytes(b"first")
    return path


def test_a_hash_is_remembered_until_the_file_changes(file, monkeypatch):
    first = remembered_sha256(file)
    assert first == sha256_file(file)
    with monkeypatch.context() as patch:
        patch.setattr(hashing, "sha256_file", lambda path: pytest.fail("read again"))
        assert remembered_sha256(file) == first
    stat = file.stat()
    file.write_bytes(b"other")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same date: the time of change tells
    assert remembered_sha256(file) == sha256_file(file) != first


def test_what_was_written_just_now_is_not_remembered(file, tmp_path, monkeypatch):
    monkeypatch.setattr(hashing, "SETTLED", 3600.0)
    remembered_sha256(file)
    assert not (tmp_path / "cache" / "hashes").exists()


def test_forgetting(file, tmp_path):
    remembered_sha256(file)
    forget_sha256(file)
    assert not any((tmp_path / "cache" / "hashes").iterdir())
    forget_sha256(file)
