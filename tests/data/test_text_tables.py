"""Tables of texts in each kind of file, and what is wrong with some."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hydra_peft.data.text_tables import read_columns
from hydra_peft.errors import UserError

ROWS = [('he said "no", twice', "zwei\nZeilen"), ("", "= 1"), ("ü\u2028x", "it")]
NAMES = ("first", "second")


def write(folder: Path, suffix: str, rows: list[tuple[str, str]]) -> Path:
    import csv

    path = folder / f"texts{suffix}"
    if suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow", reason="parquet needs pyarrow: hydra-peft[text]")
        from pyarrow import parquet

        columns = dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True))
        parquet.write_table(pyarrow.table({**columns, "n": [1, 2, None]}), path)
    elif suffix == ".jsonl":
        lines = [json.dumps(dict(zip(NAMES, row, strict=True)), ensure_ascii=False) for row in rows]
        path.write_text("\n\n".join(lines), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            if suffix == ".csv":
                csv.writer(file).writerows([NAMES, *rows])
            else:
                file.writelines("\t".join(row) + "\n" for row in [NAMES, *rows])
            file.write("\n")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_each_kind_of_file_gives_the_texts_as_they_are(tmp_path: Path, suffix: str) -> None:
    rows = [('a "b', "c")] * 3 if suffix == ".tsv" else ROWS  # which has neither quotes nor lines
    file = write(tmp_path, suffix, rows)
    found = read_columns(file, ["second", "first"])
    assert list(found) == ["second", "first"]
    assert list(zip(found["first"], found["second"], strict=True)) == rows
    assert list(read_columns(file))[:2] == list(NAMES)
    with pytest.raises(UserError, match=r"has no column 'third' \(it has first, second"):
        read_columns(file, ["third"])


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "it"}\n{"label": 3}\n{"text": null}\n')
    assert read_columns(tmp_path / "a.jsonl", ["text"]) == {"text": ["it", None, None]}
    file = write(tmp_path, ".parquet", ROWS)
    assert read_columns(file, ["n"]) == {"n": [1, 2, None]}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"a", r"is no table of texts: expected \.tsv, \.csv, \.jsonl, \.parquet"),
        ("none.csv", None, "is not there or is not a file"),
        ("a.csv", b"a,a\n1,2\n", "has no first line that names its columns, each once"),
        ("a.csv", b"", "has no first line"),
        ("a.csv", b"a,b\n1,2\n3\n", "has 1 column in line 3, and its first line names 2"),
        ("a.tsv", b"a\n\xff\n", r"is no text in UTF-8 \(invalid start byte\)"),
        ("a.csv", b"a\n" + b"x" * 200_000, r"is malformed in line 2 \(field larger than field"),
        ("a.csv", b'a\n"it\nis\n', r"is malformed in line 3 \(unexpected end of data\)"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "has no json object in line 2: expected one a line"),
        ("a.jsonl", b'{"a": 1}\n{"a":\n', "has no json object in line 2"),
        ("a.jsonl", b"[" * 100_000, "has no json object in line 1"),
        ("a.parquet", b"PAR1", "cannot load .*parquet: .*; write it again"),
    ],
)
def test_what_is_no_table_is_one_sentence(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="parquet needs pyarrow: hydra-peft[text]")
    with pytest.raises(UserError, match=said) as error:
        read_columns(tmp_path / name)
    assert "\n" not in str(error.value)


def test_columns_of_one_name_in_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="parquet needs pyarrow: hydra-peft[text]")
    from pyarrow import parquet

    twice = pyarrow.table([["a"], ["b"]], names=["text", "text"])
    parquet.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(UserError, match="has more than one column 'text'"):
        read_columns(tmp_path / "a.parquet", ["text"])


def test_without_pyarrow_it_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"package pyarrow, .*pip install 'hydra-peft\[text\]'"):
        read_columns(tmp_path / "a.parquet")
