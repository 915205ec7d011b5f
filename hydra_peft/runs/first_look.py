"""Check a run's files, folders and ranks before torch is loaded, which takes seconds.

Nothing here decides that a run can work: :mod:`hydra_peft.runs.assembly` does, with torch.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra_peft.adapters.initializers import PISSA
from hydra_peft.adapters.patterns import matches
from hydra_peft.backbones import models
from hydra_peft.backbones.arguments import check_arguments
from hydra_peft.backbones.layer_names import BLOCK_LAYERS, linear_layers
from hydra_peft.backbones.text_files import (
    check_open_clip,
    embedded_text,
    has_features,
)
from hydra_peft.backbones.transformers_folder import FAMILIES
from hydra_peft.backbones.vit_mini import EMBEDDED
from hydra_peft.backbones.weight_files import check_weights_exist
from hydra_peft.cards import check_card
from hydra_peft.config.grid import Choice, used
from hydra_peft.config.schema import (
    DatasetConfig,
    ModelConfig,
    PathsConfig,
    RunConfig,
)
from hydra_peft.data.few_shots import exact_count, none_left
from hydra_peft.data.promises import SeenLabels, check_promises, check_shots
from hydra_peft.data.sources import DataRequest, is_of_images, labels_of, text_columns
from hydra_peft.data.tokenizer_files import tokenizer_file
from hydra_peft.data.unread import images_unread, texts_unread
from hydra_peft.data.word_tokenizer import WordTokenizer
from hydra_peft.disk_errors import check_writable
from hydra_peft.errors import UserError, placed
from hydra_peft.files import named_path
from hydra_peft.heads.text_prompts import TextPrompts
from hydra_peft.methods._base import Method
from hydra_peft.registry import is_known
from hydra_peft.runs.claims import check_claimable
from hydra_peft.runs.folder import check_no_links, run_folder
from hydra_peft.runs.search import check_search
from hydra_peft.runs.starting import OF_FRESH, check_start

#: no linear layer of a vision transformer is wider on both its sides (the widest in timm: 4096)
WIDEST = 16_384


def look_first(config: RunConfig, *, elsewhere: bool = False) -> None:
    """Check what makes a run impossible and can be seen without torch.

    Args:
        elsewhere: the run is done on another machine, whose devices are not known here.

    Raises:
        UserError: weights, a tokenizer or data that are not there or not what they are called,
            classes that the data has not, a folder of runs or a cache that cannot be written to, or
            is a link, a rank that no layer has room for, a target that no layer has the name of, an
            adapter to start from that does not fit, or a package that is needed and missing; a
            device that this machine has not, or epochs that the training does not come to.
    """
    check_search(config.protocol)
    check_epochs(config)
    check_whole_batches(config)
    for tracker in config.logger.values():
        tracker.check()
    model = config.model
    check_inputs(model.architecture, config.dataset)
    check_arguments(model.architecture, model.arguments, model.image_size)
    for method, where in _methods(config):
        with placed(where):
            check_ranks(model, method)
            check_targets(model, method)
    if model.pretrained:
        check_weights_exist(model.architecture, model.checkpoint, model.remedy)
    if model.tokenizer is not None:
        tokenizer_file(named_path(model.tokenizer, "model.tokenizer"))
    check_start(config)
    _check_start_of_trials(config)
    check_texts(config)
    check_data(config)
    runs, start = Path(config.paths.runs), _start_of_folder(config)
    check_no_links(runs, start.parent)
    if not _may_be_done(start):
        check_card("" if elsewhere else config.device)
        check_writable(start.parent)
        check_claimable(runs, start.parent)
        if not os.path.isdir(config.paths.cache):  # one that is there may hold all that is needed
            check_writable(Path(config.paths.cache), "paths.cache")


def _methods(config: RunConfig) -> Iterator[tuple[Method, str]]:
    """Yield the run's method, and those with the targets and ranks that tuning may give it, each
    with the key that they come from."""
    yield config.method, ""
    for key, values in used(config).items() if config.protocol.tune else ():
        group, _, name = key.partition(".")
        if group == "method" and ("rank" in name or "targets" in name):
            for place, value in enumerate(values):
                method = dataclasses.replace(config.method, **{name: value})
                yield method, f"protocol.grid.{key}[{place}]:"


def _check_start_of_trials(config: RunConfig) -> None:
    """Check that what tuning may give a method fits the adapter that the run starts from, and
    decides something."""
    if config.init_from is None or not config.protocol.tune:
        return
    plain = dataclasses.replace(config.protocol, tune=False)
    for key, values in used(config).items():
        for place, value in enumerate(values if key.startswith("method.") else ()):
            with placed(f"protocol.grid.{key}[{place}]:"):
                check_start(Choice({key: value}).apply(config, protocol=plain))
        if key in OF_FRESH and PISSA not in values:
            raise UserError(
                f"protocol.grid.{key} changes nothing in a run whose adapter init_from names, "
                f"which is no fresh one: leave it out with protocol.grid.{key}=null."
            )


def check_inputs(architecture: str, dataset: DatasetConfig) -> None:
    """Check that a model is given no texts that it does not read, nor images.

    Raises:
        UserError: it is. Of plugins only the data tells, when it is loaded.
    """
    if not is_known(models, architecture) and text_columns(dataset.source, dataset.name):
        raise texts_unread(dataset.name)
    if architecture in FAMILIES and is_of_images(dataset.source):
        raise images_unread(dataset.name)


def check_epochs(config: RunConfig) -> None:
    """Check that the training comes to the epoch after which it is asked to change.

    What the protocol says of it holds for any number of epochs, and what tuning chooses is its own.

    Raises:
        UserError: it does not.
    """
    train = config.train
    if config.protocol.tune or train.eval_after in (None, config.protocol.fills.eval_after):
        return
    if 0 < train.epochs <= train.eval_after:
        raise UserError(
            f"train.eval_after={train.eval_after} changes nothing in a training of "
            f"train.epochs={train.epochs}: set it below them, or to null for never."
        )


def check_whole_batches(config: RunConfig) -> None:
    """Check that a head that takes statistics over a batch sees whole ones.

    Raises:
        UserError: each is computed in parts.
    """
    parts = config.train.accumulate
    if config.head.least_batch > 1 and parts > 1 and config.train.epochs:
        raise UserError(
            f"head.norm=batch takes statistics over a batch, of which train.accumulate={parts} "
            "computes parts: set train.accumulate=1, or head.norm=none."
        )


def check_texts(config: RunConfig) -> None:
    """Check that features of texts, where the head starts from them, are there or can be made.

    Raises:
        UserError: open_clip is needed and missing; or a word that the embedded tower does not know.
    """
    if not isinstance(config.head, TextPrompts):
        return
    if has_features(Path(config.paths.cache), config.head.texts()):
        return
    if (own := embedded_text(config.model.text_tower or "")) is not None:
        known = WordTokenizer.read(own.vocabulary)
        for said in config.head.texts().sentences():
            for sentence in said:
                known.ids(sentence)
        return
    check_open_clip()


def check_data(config: RunConfig) -> None:
    """Check, without reading images, that a run's data is there and has the labels it should.

    Raises:
        UserError: a folder or a list is missing or malformed, or see
            :func:`hydra_peft.data.promises.check_promises`.
    """
    dataset = config.dataset
    request = data_request(dataset, config.paths, dataset.stored(splits_read(config)))
    sizes = tuple(dataset.sizes.items())
    seen = _checked_labels(
        dataset.source, request, sizes, dataset.splits.test, config.data.allow_partial
    )
    if (train := dataset.splits.train) in seen.splits:
        check_shots(seen.splits[train], dataset.shots)
    (stored,) = dataset.stored([config.protocol.train_split])
    if not config.train.epochs or stored not in seen.splits:
        return
    whole, single = seen.splits[stored].count, dataset.task().has_hits
    count = exact_count(vars(dataset), config.protocol.train_split, whole, single=single)
    if count == 0 and dataset.shots:
        raise none_left(dataset.name, dataset.shots)
    if count is not None:
        batch = config.train.batch_size
        check_batches(count, batch, config.train.drop_last, least=config.head.least_batch)


def check_batches(count: int, batch_size: int, drop_last: bool, *, least: int = 1) -> None:
    """Check that an epoch has at least one batch, and batches the ``least`` that a head needs.

    Raises:
        UserError: it has not.
    """
    if min(count, batch_size) < least:
        raise UserError(
            f"head.norm=batch takes statistics over a batch, and train.batch_size={batch_size} of "
            f"{count} training examples gives batches of fewer than {least}: raise it, or set "
            "head.norm=none."
        )
    if drop_last and batch_size > count:
        raise UserError(
            f"train.batch_size={batch_size} with train.drop_last=true leaves no batch of "
            f"{count} training examples: lower it, or set train.drop_last=false."
        )


@functools.lru_cache(maxsize=64)  # jobs of a sweep share tasks, and lists are long
def _checked_labels(
    source: str,
    request: DataRequest,
    sizes: tuple[tuple[str, int], ...],
    test: str,
    allow_partial: bool,
) -> SeenLabels:
    seen = labels_of(source, request)
    check_promises(
        seen,
        name=f"{request.benchmark}/{request.name}",
        classes=request.classes,
        sizes=dict(sizes),
        test=test,
        allow_partial=allow_partial,
    )
    return seen


def check_ranks(model: ModelConfig, method: Method) -> None:
    """Check that no rank exceeds the width of every layer that ``model`` can have.

    Of an embedded model, and where ``model.arguments`` give it, the width is known: every linear
    layer of a transformer's block reads or writes features of that width.
    """
    own = EMBEDDED.get(model.architecture, ("", {}))[1]
    width = model.arguments.get("embed_dim", own.get("embed_dim"))
    widest, whose = (width, "its layers") if type(width) is int else (WIDEST, "the widest of all")
    if widest < 1:
        raise UserError(
            f"model.arguments.embed_dim={widest} is not allowed: it must be at least 1, the width "
            "of the model's layers."
        )
    for rank in method.ranks():
        if rank > widest:
            raise UserError(
                f"rank {rank} of method '{method.name}' does not fit {model.architecture}: it must "
                f"be at most {widest}, the width of {whose}."
            )


def check_targets(model: ModelConfig, method: Method) -> None:
    """Check that every target is the name of a linear layer, or of a module that holds one, as its
    method needs it, where all their names are known.
    """
    layers = linear_layers(model.architecture, model.arguments)
    if layers is None:
        return
    holders = {".".join(name.split(".")[:-cut]) for name in layers for cut in range(1, 4)}
    wanted = (
        ("linear layer", method.linear_targets(), layers),
        ("module with linear layers", method.module_targets(), [*layers, *holders - {""}]),
    )
    for what, patterns, names in wanted:
        for pattern in patterns:
            if not any(matches(name, pattern) for name in names):
                last = len(layers) // len(BLOCK_LAYERS) - 1
                raise UserError(
                    f"method.targets: '{pattern}' matches no {what} of {model.architecture}, "
                    f"whose blocks.0 to blocks.{last} have {', '.join(BLOCK_LAYERS)}."
                )


def _start_of_folder(config: RunConfig) -> Path:
    """Return the run's folder, of whose name only the beginning is known without weights."""
    dataset = config.dataset
    folder = run_folder(
        Path(config.paths.runs),
        benchmark=dataset.benchmark,
        task=dataset.name,
        method=config.method.label.replace(" ", "-"),
        seed=config.seed,
        id="",
        weights="",
    )
    return folder.with_name(folder.name.rstrip("-") + "-")


def _may_be_done(start: Path) -> bool:
    """Whether there are runs of this task, method and seed: nothing is written for a done one."""
    try:
        return any(name.startswith(start.name) for name in os.listdir(start.parent))
    except OSError:
        return False


def splits_read(config: RunConfig) -> list[str]:
    """Return every split that a run, or what chooses for it, reads: its record has their hashes."""
    protocol, roles = config.protocol, config.dataset.splits
    tuned = (roles.fit, roles.val) if config.chooses else ()
    names = (*tuned, protocol.train_split, *splits_scored(config))
    return list(dict.fromkeys(name for name in names if name is not None))


def splits_scored(config: RunConfig) -> list[str]:
    """Return the splits that a run scores: the one that counts, then the further ones beside it,
    then the one that chooses an epoch where that is another."""
    protocol = config.protocol
    beside = config.dataset.splits.scored_beside(protocol.evaluate_split)
    names = (protocol.evaluate_split, *beside, protocol.chosen_on)
    return list(dict.fromkeys(names))


def data_request(dataset: DatasetConfig, paths: PathsConfig, splits: Sequence[str]) -> DataRequest:
    """Return the request by which a source finds ``splits`` of a task."""
    return DataRequest(
        benchmark=dataset.benchmark,
        name=dataset.name,
        folder=dataset.folder,
        aliases=tuple(dataset.aliases),
        classes=dataset.classes,
        root=Path(paths.data).expanduser(),
        cache=Path(paths.cache),
        splits=tuple(splits),
        options=dataset.source_options,
        split_seed=dataset.split_seed,
    )
