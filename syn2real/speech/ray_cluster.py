"""Reaching a Ray cluster."""

import logging
import os
import socket
from typing import Any

from syn2real.errors import UserError, one_line

REACH = 10.0  # s to wait for the cluster to answer


def connect(ray: Any, address: str | None, workers: int | None) -> None:
    """Join a running cluster, or start one here. Raises `UserError` when that cannot be done."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    options = {"address": address} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        _require_listener(address)
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UserError(f"cannot reach Ray at {address or 'this machine'}: {one_line(error)}") from error


def _require_listener(address: str | None) -> None:
    """Raise `OSError` where nobody listens, for which Ray would wait minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH):
            pass
