"""Asking the hub without a network."""

from __future__ import annotations

import socket

import pytest
import timm
from huggingface_hub import constants

from hydra_peft.backbones.hub import ask_hub


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether huggingface_hub was offline at each call of timm."""
    states: list[bool] = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        timm, "create_model", lambda *_, **__: states.append(constants.HF_HUB_OFFLINE)
    )
    return states


def fail(*_: object) -> None:
    raise socket.gaierror("no such host")


def test_without_a_network_only_the_local_cache_is_asked(
    seen: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    ask_hub("vit_tiny_patch16_224", {})
    assert seen == [True]
    assert constants.HF_HUB_OFFLINE is False


def test_with_a_network_or_a_proxy_the_hub_is_asked(
    seen: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
    ask_hub("vit_tiny_patch16_224", {})
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    ask_hub("vit_tiny_patch16_224", {})
    assert seen == [False, False]
