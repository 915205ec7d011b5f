"""Tokenised texts are kept by their content, and made anew where a file is damaged."""

from __future__ import annotations

import functools
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_texts import save_tokenizer

from hydra_peft.data import tokenizer as tokenizer_module
from hydra_peft.data.feeding import prepare_split
from hydra_peft.data.split import Ragged, Split, Texts
from hydra_peft.data.token_cache import tokenized
from hydra_peft.data.tokenizer import Encoding, Tokenizer
from hydra_peft.errors import UserError

TEXTS = Texts((["the cat sat .", "it"], ["a dog ran", "it rained on the mat"]))


@pytest.fixture
def encoding(tmp_path: Path) -> Encoding:
    return Encoding(Tokenizer(save_tokenizer(tmp_path / "own", "bert")), 12)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    lengths: list[int] = []
    encode = Tokenizer.encode

    def spy(self: Tokenizer, texts: Texts, most: int) -> dict[str, Ragged]:
        lengths.append(len(texts))
        return encode(self, texts, most)

    monkeypatch.setattr(Tokenizer, "encode", spy)
    return lengths


def same(one: dict[str, Ragged], other: dict[str, Ragged]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[n].values, other[n].values)
        and torch.equal(one[n].lengths, other[n].lengths)
        for n in one
    )


def test_made_once_for_each_content(
    tmp_path: Path, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted(monkeypatch)
    first = tokenized(TEXTS, encoding, tmp_path / "cache", "x")
    assert list(first) == ["tokens", "segments"]
    assert same(first, tokenized(Texts(TEXTS.columns), encoding, tmp_path / "cache", "x"))
    assert calls == [2]
    tokenized(TEXTS.part([0]), encoding, tmp_path / "cache", "x")
    tokenized(TEXTS, encoding._replace(max_length=6), tmp_path / "cache", "x")
    other = Tokenizer(save_tokenizer(tmp_path / "other", "bert", extra=1))
    tokenized(TEXTS, Encoding(other, 12), tmp_path / "cache", "x")
    assert calls == [2, 1, 2, 2]
    assert same(first, tokenized(TEXTS, encoding, None, "x"))


@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_a_damaged_file_is_made_anew(
    tmp_path: Path, encoding: Encoding, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = tokenized(TEXTS, encoding, tmp_path, "x")
    first = {name: Ragged(r.values.clone(), r.lengths.clone()) for name, r in first.items()}
    (path,) = (tmp_path / "texts").iterdir()
    content = path.read_bytes()
    if damage == "flip":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        path.write_bytes(content[:-4])
    with caplog.at_level(logging.WARNING):
        assert same(first, tokenized(TEXTS, encoding, tmp_path, "x"))
    assert "it is made anew" in caplog.text
    assert path.read_bytes() == content


def test_a_file_of_other_texts_in_its_place_is_made_anew(
    tmp_path: Path, encoding: Encoding
) -> None:
    first = tokenized(TEXTS, encoding, tmp_path, "x")
    (own,) = (tmp_path / "texts").iterdir()
    tokenized(Texts((["a dog", "a cat"], ["it", "sat"])), encoding, tmp_path, "x")
    (other,) = {*(tmp_path / "texts").iterdir()} - {own}
    other.rename(own)
    assert same(first, tokenized(TEXTS, encoding, tmp_path, "x"))


def test_pairs_differ_from_their_texts_end_to_end() -> None:
    one, other = Texts((["a", "b c"], ["b", "d"])), Texts((["a b", "b"], ["", "c d"]))
    assert one.sha256 != other.sha256
    assert len({bytes(row) for row in torch.cat([one.hashes, other.hashes]).numpy()}) == 4


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model.unk_token", "<none>", r"makes no tokens of a text \(WordLevel error: Missing"),
        ("post_processor.special_tokens", {}, r"makes no tokens of a text \(no entry found"),
        ("post_processor", None, "makes 0 to 3 tokens of a text where 1 to 8 were asked for"),
        ("post_processor.special_tokens.<s>.ids", [9] * 9, "makes 10 to 13 tokens of a text"),
        ("post_processor.special_tokens.<s>.ids", [2**31], "puts the id 2,147,483,648 beside"),
    ],
)
def test_a_tokenizer_that_fits_no_text_is_one_sentence(
    tmp_path: Path, key: str, value: object, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = save_tokenizer(tmp_path) / "tokenizer.json"
    content = json.loads(path.read_text())
    *way, last = key.split(".")
    place = functools.reduce(lambda node, name: node[name], way, content)
    place[last] = value
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=said):
        Tokenizer(path).encode(Texts((["the zebra sat", ""],)), 8)
    assert not capfd.readouterr().err  # as "thread '<unnamed>' panicked at src/..."


def test_what_native_code_prints_besides_panics_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    with tokenizer_module._told("it failed"):
        os.write(2, b"a warning of a library\n")
    assert capfd.readouterr().err == "a warning of a library\n"


@pytest.mark.skipif(sys.platform == "win32", reason="closes a file descriptor")
def test_it_works_where_standard_error_is_closed(tmp_path: Path, root: Path) -> None:
    path = save_tokenizer(tmp_path)
    code = (
        "import sys; from pathlib import Path; from hydra_peft.data.tokenizer import Tokenizer; "
        f"print(Tokenizer(Path({str(path)!r})).size)"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(Tokenizer(path).size)


def test_without_tokenizers_it_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_tokenizer(tmp_path)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"package tokenizers, .*pip install 'hydra-peft\[text\]'"):
        Tokenizer(folder)


def test_texts_for_a_model_of_images_are_a_sentence() -> None:
    split = Split({"text": TEXTS}, torch.zeros(2, dtype=torch.int64))
    with pytest.raises(UserError, match="rte train has texts, and the backbone takes none"):
        prepare_split(split, size=(8, 8), cache=None, title="rte train")
