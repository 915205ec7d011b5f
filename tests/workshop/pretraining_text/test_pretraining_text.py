"""Pretraining on texts: what is hidden, what is written, and that it repeats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hydra_peft.backbones.roberta_mini import ROBERTA_MINI
from hydra_peft.tensor_files import read_tensors
from hydra_peft.workshop.pretraining_text.masking import batches, masked
from hydra_peft.workshop.pretraining_text.neighbours import neighbour_embeddings
from hydra_peft.workshop.pretraining_text.options import TextOptions
from hydra_peft.workshop.wordnet.synsets import Synset


def synset(number: int) -> Synset:
    words = (["red", "green", "blue", "pink", "grey"])[number % 5 : number % 5 + 3]
    text = f"a thing of {' and '.join(words)} in row {number}"
    return Synset(f"n{number:08d}", 5, (f"thing{number}",), (), False, (), text, (f"see {text}",))


def test_batches_hold_each_text_once_and_fill_up_with_padding() -> None:
    texts = [np.arange(10 * n, 10 * n + n % 7 + 3) + 5 for n in range(23)]
    seen = []
    for ids in batches(texts, 4, np.random.RandomState(0)):
        assert len(ids) <= 4
        seen += [row[row != 1].tolist() for row in ids]
    assert sorted(seen) == sorted(text.tolist() for text in texts)


def test_a_fifth_is_hidden_as_bert_hides_it() -> None:
    ids = torch.randint(5, 1000, (400, 50), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1], ids[::2, 40:] = 0, 2, 1
    batch = masked(ids, 0.2, 1000, torch.Generator().manual_seed(1))
    assert torch.equal(batch.targets, ids[batch.hidden])
    assert (batch.targets >= 5).all()
    assert torch.equal(batch.ids[~batch.hidden], ids[~batch.hidden])
    assert torch.equal(batch.there, ids != 1)
    shown = batch.ids[batch.hidden]
    share = len(shown) / int((ids >= 5).sum())
    assert share == pytest.approx(0.2, abs=0.01)
    assert float((shown == 4).float().mean()) == pytest.approx(0.8, abs=0.02)
    assert float((shown == batch.targets).float().mean()) == pytest.approx(0.1, abs=0.02)


def test_tokens_with_the_same_neighbours_begin_alike() -> None:
    draw = np.random.RandomState(0)
    # 10 and 11 stand between tokens below 5, 12 between those from 5 to 9
    texts = [
        np.array([draw.randint(5) + side, middle, draw.randint(5) + side])
        for middle, side in ((10, 0), (11, 0), (12, 5))
        for _ in range(100)
    ]
    found = neighbour_embeddings(texts, 13, 4, seed=0)
    assert found.dtype == np.float32
    assert found.shape == (13, 4)
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    assert unit[10] @ unit[11] > 0.9 > 0.5 > unit[10] @ unit[12]


def test_what_is_written_is_an_encoder_in_hugging_face_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers", reason="text encoders need hydra-peft[text]")
    from hydra_peft.backbones.backbones import build_backbone
    from hydra_peft.data.split import Texts
    from hydra_peft.workshop.pretraining_text.train import pretrain

    small = {"vocab_size": 300, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    for key, value in small.items():
        monkeypatch.setitem(ROBERTA_MINI, key, value)
    found = []
    before = torch.get_num_threads()
    try:
        for place in ("a", "b"):
            options = TextOptions(tmp_path, tmp_path / place, epochs=1, report_every=1)
            found.append(pretrain([synset(n) for n in range(150)], options, lambda _: None))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]
    for name in ("config.json", "tokenizer.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    first, second = (read_tensors(tmp_path / place / "model.safetensors") for place in "ab")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    arguments = {**ROBERTA_MINI, "pooling": "mean"}
    model, _ = build_backbone(
        "roberta",
        arguments=arguments,
        drop_path=0.0,
        checkpoint=str(tmp_path / "a"),
        pretrained=True,
        seed=0,
    )
    tokens = model.tokenizer.encode(Texts((["A red thing"], ["in blue"])), 128)["tokens"]
    assert tokens.values[0] == 0
    assert tokens.values[-1] == 2
    assert int((tokens.values == 2).sum()) == 3
