"""A tokenizer of Hugging Face form: from texts, alone or in pairs, to token ids."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hydra_peft.data.split import Ragged, Texts
from hydra_peft.data.tokenizer_files import tokenizer_file
from hydra_peft.errors import UserError, reason_of
from hydra_peft.files import sha256_of
from hydra_peft.optional import optional_package
from hydra_peft.quoting import of_file

#: what padding is called in the vocabularies of RoBERTa and BERT
_PADDINGS = ("<pad>", "[PAD]")
#: texts that are encoded at a time: enough for all cores, few in memory
_AT_ONCE = 10_000
#: file descriptor that native code prints errors to
_STDERR = 2


class Tokenizer:
    """The tokenizer in a ``tokenizer.json``, which is data: nothing of it is run.

    Encoding follows the file: RoBERTa's makes ``<s> A </s>`` of a text and ``<s> A </s></s> B
    </s>`` of a pair, BERT's ``[CLS] A [SEP] B [SEP]`` with a second segment.

    Args:
        path: the file, or the folder that holds it.

    Attributes:
        path: the file.
        sha256: of the file.
        size: one more than its highest id.
        padding: the id that fills texts up.

    Raises:
        UserError: the file is missing or no tokenizer, or the package tokenizers is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = tokenizer_file(path)
        use = "text is tokenised with the package tokenizers"
        library = optional_package("tokenizers", extra="text", use=use)
        with _told(f"{self.path} is no tokenizer of Hugging Face form"):
            self._library = library.Tokenizer.from_file(str(self.path))
        self.sha256 = sha256_of(self.path, links=True)  # as the cache of the hub has them
        ids = self._library.get_vocab(with_added_tokens=True)
        self.size = max(ids.values(), default=-1) + 1
        padding = [ids[name] for name in _PADDINGS if name in ids]
        if not padding:
            raise UserError(
                f"{self.path} has no token for padding: one called {' or '.join(_PADDINGS)} is "
                "needed."
            )
        self.padding = padding[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> Tokenizer:
        """Return itself, which never changes: copies of a model share it."""
        return self

    def encode(self, texts: Texts, max_length: int) -> dict[str, Ragged]:
        """Return the token ids of ``texts``.

        Longer ones are cut to ``max_length`` tokens, special ones included; of a pair the longer
        text loses a token each time (``longest_first``), as ``truncation=True`` of transformers.

        Returns:
            ``tokens`` int32, and ``segments`` uint8 where the tokenizer tells the texts of a pair
            apart.

        Raises:
            UserError: the file makes of a text no tokens, more than ``max_length``, ids that no
                token of it has, or an error.
        """
        with _told(f"{self.path} makes no tokens of a text"):
            self._library.no_padding()
            self._library.enable_truncation(max_length, strategy="longest_first")
        ids: list[torch.Tensor] = []
        kinds: list[torch.Tensor] = []
        lengths: list[int] = []
        for start in range(0, len(texts), _AT_ONCE):
            columns = [column[start : start + _AT_ONCE] for column in texts.columns]
            rows: Any = columns[0] if len(columns) == 1 else zip(*columns, strict=True)
            with _told(f"{self.path} makes no tokens of a text"):
                found = self._library.encode_batch(list(rows))
            lengths += [len(one) for one in found]
            self._check(found, max_length)
            ids.append(torch.tensor([i for one in found for i in one.ids], dtype=torch.int32))
            kinds.append(torch.tensor([i for one in found for i in one.type_ids]).to(torch.uint8))
        counts = torch.tensor(lengths, dtype=torch.int64)
        encoded = {"tokens": Ragged(torch.cat(ids), counts)}
        if (segments := torch.cat(kinds)).any():
            encoded["segments"] = Ragged(segments, counts)
        return encoded

    def _check(self, found: list[Any], max_length: int) -> None:
        lengths = [len(one) for one in found]
        if not 1 <= min(lengths) <= max(lengths) <= max_length:
            raise UserError(
                f"{self.path} makes {min(lengths)} to {max(lengths)} tokens of a text where 1 to "
                f"{max_length} were asked for: what it puts around texts (post_processor) is not "
                "that of a RoBERTa or BERT, or is longer than data.max_length."
            )
        if (highest := max(max(one.ids) for one in found)) >= self.size:
            raise UserError(
                f"{self.path} puts the id {highest:,} beside texts, which no token of its "
                "vocabulary has: save the tokenizer again."
            )


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn whatever the library raises into one sentence, which begins with ``what``."""
    try:
        with _without_panics():
            yield
    except BaseException as error:  # nothing narrower, and Rust's panics are no Exception
        if not _is_panic(error) and not isinstance(error, Exception):
            raise
        raise UserError(f"{what} ({of_file(reason_of(error), type(error).__name__)}).") from None


@contextmanager
def _without_panics() -> Iterator[None]:
    """Keep what Rust prints of a panic, before Python hears of it, from the terminal."""
    if sys.stderr is None:  # closed
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        terminal = os.dup(_STDERR)
        os.dup2(kept.fileno(), _STDERR)
        panicked = False
        try:
            yield
        except BaseException as error:
            panicked = _is_panic(error)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, _STDERR)
            os.close(terminal)
            if not panicked:
                kept.seek(0)
                with open(_STDERR, "wb", closefd=False) as shown:
                    shown.write(kept.read())


def _is_panic(error: BaseException) -> bool:
    return type(error).__name__ == "PanicException"


class Encoding(NamedTuple):
    """A tokenizer, and the most tokens that a model reads.

    Attributes:
        tokenizer: makes token ids of them.
        max_length: tokens of an example at most, special ones included.
    """

    tokenizer: Tokenizer
    max_length: int
