"""Text encoders against transformers' own models, and folders that do not fit them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_texts import BERT, ROBERTA, save_folder, save_tokenizer
from torch import nn

import hydra_peft
from hydra_peft.adaptation.parameters import count_parameters
from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.backbones import build_backbone, check_weights
from hydra_peft.config.check import check_config
from hydra_peft.config.identity import science
from hydra_peft.data.split import Batch, Ragged, Texts
from hydra_peft.data.tokenizer import Tokenizer
from hydra_peft.errors import UserError
from hydra_peft.heads import head_class
from hydra_peft.runs.assembly import check_model

TEXTS = ["the cat sat on a mat .", "it rained ."]
#: RoBERTa's positions: 512 texts' and two before them
_LONG = {"max_position_embeddings": 514}
SECONDS = ["a dog ran under the small tree and it slept .", "is it red"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(tmp_path_factory.mktemp("weights") / "tiny")


def load(folder: Path, family: str = "roberta", **changes: object) -> nn.Module:
    shape = ROBERTA if family == "roberta" else BERT
    arguments = {"drop_path": 0.0, "pretrained": True, "seed": 0, **changes}
    return build_backbone(
        family,
        arguments={"pad_token_id": 1 if family == "roberta" else 0, **shape},
        checkpoint=str(folder),
        **arguments,  # type: ignore[arg-type]
    )[0]


def batch_of(model: nn.Module, seconds: list[str] | None = SECONDS) -> Batch:
    columns = (TEXTS,) if seconds is None else (TEXTS, seconds)
    encoded = model.tokenizer.encode(Texts(columns), 40)
    return Batch(encoded, torch.zeros(len(TEXTS)))


def test_roberta_with_its_head_is_transformers_own(folder: Path) -> None:
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

    model = load(folder)
    head_class("roberta")().attach(model, 3)  # type: ignore[call-arg]
    model.eval()
    stock = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    assert list(model.state_dict()) == list(stock.state_dict())
    model.classifier.load_state_dict(stock.classifier.state_dict())
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="<pad>"
    )
    inputs = tokenizer(TEXTS, SECONDS, padding=True, truncation=True, max_length=40)
    ids = torch.tensor(inputs["input_ids"])
    mask = torch.tensor(inputs["attention_mask"])
    prepared = model.prepare(batch_of(model))
    assert prepared["input_ids"].shape[1] % 8 == 0
    assert torch.equal(prepared["input_ids"][:, : ids.shape[1]], ids)
    assert torch.equal(prepared["attention_mask"][:, : ids.shape[1]].long(), mask)
    torch.testing.assert_close(
        model(prepared), stock(input_ids=ids, attention_mask=mask).logits, rtol=0, atol=1e-5
    )


def test_bert_has_segments_and_may_take_the_mean(tmp_path: Path) -> None:
    from transformers import AutoModel

    stock = AutoModel.from_pretrained(save_folder(tmp_path / "b", "bert"), dtype=torch.float32)
    model = load(tmp_path / "b", "bert").eval()
    prepared = model.prepare(batch_of(model))
    row = prepared["token_type_ids"][1]
    assert row[:6].tolist() == [0, 0, 0, 0, 0, 1]  # [CLS] it rained . [SEP] is
    states = stock.eval()(**{k: v.long() for k, v in prepared.items()}).last_hidden_state
    torch.testing.assert_close(model(prepared), states[:, 0], rtol=0, atol=1e-5)
    model.pooling = "mean"
    lengths = prepared["attention_mask"].sum(1).tolist()
    plain = torch.stack([states[row, :length].mean(0) for row, length in enumerate(lengths)])
    torch.testing.assert_close(model(prepared), plain, rtol=0, atol=1e-5)


def test_padding_to_512_gives_the_same_logits(folder: Path) -> None:
    model = build_architecture("roberta", {**ROBERTA, "pad_token_id": 1, **_LONG})
    model.use_tokenizer(Tokenizer(folder))
    head_class("roberta")().attach(model, 2)  # type: ignore[call-arg]
    model.eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    batch = batch_of(model, None)
    tokens = batch.inputs["tokens"]
    assert isinstance(tokens, Ragged)
    ids, mask = tokens.padded(1, 512)
    assert ids.shape == (2, 512)
    wide = model({"input_ids": ids.long(), "attention_mask": mask})
    torch.testing.assert_close(model(model.prepare(batch)), wide, rtol=0, atol=1e-5)
    order = torch.tensor([1, 0])
    turned = Batch({"tokens": tokens[order]}, torch.zeros(2))
    torch.testing.assert_close(model(model.prepare(turned)), wide[order], rtol=0, atol=1e-5)


def test_long_texts_are_cut_as_transformers_cuts_them(folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    texts, seconds = [f"{TEXTS[0]} " * 3, "it"], [SECONDS[0], f"{SECONDS[0]} " * 4]
    expected = tokenizer(texts, seconds, truncation=True, max_length=17)["input_ids"]
    found = Tokenizer(folder).encode(Texts((texts, seconds)), 17)
    assert list(found) == ["tokens"]
    assert found["tokens"].lengths.tolist() == [17, 17]
    assert found["tokens"].values.tolist() == [*expected[0], *expected[1]]


@pytest.mark.parametrize(("outputs", "head"), [(1, 591_361), (2, 592_130), (3, 592_899)])
def test_counts_of_the_base_and_its_head(
    compose_train: Callable[..., object], outputs: int, head: int
) -> None:
    # reference: the encoder without pooler has 124,055,040 parameters
    config = check_config(compose_train("model=roberta_base"))
    with torch.device("meta"):
        model = build_architecture("roberta", config.model.arguments)
        assert sum(p.numel() for p in model.parameters()) == 124_055_040
        hydra_peft.inject(model, "linear", head=config.head.attach(model, outputs))
    assert count_parameters(model).head == head


def test_a_folder_of_ones_own_says_its_shape_itself(
    compose_train: Callable[..., object], folder: Path
) -> None:
    config = check_config(compose_train("model=transformers", f"model.checkpoint={folder}"))
    assert (config.model.name, config.model.architecture) == ("tiny", "roberta")
    assert config.model.arguments["num_attention_heads"] == 2
    assert config.head.name == "roberta"
    assert "checkpoint" not in science(config)["model"]


def test_it_is_tried_without_storage_before_a_run(
    compose_train: Callable[..., object], folder: Path
) -> None:
    words = ["model=transformers", f"model.checkpoint={folder}", "method=lora_glue"]
    config = check_config(compose_train(*words, "dataset=glue/stsb"))
    check_model(config)
    with pytest.raises(UserError, match=r"target 'attn\.proj' matches no linear layer"):
        check_model(check_config(compose_train(*words[:2], "dataset=glue/stsb", "method=hydra")))


def test_another_tokenizer_makes_other_weights(folder: Path, tmp_path: Path) -> None:
    arguments = {"pad_token_id": 1, **ROBERTA}

    def weights(tokenizer: Path | None) -> str:
        return build_backbone(
            "roberta",
            arguments=arguments,
            drop_path=0.0,
            checkpoint=str(folder),
            pretrained=True,
            seed=0,
            tokenizer=None if tokenizer is None else str(tokenizer),
        )[1].sha256

    other = save_tokenizer(tmp_path / "other", extra=3)
    assert weights(None) == weights(folder) != weights(other)


def refused(checkpoint: Path, **changes: object) -> str:
    with pytest.raises(UserError) as error:
        load(checkpoint, **changes)
    return str(error.value)


def test_what_does_not_fit_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    assert "pytorch_model.bin, a pickle" in refused(pickled)
    (pickled / "model.safetensors.index.json").write_text("{}")
    assert "in several files" in refused(pickled)

    wide = save_tokenizer(tmp_path / "wide", extra=40)
    assert "ids up to 79, and the model's embedding has 60 rows" in refused(
        folder, tokenizer=str(wide)
    )
    other = save_tokenizer(tmp_path / "bert", "bert")
    assert "pads with id 0, and the model with 1" in refused(folder, tokenizer=str(other))
    (tmp_path / "broken.json").write_text("{}")
    assert "is no tokenizer of Hugging Face form" in refused(
        folder, tokenizer=str(tmp_path / "broken.json")
    )
    assert "tokenizer.json is not there" in refused(folder, tokenizer=str(pickled))


def test_heads_that_show_in_no_shape_are_compared(folder: Path) -> None:
    arguments = {**ROBERTA, "pad_token_id": 1, "num_attention_heads": 4}
    with pytest.raises(UserError, match="has num_attention_heads=2, and this model has 4"):
        check_weights(
            "roberta", arguments=arguments, drop_path=0.0, checkpoint=str(folder), remedy=None
        )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "t5"}, "is of a model of type 't5': text encoders here are roberta and"),
        ({"position_embedding_type": "relative_key"}, "has position_embedding_type='relative_key'"),
    ],
)
def test_other_kinds_of_models_are_refused(
    compose_train: Callable[..., object], tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta", **changes}))
    with pytest.raises(UserError, match=said):
        check_config(compose_train("model=transformers", f"model.checkpoint={tmp_path}"))


@pytest.mark.parametrize("value", ["text", "1", "true"])
def test_arguments_that_are_no_mapping_are_refused(
    compose_train: Callable[..., object], tmp_path: Path, value: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    words = ["model=transformers", f"model.checkpoint={tmp_path}", f"model.arguments={value}"]
    with pytest.raises(UserError, match=r"model\.arguments=.* it must be a mapping"):
        check_config(compose_train(*words))


def test_no_folder_is_a_sentence(compose_train: Callable[..., object], tmp_path: Path) -> None:
    words = ["model=transformers", f"model.checkpoint={tmp_path}"]
    with pytest.raises(UserError, match="is no folder in Hugging Face form"):
        check_config(compose_train(*words))


def test_without_transformers_it_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"transformers, .*pip install 'hydra-peft\[text\]'"):
        build_architecture("roberta", {})
