"""Text encoders of Hugging Face transformers as backbones: token ids in, outputs of a head out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor, nn

from hydra_peft.backbones.transformers_folder import CONFIG, FREE, SHAPE, describe_folder
from hydra_peft.backbones.transformers_package import transformers_package
from hydra_peft.data.split import Batch, Ragged
from hydra_peft.errors import UserError, check_one_of

if TYPE_CHECKING:
    from hydra_peft.data.tokenizer import Tokenizer

#: what becomes of the last hidden states of a text: that of its first token, or their mean
POOLINGS = ("first", "mean")
#: widths of batches are multiples of it, which GPUs multiply faster
_MULTIPLE = 8


class TextEncoder(nn.Module):
    """An encoder in the modules and names of transformers, and a classifier on what it says.

    Its parameters are called as in ``<Family>ForSequenceClassification``: ``<family>.embeddings``,
    ``<family>.encoder`` and ``classifier``. It has no pooler. Attention is ``sdpa``.

    Arguments but ``pooling``, one of :data:`POOLINGS`, are keys of config.json
    (:data:`~hydra_peft.backbones.transformers_folder.SHAPE`), with transformers' own values where
    nothing is said; with what they say of dropout it is trained.

    Attributes:
        shape: arguments of the family's config in transformers.
        width: features of a token, and of a text.
        most_tokens: positions that a text may have.
        tokenizer: that of the weights; None where they are not loaded.
    """

    #: ``model_type`` of its config.json, and first part of its parameters' names
    family: ClassVar[str]

    def __init__(
        self,
        *,
        vocab_size: int,
        pad_token_id: int,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        layer_norm_eps: float = 1e-12,
        initializer_range: float = 0.02,
        pooling: str = "first",
    ) -> None:
        given = locals()
        shape = {key: given[key] for key in SHAPE}
        super().__init__()
        check_one_of("model.arguments.pooling", pooling, POOLINGS)
        package = transformers_package()
        config = package.AutoConfig.for_model(self.family, **shape)
        encoder = package.AutoModel.from_config(
            config, dtype=torch.float32, attn_implementation="sdpa", add_pooling_layer=False
        )
        self.add_module(self.family, encoder)
        self.classifier: nn.Module = nn.Identity()
        self.pooling = pooling
        self.shape = shape
        self.width = int(config.hidden_size)
        self.padding = int(config.pad_token_id)
        self.vocabulary = int(config.vocab_size)
        self.most_tokens = self._positions(config)
        self.tokenizer: Tokenizer | None = None

    def _positions(self, config: Any) -> int:
        return int(config.max_position_embeddings)

    def reset_classifier(self, outputs: int) -> None:
        """Put a linear classifier of ``outputs`` on the encoder; none for 0."""
        self.classifier = nn.Linear(self.width, outputs) if outputs else nn.Identity()

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return token ids, padded at their ends, and what the encoder needs to know of them.

        Returns:
            ``input_ids`` int64 ``[b, t]``, ``attention_mask`` bool ``[b, t]``, and for texts with
            segments ``token_type_ids`` int64 ``[b, t]``; t is a multiple of 8, the longest text's.
        """
        tokens = batch.inputs["tokens"]
        assert isinstance(tokens, Ragged), "texts differ in length"
        ids, mask = tokens.padded(self.padding, _MULTIPLE)
        room = self.most_tokens
        prepared = {"input_ids": ids[:, :room].long(), "attention_mask": mask[:, :room]}
        if isinstance(segments := batch.inputs.get("segments"), Ragged):
            prepared["token_type_ids"] = segments.padded(0, _MULTIPLE)[0][:, :room].long()
        return prepared

    def probe(self) -> Batch:
        """Return two made-up texts, of two tokens and of one."""
        token = next(id for id in range(self.vocabulary) if id != self.padding)
        tokens = Ragged(torch.full((3,), token, dtype=torch.int32), torch.tensor([2, 1]))
        return Batch({"tokens": tokens}, torch.zeros(2))

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map what :meth:`prepare` gives to ``[b, outputs]``."""
        encoder = cast(nn.Module, getattr(self, self.family))
        # Of a mask of two dimensions transformers asks whether it masks anything: a GPU would be
        # waited for, and the meta device has no answer.
        mask = inputs["attention_mask"][:, None, None]
        states: Tensor = encoder(**{**inputs, "attention_mask": mask}).last_hidden_state
        if self.pooling == "first":
            return cast(Tensor, self.classifier(states[:, 0]))
        there = inputs["attention_mask"].unsqueeze(2).to(states.dtype)
        return cast(Tensor, self.classifier((states * there).sum(1) / there.sum(1)))

    def check_described(self, weights: Path) -> None:
        """Check that the config.json beside a file of weights describes this model.

        Some of what it says shows in no tensor's shape, such as the number of heads.

        Raises:
            UserError: it describes another one.
        """
        if not os.path.isfile(weights.parent / CONFIG):
            return
        theirs = describe_folder(str(weights))
        found = {"model_type": theirs["architecture"], **theirs["arguments"]}
        for key, value in {"model_type": self.family, **self.shape}.items():
            if key not in FREE and found.get(key, value) != value:
                place = weights.parent
                raise UserError(
                    f"{place / CONFIG} has {key}={found[key]}, and this model has {value}: "
                    f"model=transformers model.checkpoint={place} takes its shape from there."
                )

    def use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Take ``tokenizer`` for the texts of this model.

        Raises:
            UserError: its ids are not those that the embedding has rows for.
        """
        if tokenizer.size > self.vocabulary:
            raise UserError(
                f"the tokenizer {tokenizer.path} has ids up to {tokenizer.size - 1:,}, and the "
                f"model's embedding has {self.vocabulary:,} rows: they belong to different models; "
                "set model.tokenizer to the folder of this model's own."
            )
        if tokenizer.padding != self.padding:
            raise UserError(
                f"the tokenizer {tokenizer.path} pads with id {tokenizer.padding}, and the model "
                f"with {self.padding} (pad_token_id): they belong to different models; set "
                "model.tokenizer to the folder of this model's own."
            )
        self.tokenizer = tokenizer


def checkpoint_filter_fn(state: dict[str, Tensor], model: TextEncoder) -> dict[str, Tensor]:
    """Return the encoder's tensors of a file, under the names that they have in ``model``.

    Files begin the names with the family's, or are of the encoder alone; older ones have gamma and
    beta in their norms. Poolers, heads and the numbers of positions are left out.
    """
    first = f"{model.family}."
    prefixed = any(name.startswith(first) for name in state)
    found = {}
    for name, tensor in state.items():
        own = name if prefixed else f"{first}{name}"
        for old, new in (
            ("LayerNorm.gamma", "LayerNorm.weight"),
            ("LayerNorm.beta", "LayerNorm.bias"),
        ):
            own = own.replace(old, new)
        if own.startswith((f"{first}embeddings.", f"{first}encoder.")) and "_ids" not in own:
            found[own] = tensor
    return found
