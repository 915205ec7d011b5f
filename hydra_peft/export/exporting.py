"""Export of a completed run into the form of another library, checked before it is there."""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra_peft.adaptation.peft_files import CONFIG as PEFT_CONFIG
from hydra_peft.adaptation.peft_files import TENSORS as PEFT_TENSORS
from hydra_peft.checkout import CACHE
from hydra_peft.disk_errors import disk_reason, remedy
from hydra_peft.errors import UserError, check_one_of
from hydra_peft.export.stock import check_stock
from hydra_peft.files import atomic_write, content_of, named_path
from hydra_peft.runs.folder import ADAPTER, check_run_folder, holds_record
from hydra_peft.runs.record import read_record
from hydra_peft.runs.recorded import look_at_run

#: forms of export, each a module ``to_<form>`` that binds ``write(source, folder, images)``, which
#: returns its ModelCard; and the packages that each needs beyond ours
FORMS: dict[str, tuple[str, ...]] = {
    "timm": (),
    "adapter": (),
    "peft": ("peft",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "torch": (),
}
#: the model card, and how its first sentence begins
CARD, OURS = "README.md", "A run of hydra_peft, "
#: what each form writes beside it
_FILES = {
    "timm": ("config.json", "model.safetensors"),
    "adapter": ADAPTER,
    "peft": (PEFT_CONFIG, PEFT_TENSORS),
    "onnx": ("model.onnx", "preprocessing.json"),
    "torch": ("model.pt2", "preprocessing.json"),
}
#: those that are compared on images of the run's own, too
_ON_IMAGES = ("onnx", "torch")
#: a card of a thousand classes has some tens of thousands
_CARD_BYTES = 2**20


def export_run(
    run: str | Path,
    to: str = "timm",
    output: str | Path | None = None,
    *,
    checkpoint: str | None = None,
    data: str | None = None,
    cache: str | Path = CACHE,
    written: list[Path] | None = None,
) -> Path:
    """Write the model of a completed run in the form of another library.

    What was written is read back by that library and its outputs compared with those of the run's
    model on random images (``onnx`` and ``torch``: on some of the scored split too, where they are
    there); only then the files appear in ``output``.

    Args:
        run: a completed run's folder, as ``scripts/train.py`` printed it.
        to: ``timm``, merged weights that ``timm.create_model`` loads; ``adapter``, adapter and head
            that ``load_adapter`` puts on timm's model; ``peft``, an adapter that
            ``peft.PeftModel.from_pretrained`` loads onto timm's model; ``onnx``, a graph from
            pixels to logits; ``torch``, the same as a program of ``torch.export``.
        output: folder to write into; None is one named as the form in the run's folder. Files of an
            earlier export are replaced.
        checkpoint: the backbone's weights, where they have moved since; None takes the recorded.
        data: folder of prepared data, likewise.
        cache: where generated images are kept on this machine.
        written: gets the files that were written.

    Returns:
        The folder that was written.

    Raises:
        UserError: ``output`` is a run's folder, named as a file, or has files of these names that
            no export, or one of another form, wrote; the run did not complete or cannot be rebuilt;
            the form cannot hold what its method computes; the library is not installed; what was
            read back computes something else; the folder cannot be written.
    """
    check_form(to)
    folder = named_path(run, "the run's folder")
    check_run_folder(folder)
    target = folder / to if output is None else named_path(output, "output")
    endings = {Path(name).suffix for form in _FILES.values() for name in form}
    if target.suffix in endings and not target.is_dir():
        raise UserError(
            f"output={target} has the name of a file, and an export is a folder with several: name "
            f"that, such as output={target.with_suffix('')}."
        )
    if holds_record(target):
        raise UserError(
            f"output={target} is the folder of a run, whose own files an export would replace: "
            f"name a folder in it, such as {target / to}."
        )
    try:
        _check_free(target, [CARD, *_FILES[to]])  # before a model is built
        _check_run(folder, to, checkpoint)
        from hydra_peft.export.card import card_text
        from hydra_peft.export.scored_images import scored_images
        from hydra_peft.export.source import load_source

        form = importlib.import_module(f"hydra_peft.export.to_{to}")
        with _staged(target, written) as place:
            source = load_source(folder, checkpoint=checkpoint)
            images = None
            if to in _ON_IMAGES:
                images = scored_images(source, data=data, cache=named_path(cache, "cache"))
            card = form.write(source, place, images)
            atomic_write(place / CARD, card_text(source, card).encode())
    except OSError as error:
        raise UserError(
            f"{disk_reason(error) or f'cannot write into {target}: {error}'}; nothing was "
            f"exported: {remedy(error, 'name another folder')}."
        ) from error
    return target


def _check_run(folder: Path, to: str, checkpoint: str | None) -> None:
    """Check what keeps the run from being exported and can be seen without torch.

    Raises:
        UserError: something does.
    """
    config = look_at_run(folder, checkpoint=checkpoint)
    check_stock(config.model)
    if to == "peft" and read_record(folder).parameters.get("adapter") == 0:
        raise UserError(
            f"the run in {folder} trains its head alone (method {config.method.name}), and the "
            "peft library has nothing like it: choose another form, such as to=timm, or use the "
            "run as it is, hydra_peft.load_run(folder)."
        )


def check_form(to: str) -> None:
    """Check that there is such a form and that what it needs is installed.

    Raises:
        UserError: it is not.
    """
    check_one_of("to", to, FORMS)
    for package in FORMS[to]:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"to={to} needs the package {package}, which is not installed: pip install "
                f"'hydra-peft[{to}]'."
            )


@contextmanager
def _staged(target: Path, written: list[Path] | None = None) -> Iterator[Path]:
    """Give an empty folder beside ``target``; when all is well its files are moved there.

    Args:
        written: gets where they are then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield place
        target.mkdir(exist_ok=True)
        files = sorted(place.iterdir())
        _check_free(target, [file.name for file in files])  # before any file is moved
        for file in files:
            os.replace(file, target / file.name)
            if written is not None:
                written.append(target / file.name)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _check_free(target: Path, names: Sequence[str]) -> None:
    """Check that what would be replaced is of an export, such as no README.md of somebody's.

    Raises:
        UserError: it is not; a folder in a run's own is ours.
        IsADirectoryError: a folder has one of ``names``.
    """
    for there in (target / name for name in names):
        if there.is_dir() and not there.is_symlink():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(there))
    theirs = [name for name in names if os.path.lexists(target / name)]
    if not theirs:
        return
    try:
        ours = OURS.encode() in (content_of(target / CARD, _CARD_BYTES) or b"")
    except UserError:  # a link, or larger than any card
        ours = False
    others = {name for form in _FILES.values() for name in form} - {*names}
    left = sorted(name for name in others if os.path.lexists(target / name))
    if ours and left:  # perhaps of another run
        raise UserError(
            f"output={target} holds an export of another form ({left[0]}), whose {CARD} this one "
            "would replace: nothing was exported; name another folder."
        )
    if not ours and not holds_record(target.parent):
        raise UserError(
            f"output={target} has a {theirs[0]} that no export wrote, and this one would replace "
            "it: nothing was exported; name another folder."
        )
