import hashlib
from pathlib import Path

import numpy as np
import pytest

from syn2real.errors import UserError
from syn2real.speech.corpora.debian import fetch_package
from syn2real.speech.corpora.fetching import cached, download, fetch_file, sum_of
from syn2real.speech.corpora.zenodo import record_file

BODY = np.random.default_rng(0).bytes(3_000_000)
MD5, SHA256 = hashlib.md5(BODY).hexdigest(), hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize("checksum", [SHA256, f"sha256:{SHA256}", f"md5:{MD5}", f"MD5:{MD5.upper()}"])
def test_a_transfer_that_breaks_off_is_taken_up_again(tmp_path: Path, server, checksum: str) -> None:
    server.files["a"] = BODY
    server.breaks = [1_200_000, 1_000_000]
    target = tmp_path / "cache" / "a.tar.gz"
    assert download(f"{server.address}/a", target, checksum, len(BODY)).read_bytes() == BODY
    assert [asked for _, asked in server.asked] == [None, "bytes=1200000-", "bytes=2200000-"]
    assert [path.name for path in target.parent.iterdir()] == ["a.tar.gz"]


def test_what_brings_nothing_more_is_left_for_the_next_call(tmp_path: Path, server) -> None:
    server.files["a"] = BODY
    server.breaks = [1_200_000, 0]
    target = tmp_path / "a"
    with pytest.raises(UserError, match=r"broke off after 1200000 of 3000000.*run the same command again to resume"):
        download(f"{server.address}/a", target, SHA256)
    assert not target.exists()
    assert download(f"{server.address}/a", target, SHA256).read_bytes() == BODY
    assert server.asked[-1] == ("a", "bytes=1200000-")


def test_a_server_without_ranges_begins_again_and_is_not_asked_for_ever(tmp_path: Path, server) -> None:
    server.files["a"], server.ranges = BODY, False
    server.breaks = [1_200_000]
    assert download(f"{server.address}/a", tmp_path / "a", SHA256).read_bytes() == BODY
    server.breaks = [1_200_000] * 9
    with pytest.raises(UserError, match="broke off"):
        download(f"{server.address}/a", tmp_path / "b", SHA256)
    assert len(server.breaks) == 7


def test_another_sum_is_thrown_away(tmp_path: Path, server) -> None:
    server.files["a"] = BODY
    with pytest.raises(UserError, match=rf"has MD5 {MD5}, expected MD5 00; it was thrown away"):
        download(f"{server.address}/a", tmp_path / "in" / "a", "md5:00")
    assert list((tmp_path / "in").iterdir()) == []
    with pytest.raises(UserError, match="unknown algorithm; write one of md5"):
        sum_of("crc:00")


def test_a_beginning_of_another_file_is_started_over(tmp_path: Path, server) -> None:
    server.files["a"] = b"right" * 1_000
    right = hashlib.sha256(server.files["a"]).hexdigest()
    for wrong in (b"wrong" * 100, b"wrong" * 9_000):
        (tmp_path / ".a.partial").write_bytes(wrong)
        assert download(f"{server.address}/a", tmp_path / "a", right).read_bytes() == server.files["a"]
    with pytest.raises(UserError, match="cannot be fetched"):
        download("http://127.0.0.1:9/none", tmp_path / "b", right)
    with pytest.raises(UserError, match="not an address of the web"):
        download("file:///etc/passwd", tmp_path / "b", right)
    with pytest.raises(UserError, match="404"):
        download(f"{server.address}/none", tmp_path / "b", right)


def test_a_disk_that_is_too_small_is_told_first(tmp_path: Path, server) -> None:
    with pytest.raises(UserError, match="no space left"):
        download(f"{server.address}/a", tmp_path / "a", SHA256, 1 << 60)
    assert server.asked == []


def test_files_without_a_sum_are_never_pieced_together(tmp_path: Path, server) -> None:
    server.files["t.jsonl"] = b"new" * 100
    (tmp_path / ".t.jsonl.partial").write_bytes(b"old")
    assert fetch_file(f"{server.address}/t.jsonl", tmp_path / "t.jsonl").read_bytes() == b"new" * 100
    assert server.asked == [("t.jsonl", None)]


def test_records_tell_place_sum_and_size(server) -> None:
    server.files["r"] = (
        b'{"id": 7, "files": [{"key": "a.gz", "size": 3, "checksum": "md5:0A", "links": {"self": "http://x/a"}},'
        b' {"key": "b.gz"}]}'
    )
    found = record_file(f"{server.address}/r", "a.gz")
    assert (found.url, found.checksum, found.size) == ("http://x/a", "md5:0a", 3)
    for name, problem in (("a.tgz", "did you mean 'a.gz'"), ("b.gz", "no link or no sum for b.gz; pass --checksum")):
        with pytest.raises(UserError, match=problem):
            record_file(f"{server.address}/r", name)
    server.files["r"] = b"<html>"
    for address, problem in ((f"{server.address}/r", "is no record"), (f"{server.address}/s", "404 .* --record")):
        with pytest.raises(UserError, match=problem):
            record_file(address, "a.gz")
    with pytest.raises(UserError, match=r"cannot be read .* give it with --from"):
        record_file("http://127.0.0.1:9/r", "a.gz")


def test_the_cache_is_used_once_filled_and_mended_when_damaged(tmp_path: Path) -> None:
    calls = []

    def obtain(folder: Path) -> Path:
        calls.append(folder)
        (folder / "a_1_all.deb").write_bytes(b"contents")
        return folder / "a_1_all.deb"

    first = cached(tmp_path / "c", obtain)
    assert cached(tmp_path / "c", obtain) == first and len(calls) == 1
    first.write_bytes(b"rotten")
    assert cached(tmp_path / "c", obtain).read_bytes() == b"contents" and len(calls) == 2


def test_apt_failures_say_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, body in (("apt-get", "echo 'E: no net' >&2; exit 100"), ("apt-cache", 'cat "$(dirname $0)/shown"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "shown").write_text("Version: 9-1\nSHA256: aa\n\nVersion: 2-1\nSHA256: bb\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(UserError, match=r"`apt-get download p=2-1` failed \(E: no net\); run `apt-get update`"):
        fetch_package("p", tmp_path, "2-1", {})
    with pytest.raises(UserError, match=r"download p=9-1` failed"):
        fetch_package("p", tmp_path, "3-1", {})
    (tmp_path / "apt-get").write_text("#!/bin/sh\necho content > p_2-1_all.deb\n")
    with pytest.raises(UserError, match=r"p_2-1_all.deb has SHA-256 .*, expected bb; it was thrown away"):
        fetch_package("p", tmp_path, "2-1", {})
    assert not (tmp_path / "p_2-1_all.deb").exists()
    (tmp_path / "shown").write_text("")
    with pytest.raises(UserError, match="does not know p; run `apt-get update`"):
        fetch_package("p", tmp_path, "2-1", {})
