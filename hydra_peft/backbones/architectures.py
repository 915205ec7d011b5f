"""From an architecture's name to a timm model without a head."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hydra_peft.backbones import models
from hydra_peft.backbones.arguments import check_number
from hydra_peft.backbones.image_sizes import ImageSize, check_multiple
from hydra_peft.backbones.projection import keep_projection
from hydra_peft.backbones.vit_mini import EMBEDDED
from hydra_peft.errors import UserError, did_you_mean, near
from hydra_peft.limits import Limits, check_limit
from hydra_peft.plain_text import shortened
from hydra_peft.registry import find_module, is_known, module_names

#: constructor arguments that other keys set
_SIZE_ARGUMENT = "img_size"
_OURS = frozenset({"num_classes", "drop_path_rate", "device", "dtype"})


#: timm's modules whose models can be used: what is offered where a name is mistyped
_MODULES = ("vision_transformer", "eva", "beit", "deit", "vision_transformer_relpos")
#: what nobody means and would take all memory: of a model, and of its constructor's numbers
_MOST_PARAMETERS = 20_000_000_000
_ARGUMENTS = {
    "depth": Annotated[int, Limits(least=1, most=128)],
    _SIZE_ARGUMENT: ImageSize,
}
#: operations in place that initialisers are made of
_FILLING = frozenset({"uniform_", "normal_", "clamp_", "erfinv_", "mul_", "add_"})
_ANY_ARGUMENT = Annotated[float, Limits(least=-1_000_000, most=1_000_000)]


def build_architecture(
    architecture: str,
    arguments: Mapping[str, Any],
    *,
    drop_path: float = 0.0,
    image_size: int | None = None,
    projection: int | None = None,
) -> nn.Module:
    """Return a randomly initialised model without a head (``num_classes=0``).

    Any model will do whose head can be replaced and that keeps no running statistics: vision
    transformers, EVA, BEiT, DeiT, Swin, ConvNeXt, MLP-Mixer and others.

    Args:
        architecture: timm's model name, with or without a tag, one of :data:`EMBEDDED`, or a module
            of :mod:`hydra_peft.backbones.models`, which drops no paths.
        arguments: further constructor arguments.
        drop_path: stochastic depth rate while training.
        image_size: side of the images in pixels; None for the architecture's own.
        projection: width of the features that CLIP's projection maps to, which is kept as part of
            the model; None leaves it out.

    Raises:
        UserError: an unknown name, a model of another kind, arguments that the constructor does
            not take, or a size that its patches do not cover.
    """
    import timm

    own_class = _own_class(architecture)
    base, own = EMBEDDED.get(architecture, (architecture, {}))
    if own_class is None:
        _check_known(base, architecture)

    def build(changes: Mapping[str, Any]) -> nn.Module:
        classes = {"num_classes": projection or 0}
        options = {**classes, "drop_path_rate": drop_path, **own, **changes}
        try:
            with _Undrawn():
                if own_class is not None:
                    return own_class(**changes)
                return timm.create_model(base, pretrained=False, **options)
        except UserError:
            raise
        # What a constructor makes of odd values is its own: ZeroDivisionError, KeyError, ...
        except Exception as error:
            resized = image_size is not None and bool(changes)
            keys = ["image_size"] * resized + ["arguments"] * bool(arguments and changes)
            key = " or model.".join(keys or ["architecture"])
            told = described(architecture, arguments if changes else {})
            told += f" with model.image_size={image_size}" * resized
            raise UserError(f"cannot build {told} ({reason(error)}): change model.{key}.") from None

    changes = dict(arguments)
    if changes or image_size is not None:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            plain = build({})
            _check_arguments(type(plain), arguments)
            changes |= (sized := size_arguments(plain, image_size))
            if image_size is not None and not sized:
                _check_resizable(plain, image_size)
            _check_size(build(changes), architecture, arguments)
    model = build(changes)
    if image_size is not None:
        _check_patches(model, image_size, architecture)
        if bound_size(model) is None:
            stated = {**_metadata(model), "input_size": (3, image_size, image_size)}
            cast(Any, model).pretrained_cfg = stated
    if own_class is None:
        _check_fed(model, architecture, arguments)
    if projection is not None:
        keep_projection(model, projection)
    return model


def _check_known(base: str, architecture: str) -> None:
    """Check that timm has a model called ``base``, offer near names of ``architecture``: of vision
    transformers like ours, or of any."""
    import timm

    if timm.is_model(base):
        return
    listed = (name for module in _MODULES for name in timm.list_models(module=module))
    names = {*EMBEDDED, *module_names(models), *listed}
    name = architecture.split(".")[0]
    kin = [one for one in timm.list_models() if one.split("_")[0] == name.split("_")[0]]
    nearest = [one for one in near(name, kin)[:1] if one in names or _can_be_used(one)]
    close = list(dict.fromkeys([*nearest, *near(name, sorted(names))]))[:3]
    close = close or [*filter(_can_be_used, near(name, timm.list_models()))]
    said = f"near names: {', '.join(close)}" if close else "give the name of one of its models"
    raise UserError(f"model.architecture '{architecture}' is unknown to timm; {said}.")


def _can_be_used(architecture: str) -> bool:
    try:
        with torch.device("meta"):
            build_architecture(architecture, {})
    except UserError:
        return False
    return True


def size_arguments(model: nn.Module, image_size: int | None) -> dict[str, int]:
    """Return how ``image_size`` is said to the constructor of ``model``: not at all for None, nor
    where images may have any size, as those of convolutions."""
    if image_size is None or _SIZE_ARGUMENT not in _parameters(type(model)):
        return {}
    return {_SIZE_ARGUMENT: image_size}


def _check_resizable(model: nn.Module, image_size: int) -> None:
    """Check that a model whose constructor takes no size has none, as convolutions do."""
    if not hasattr(model, "pretrained_cfg") or bound_size(model) is not None:
        raise UserError(
            f"model.image_size={image_size} cannot be chosen: {type(model).__name__} does not take "
            "images of another size; leave it out, or choose another model."
        )


def _check_fed(model: nn.Module, architecture: str, arguments: Mapping[str, Any]) -> None:
    """Check that a model of timm's can be given a head and is a function of its parameters."""
    lacks = None
    if not hasattr(model, "reset_classifier") or not hasattr(model, "forward_features"):
        lacks = "whose head cannot be replaced"
    elif _input_size(model) is None:
        lacks = "which does not state the size of its images"
    elif any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        lacks = (
            "whose batch norms keep running statistics, which training changes and no adapter holds"
        )
    if lacks is not None:
        raise UserError(
            f"{described(architecture, arguments)} is of class {type(model).__name__}, {lacks}: "
            "choose another, such as vit_small_patch16_224."
        )


class _Undrawn(TorchFunctionMode):
    """Mode in which constructors draw no values for tensors without storage.

    Torch takes a tenth of a second and more to find out that those of a small ViT are nowhere.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Return the tensor of an operation that fills it in place, what others give as it is."""
        given = kwargs or {}
        filled = args[0] if args else given.get("tensor")
        fills = getattr(func, "__name__", "") in _FILLING
        if fills and isinstance(filled, Tensor) and filled.is_meta:
            return filled
        return func(*args, **given)


def _own_class(architecture: str) -> type[nn.Module] | None:
    """Return the class of a backbone in :mod:`hydra_peft.backbones.models`; None of others."""
    if not is_known(models, architecture):
        return None
    found: type[nn.Module] = find_module(models, architecture, "model.architecture").BACKBONE
    return found


def described(architecture: str, arguments: Mapping[str, Any]) -> str:
    """Name a model in messages by its config keys and their values."""
    told = f" with model.arguments={dict(arguments)}" if arguments else ""
    return shortened(f"model.architecture '{architecture}'{told}", 300)


def reason(error: BaseException) -> str:
    """Return kind and beginning of an error of timm's or torch's, in one line."""
    return shortened(f"{type(error).__name__}: {error}".rstrip(".: \n"), 200)


def _check_arguments(cls: type, arguments: Mapping[str, Any]) -> None:
    # timm.create_model takes more than the model does, such as files to load: those stay shut.
    parameters = _parameters(cls)
    known = sorted(set(parameters) - _OURS)
    for key, value in arguments.items():
        if key not in known:
            raise UserError(
                f"unknown key 'model.arguments.{key}'{did_you_mean(key, known)}; timm's "
                f"{cls.__name__} takes {', '.join(known)}."
            )
        usual = parameters[key].default
        if isinstance(usual, bool) and not isinstance(value, bool):
            raise UserError(
                f"model.arguments.{key}={value} is not allowed: it must be true or false."
            )
        number = isinstance(usual, int | float) and not isinstance(usual, bool)
        if number:
            whole = parameters[key].annotation in (int, "int")
            check_number(key, value, whole=whole, listed=key.endswith("_size"))
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, int | float) and not isinstance(item, bool):
                check_limit(_ARGUMENTS.get(key, _ANY_ARGUMENT), item, f"model.arguments.{key}")


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of the constructor of ``cls``, those it hands to base classes
    included."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        own = [*inspect.signature(base.__init__).parameters.values()][1:]  # type: ignore[misc]
        named = [p for p in own if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        found = {parameter.name: parameter for parameter in named} | found
        if all(parameter.kind != parameter.VAR_KEYWORD for parameter in own):
            break
    return found


def _check_size(skeleton: nn.Module, architecture: str, arguments: Mapping[str, Any]) -> None:
    count = sum(parameter.numel() for parameter in skeleton.parameters())
    if count > _MOST_PARAMETERS:
        raise UserError(
            f"{described(architecture, arguments)} has {count:,} parameters, more than any machine "
            "holds: change model.arguments."
        )


def _check_patches(model: nn.Module, image_size: int, architecture: str) -> None:
    """Refuse a size that leaves a rim of pixels in no patch, which timm does not tell."""
    embedding = _patches(model)
    if not isinstance(size := getattr(embedding, "patch_size", None), Sequence):
        return
    taken = getattr(embedding, "proj", None)
    if isinstance(taken, nn.Conv2d) and taken.stride != taken.kernel_size:
        return  # patches overlap, and reach beyond the image
    for side in size:
        check_multiple(image_size, int(side), architecture)


def _patches(model: nn.Module) -> nn.Module | None:
    """Return the patch embedding of a transformer or, as timm calls it there, of an MLP-Mixer."""
    return getattr(model, "patch_embed", None) or getattr(model, "stem", None)


def bound_size(model: nn.Module) -> tuple[int, int] | None:
    """Return height and width in pixels that patches are bound to; None where nothing is."""
    size = getattr(_patches(model), "img_size", None)
    return (int(size[0]), int(size[1])) if isinstance(size, Sequence) and len(size) == 2 else None


def _input_size(model: nn.Module) -> tuple[int, int] | None:
    """Return the bound size, else the one that timm states, as of networks of convolutions."""
    stated = _metadata(model).get("input_size")
    return bound_size(model) or ((int(stated[1]), int(stated[2])) if stated else None)


def _metadata(model: nn.Module) -> Mapping[str, Any]:
    found = getattr(model, "pretrained_cfg", None)
    return found if isinstance(found, Mapping) else {}


def input_size(model: nn.Module) -> tuple[int, int]:
    """Return the ``(height, width)`` in pixels of the images that a timm model takes.

    Raises:
        ValueError: it states none; :func:`build_architecture` gives no such model.
    """
    size = _input_size(model)
    if size is None:
        raise ValueError(f"{type(model).__name__} states no size of images")
    return size


def normalization(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the per-channel mean and standard deviation, in [0, 1], that timm states for it."""
    metadata = _metadata(model)
    return tuple(metadata["mean"]), tuple(metadata["std"])
