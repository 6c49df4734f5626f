"""Zenodo's records: where a file lies, how large it is and the MD5 that is published for it."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass

from syn2real.errors import UserError, did_you_mean
from syn2real.speech.corpora.fetching import request, sum_of

_LARGEST = 8 << 20  # bytes of a record
_PATIENCE = 60  # s


@dataclass(frozen=True)
class RecordFile:
    """One file of a record."""

    name: str
    url: str
    checksum: str  # md5:…
    size: int | None  # bytes


def record_file(address: str, name: str) -> RecordFile:
    """The file called ``name`` in the record whose API address this is.

    Raises `UserError` when the address cannot be read or the record has no such file.
    """
    try:
        with urllib.request.urlopen(request(address), timeout=_PATIENCE) as answer:
            record = json.loads(answer.read(_LARGEST))
        files = {str(file["key"]): file for file in record["files"]}
    except urllib.error.HTTPError as error:
        raise UserError(f"{address}: {error.code} {error.reason}; name the record's address with --record") from error
    except OSError as error:
        raise UserError(
            f"{address}: cannot be read ({error}); fetch {name} yourself and give it with --from"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{address}: is no record as Zenodo publishes them; give its API address") from error
    if name not in files:
        raise UserError(f"{address}: holds no {name}{did_you_mean(name, files)}")
    file = files[name]
    try:
        size = file.get("size")
        known = size if isinstance(size, int) else None
        return RecordFile(name, str(file["links"]["self"]), sum_of(str(file["checksum"])), known)
    except (KeyError, TypeError) as error:
        raise UserError(f"{address}: has no link or no sum for {name}; pass --checksum, or --from a copy") from error
