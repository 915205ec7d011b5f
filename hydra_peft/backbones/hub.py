"""Weights from timm's hub, without minutes of retries where there is no network."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlparse

from torch import nn

_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def load_from_hub(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return timm's pretrained model without a head, from the hub or the hub's local cache.

    Raises:
        Exception: whatever timm and huggingface_hub raise; they use a dozen unrelated kinds.
    """
    import timm
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    # Offline, the local cache still serves, and a missing file is known at once, not after a
    # minute of retries.
    constants.HF_HUB_OFFLINE = before or not _reachable(constants.ENDPOINT)
    try:
        model: nn.Module = timm.create_model(
            architecture, pretrained=True, num_classes=0, **arguments
        )
    finally:
        constants.HF_HUB_OFFLINE = before
    return model


def _reachable(endpoint: str) -> bool:
    """Whether the host of ``endpoint`` has an address; behind a proxy only the proxy knows."""
    if any(os.environ.get(name) for name in _PROXIES):
        return True
    try:
        socket.getaddrinfo(urlparse(endpoint).hostname, 443)
    except OSError:
        return False
    return True
