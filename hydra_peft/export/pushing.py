"""Pushing a run, in one of the forms of export, or a saved adapter to the Hugging Face hub."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hydra_peft.checkout import CACHE
from hydra_peft.errors import UserError
from hydra_peft.export.exporting import CARD, check_form, export_run
from hydra_peft.files import atomic_write, named_path
from hydra_peft.hub import check_can_push, push
from hydra_peft.runs.folder import ADAPTER, check_run_folder

#: how the card says where each form is loaded from, and what that is on the hub
_ON_HUB = {
    "adapter": ("'<this folder>'", "'hf://{}'"),
    "peft": ("'<this folder>'", "'{}'"),
    "timm": ("'local-dir:<this folder>'", "'hf-hub:{}'"),
}


def push_run(
    run: str | Path,
    repository: str,
    form: str = "adapter",
    *,
    private: bool = False,
    checkpoint: str | None = None,
    data: str | None = None,
    cache: str | Path = CACHE,
) -> str:
    """Export a completed run, checked as :func:`export_run` does, and push it with its card.

    ``load_adapter(model, "hf://<user>/<name>")`` loads what ``form="adapter"`` pushed,
    ``timm.create_model("hf-hub:<user>/<name>", pretrained=True)`` what ``form="timm"`` did, and
    ``PeftModel.from_pretrained(model, "<user>/<name>")`` that of ``form="peft"``.

    Args:
        run: a completed run's folder.
        repository: ``<user>/<name>``; made if it is not there.
        form: what is pushed, see :func:`export_run`.
        private: whether a repository that is made is private.
        checkpoint, data, cache: see :func:`export_run`.

    Returns:
        The address of the commit.

    Raises:
        UserError: see :func:`export_run`; or there is no network, nobody is logged in, or the hub
            did not take it.
    """
    check_form(form)
    check_can_push(repository)
    folder = named_path(run, "the run's folder")
    check_run_folder(folder)
    with tempfile.TemporaryDirectory(prefix="hydra_peft-") as place:
        written = export_run(
            folder, form, Path(place) / form, checkpoint=checkpoint, data=data, cache=cache
        )
        here, there = _ON_HUB.get(form, ("", ""))
        card = (written / CARD).read_text(encoding="utf-8")
        if here:
            card = card.replace(here, there.format(repository))
        atomic_write(written / CARD, card.encode())
        names = sorted(path.name for path in written.iterdir())
        return push(written, names, repository, private=private, title=_title(card))


def push_adapter(folder: str | Path, repository: str, *, private: bool = False) -> str:
    """Push a folder that :func:`~hydra_peft.save_adapter` wrote, and ``README.md`` if it has one.

    Returns:
        The address of the commit.

    Raises:
        UserError: it holds no adapter; there is no network, nobody is logged in, or the hub did not
            take it.
    """
    folder = named_path(folder, "the adapter's folder")
    for name in ADAPTER:
        if not (folder / name).is_file():
            raise UserError(f"{folder} has no {name}: give a folder that save_adapter wrote.")
    names = [*ADAPTER, *([CARD] if (folder / CARD).is_file() else [])]
    return push(folder, names, repository, private=private, title="adapter of hydra_peft")


def _title(card: str) -> str:
    return next(line[2:] for line in card.splitlines() if line.startswith("# "))
