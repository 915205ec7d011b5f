"""prepare_data.py as a user meets it: originals, downloads, archives, and every mistake."""

from __future__ import annotations

import errno
import functools
import gzip
import hashlib
import http.server
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hydra_peft.cli import prepare_data
from hydra_peft.data.manifests import read_manifest
from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals import _prepare, _writer
from hydra_peft.workshop.prepare.originals._base import Pool, RemoteFile, Slice
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.spec import TaskSpec

Cli = Callable[..., tuple[int, str, str]]

SIZES = {"train800": 40, "val200": 10, "train": 50, "test": 6}
SLICES = {
    "train800": Slice("train", 0, 80),
    "val200": Slice("train", 80, 100),
    "test": Slice("test"),
}


def task(name: str, folder: str, *aliases: str) -> TaskSpec:
    return TaskSpec("vtab1k", name, folder, aliases, 3, SIZES)


TASKS = {
    "left": task("left", "toy_left"),
    "right": task("right", "toy_right", "toy_r"),
    "secret": task("secret", "secret"),
}


class Toy:
    """An original of two tasks: grey images, whose values are the bytes of two packed files."""

    name = "Toy Set"
    tasks: Mapping[str, Mapping[str, Slice]] = {"left": SLICES, "right": SLICES}
    files: Sequence[RemoteFile] = ()
    page = "https://toys.example"
    needs: Sequence[str] = ("train.bin.gz", "test.bin.gz")

    def made(self, benchmark: str) -> Mapping[str, Mapping[str, Slice]]:
        return self.tasks if benchmark == "vtab1k" else {}

    def pools(self, source: SourceFolder, task: str) -> dict[str, Pool]:
        return {split: self._pool(source, split, task) for split in ("train", "test")}

    def _pool(self, source: SourceFolder, split: str, task: str) -> Pool:
        path = source.file(f"{split}.bin", archives=[f"{split}.bin.gz"])
        values = np.frombuffer(path.read_bytes(), np.uint8)
        if len(values) not in (50, 6):
            source.note(f"{split} has {len(values)} images.")
        labels = values.astype(np.int64) % 3
        if task == "right":
            labels = 2 - labels
        return Pool(range(len(values)), labels, lambda i: Image.new("L", (2, 2), int(values[i])))


class Secret(Toy):
    """An original that asks for a login."""

    name = "Secret Set"
    tasks: Mapping[str, Mapping[str, Slice]] = {"secret": SLICES}
    page = "https://login.example"
    needs: Sequence[str] = ("secret/train.bin", "secret/test.bin")

    def _pool(self, source: SourceFolder, split: str, task: str) -> Pool:
        source.file(f"secret/{split}.bin")
        return super()._pool(source, f"secret/{split}", task)


def make_toys(folder: Path, *, packed: bool = True, train: int = 50) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"train": bytes(range(train)), "test": b"abcdef"}
    for split, values in content.items():
        if packed:
            (folder / f"{split}.bin.gz").write_bytes(gzip.compress(values, mtime=0))
        else:
            (folder / f"{split}.bin").write_bytes(values)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Call the entry point with arguments: exit code, stdout, stderr."""
    monkeypatch.setattr(prepare_data, "_tasks", lambda _: TASKS)
    monkeypatch.setattr(prepare_data, "_originals", lambda: [Toy(), Secret()])

    def call(*arguments: object) -> tuple[int, str, str]:
        words = [str(argument) for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["scripts/prepare_data.py", *words])
        before = signal.getsignal(signal.SIGTERM)
        try:
            code = prepare_data.main()
        except SystemExit as left:
            code = int(left.code or 0)
        finally:
            signal.signal(signal.SIGTERM, before)
        return (code, *capfd.readouterr())

    return call


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that a local server offers as Toy's files."""
    folder = tmp_path / "site"
    make_toys(folder)
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        train, test = Toy.needs
        md5 = hashlib.md5((folder / train).read_bytes()).hexdigest()
        files = (RemoteFile(train, f"{url}/{train}", md5), RemoteFile(test, f"{url}/{test}"))
        monkeypatch.setattr(Toy, "files", files)
        monkeypatch.setattr(Secret, "files", ())
        yield folder
        server.shutdown()
        thread.join()


def table(out: str) -> dict[str, tuple[str, str]]:
    """Status and remark of each task, from the printed table; wrapped remarks in one."""
    lines = out[out.index("task ") :].splitlines()
    first, second = lines[0].index("status"), lines[0].index("what is missing")
    rows: dict[str, tuple[str, str]] = {}
    name = ""
    for line in lines[2:]:
        if not line:
            break
        name = line[:first].strip() or name
        status, remark = rows.get(name, ("", ""))
        rows[name] = (
            f"{status} {line[first:second].strip()}".strip(),
            f"{remark} {line[second:].strip()}".strip(),
        )
    return rows


def labels(folder: Path, split: str) -> list[int]:
    return [int(line.split()[1]) for line in (folder / f"{split}.txt").read_text().splitlines()]


def test_one_task(cli: Cli, tmp_path: Path) -> None:
    make_toys(tmp_path / "source")
    code, out, err = cli("vtab1k", "task=left", f"source={tmp_path}/source", f"out={tmp_path}/out")
    assert (code, err) == (0, "")
    folder = tmp_path / "out" / "toy_left"
    assert out == f"left: train800 40, val200 10, test 6 images\n    {folder}\n"

    def number(index: int) -> int:
        return int(hashlib.md5(b"test%d" % index).hexdigest(), 16)

    expected = [(ord("a") + index) % 3 for index in sorted(range(6), key=number)]
    assert labels(folder, "test") == expected
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["benchmark"], manifest["task"]) == ("vtab1k", "left")
    names = {source["name"] for source in manifest["sources"]}
    assert names == {"train.bin", "train.bin.gz", "test.bin", "test.bin.gz"}


def test_default_out_is_in_the_checkout(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_data, "ROOT", tmp_path)
    make_toys(tmp_path / "source")
    assert cli("vtab1k", "task=toy_left", f"source={tmp_path}/source")[0] == 0
    assert (tmp_path / "data" / "vtab1k" / "toy_left" / "test.txt").exists()


def test_all_goes_on_after_a_failure(cli: Cli, tmp_path: Path) -> None:
    make_toys(tmp_path / "source" / "toy_set")
    arguments = ("vtab1k", "task=all", f"source={tmp_path}/source", f"out={tmp_path}/out")
    code, out, err = cli(*arguments)
    assert code == 1
    rows = table(out)
    assert rows["left"] == rows["right"] == ("prepared", "")
    status, remark = rows["secret"]
    assert status == "failed"
    assert "it should hold secret/train.bin, secret/test.bin, see https://login.example." in remark
    assert err == f"error: secret: {remark}\n"
    left, right = (labels(tmp_path / "out" / name, "test") for name in ("toy_left", "toy_right"))
    assert right == [2 - label for label in left]
    # once more: what is there stays
    code, out, _ = cli(*arguments)
    assert code == 1
    assert table(out)["left"] == ("there already", "")


def test_several_by_name_alias_and_twice(cli: Cli, tmp_path: Path) -> None:
    make_toys(tmp_path / "source", packed=False)
    code, out, _ = cli(
        *("vtab1k", "task=toy_r, left,right", f"source={tmp_path}/source", f"out={tmp_path}/out")
    )
    assert code == 0
    assert list(table(out)) == ["left", "right"]


@pytest.mark.parametrize("name", ["left", "toy_left"])
def test_sub_folder_of_a_task(cli: Cli, tmp_path: Path, name: str) -> None:
    make_toys(tmp_path / "source" / "deeper" / "than" / "one")
    (tmp_path / "source" / "deeper" / "than" / "one").rename(tmp_path / "source" / name)
    (tmp_path / "source" / "a_decoy").mkdir()
    (tmp_path / "source" / "a_decoy" / "train.bin").write_bytes(b"another original's")
    arguments = ("vtab1k", "task=left", f"source={tmp_path}/source", f"out={tmp_path}/out")
    assert cli(*arguments)[0] == 0


def test_partial(cli: Cli, tmp_path: Path) -> None:
    make_toys(tmp_path / "source", train=25)
    arguments = ["vtab1k", "task=left", f"source={tmp_path}/source", f"out={tmp_path}/out"]
    code, out, err = cli(*arguments)
    assert code == 2
    assert out == "note: train has 25 images.\n"
    assert "split train800 would have 20 images where it must have 40" in err
    assert err.count("\n") == 1
    code, out, _ = cli(*arguments, "partial=true")
    assert code == 0
    assert "left: train800 20, val200 5, test 6 images, PARTIAL DATA" in out
    assert read_manifest(tmp_path / "out" / "toy_left" / "manifest.json").partial
    arguments[1] = "task=left,right"
    code, out, _ = cli(*arguments, "partial=true")
    assert code == 0
    assert table(out) == {
        "left": ("there already", "PARTIAL DATA: overwrite=true makes it again"),
        "right": ("prepared, PARTIAL DATA", ""),
    }


def test_an_incomplete_original_whose_splits_are_full(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_toys(tmp_path / "source")
    whole = Toy._pool

    def pool(self: Toy, source: SourceFolder, split: str, task: str) -> Pool:
        found = whole(self, source, split, task)
        if split == "train":
            source.expect_count("toys", len(found.keys), 51)
        return found

    monkeypatch.setattr(Toy, "_pool", pool)
    arguments = ["vtab1k", "task=left", f"source={tmp_path}/source", f"out={tmp_path}/out"]
    code, out, err = cli(*arguments)
    assert code == 2
    assert out.startswith("note: Toy Set: 50 toys where 51 were published")
    assert err.startswith("error: left: Toy Set: 50 toys where 51 were published")
    assert err.endswith("give partial=true to make a task that is marked as partial.\n")
    code, out, _ = cli(*arguments, "partial=true")
    assert code == 0
    assert "left: train800 40, val200 10, test 6 images, PARTIAL DATA" in out
    assert read_manifest(tmp_path / "out" / "toy_left" / "manifest.json").partial


def test_remains_of_killed_runs_are_mentioned(cli: Cli, tmp_path: Path) -> None:
    make_toys(tmp_path / "source")
    remains = [
        tmp_path / "out" / ".toy_left.partial-1",
        tmp_path / "source" / ".unpacked" / ".x.zip.partial-2",
        tmp_path / "source" / "toy" / ".unpacked" / ".y.zip.partial-3",
    ]
    for folder in remains:
        folder.mkdir(parents=True)
    code, out, _ = cli("vtab1k", "task=left", f"source={tmp_path}/source", f"out={tmp_path}/out")
    assert code == 0
    for folder in remains:
        assert f"note: {folder} is left of a run that was killed" in out
        assert folder.exists()


def test_remains_of_killed_installs_are_mentioned(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    remains = [out / "..x.zip.unpacked-1.partial-abc", out / ".x.zip.unpacked-2"]
    for folder in remains:
        folder.mkdir(parents=True)
    code, said, _ = cli("vtab1k", f"archive={tmp_path}/none.zip", f"out={out}")
    assert code == 2
    make_toys(tmp_path / "source")
    code, prepared, _ = cli("vtab1k", "task=left", f"source={tmp_path}/source", f"out={out}")
    assert code == 0
    for folder in remains:
        for text in (said, prepared):
            assert text.count(f"note: {folder} is left of a run that was killed") == 1
        assert folder.exists()


def test_overwrite(cli: Cli, tmp_path: Path) -> None:
    make_toys(tmp_path / "source")
    arguments = ("vtab1k", "task=left", f"source={tmp_path}/source", f"out={tmp_path}/out")
    assert cli(*arguments)[0] == 0
    code, _, err = cli(*arguments)
    assert code == 2
    assert "exists already: give overwrite=true" in err
    code, out, _ = cli(*arguments, "overwrite=true")
    assert code == 0
    assert f"the earlier one is {tmp_path}/out/toy_left.superseded-1" in out


def test_download(cli: Cli, tmp_path: Path, site: Path) -> None:
    source = tmp_path / "source"
    code, out, err = cli(
        *("vtab1k", "task=left", f"source={source}", f"out={tmp_path}/out", "download=true")
    )
    assert (code, err) == (0, "")
    assert f"{source}/train.bin.gz: fetched, md5" in out
    sha256 = hashlib.sha256((site / "test.bin.gz").read_bytes()).hexdigest()
    assert f"{source}/test.bin.gz: fetched, no published checksum; sha256 {sha256}" in out
    assert (source / "train.bin.gz").read_bytes() == (site / "train.bin.gz").read_bytes()


def test_download_of_all_keeps_originals_apart(cli: Cli, tmp_path: Path, site: Path) -> None:
    source = tmp_path / "source"
    arguments = ("vtab1k", "task=all", f"source={source}", f"out={tmp_path}/out", "download=true")
    code, out, err = cli(*arguments)
    assert code == 1
    assert sorted(p.name for p in (source / "toy_set").glob("*.gz")) == sorted(Toy.needs)
    assert out.count("fetched, md5") == 1  # two tasks, one original
    assert table(out)["right"] == ("prepared", "")
    assert (
        "secret: download=true does not fetch this one: Secret Set: secret/train.bin is not" in err
    )
    assert "see https://login.example" in err
    # a later call finds them; a task alone too
    shutil.rmtree(tmp_path / "out")
    shutil.rmtree(site)
    for chosen in ("task=left", "task=left,right"):
        code, out, _ = cli(arguments[0], chosen, *arguments[2:])
        assert code == 0
    assert out.count("there already, md5") == 1


def test_download_leaves_unpacked_files_alone(cli: Cli, tmp_path: Path, site: Path) -> None:
    make_toys(tmp_path / "source", packed=False)
    shutil.rmtree(site)
    code, out, _ = cli(
        *("vtab1k", "task=left", f"source={tmp_path}/source", f"out={tmp_path}/out"),
        "download=true",
    )
    assert code == 0
    assert "fetched" not in out


def test_download_of_what_is_not_there(cli: Cli, tmp_path: Path, site: Path) -> None:
    (site / "test.bin.gz").unlink()
    code, _, err = cli(
        *("vtab1k", "task=left", f"source={tmp_path}/source", f"out={tmp_path}/out"),
        "download=true",
    )
    assert code == 2
    assert "/test.bin.gz: it answers 404" in err
    assert f"download it by hand into {tmp_path}/source as test.bin.gz." in err


def test_download_notices_a_wrong_file(cli: Cli, tmp_path: Path, site: Path) -> None:
    make_toys(tmp_path / "source")
    (tmp_path / "source" / "train.bin.gz").write_bytes(b"broken")
    code, _, err = cli(
        *("vtab1k", "task=left", f"source={tmp_path}/source", f"out={tmp_path}/out"),
        "download=true",
    )
    assert code == 2
    assert "delete it to fetch it again" in err
    assert site.exists()


def test_full_disk_ends_all(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_toys(tmp_path / "source")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/full/disk")

    monkeypatch.setattr(_writer, "_write", full)
    code, out, err = cli("vtab1k", "task=all", f"source={tmp_path}/source", f"out={tmp_path}/out")
    assert (code, out) == (2, "")
    assert err == (
        "error: cannot read or write at /full/disk: No space left on device; make room, or "
        "choose other folders by source= and out=.\n"
    )


def test_a_bug_in_one_task_is_shown_and_the_rest_goes_on(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_toys(tmp_path / "source")
    whole = Toy.pools

    def pools(self: Toy, source: SourceFolder, task: str) -> dict[str, Pool]:
        if task == "left":
            raise ZeroDivisionError("a bug")
        return whole(self, source, task)

    monkeypatch.setattr(Toy, "pools", pools)
    arguments = ("vtab1k", "task=left,right", f"source={tmp_path}/source", f"out={tmp_path}/out")
    code, out, err = cli(*arguments)
    assert code == 1
    assert table(out) == {"left": ("failed", "a bug"), "right": ("prepared", "")}
    assert "Traceback" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say first which benchmark, one of elevater, mini_glue, real, vtab1k"),
        (["task=left"], "say first which benchmark, one of elevater, mini_glue, real, vtab1k"),
        (["vtab"], "benchmark 'vtab' is not prepared from files (did you mean 'vtab1k'?)"),
        (
            ["mini", "task=all"],
            "benchmark 'mini' is not prepared from files (did you mean 'mini_glue'?): only "
            "elevater, mini_glue, real, vtab1k are",
        ),
        (["vtab1k"], "source is missing"),
        (["vtab1k", "source={}"], "task is missing: give task=all, or one or more of left, right"),
        (["vtab1k", "source={}", "task=rigt"], "task 'rigt' is unknown (did you mean 'right'?)"),
        (["vtab1k", "source={}", "task=,"], "task=',' has a name missing"),
        (
            ["vtab1k", "source={}/x", "task=left,right"],
            "/x is not a folder: put the original files there; download=true does not fetch Toy "
            "Set, see https://toys.example.",
        ),
        (
            ["vtab1k", "source={}/o", "task=secret", "download=true"],
            "download=true does not fetch this one: source={}/o is not a folder: it should hold "
            "secret/train.bin, secret/test.bin, see https://login.example.",
        ),
        (["vtab1k", "source={}", "task=left", "partial=1"], "partial=1 is not allowed"),
        (["vtab1k", "source={}", "task=left", "sorce=x"], "unknown key 'sorce'"),
        (["vtab1k", "left"], "cannot understand 'left'"),
        (["vtab1k", "archive={}/x.zip", "out={}/o"], "there is no archive"),
        (["vtab1k", "archive=x", "source={}"], "source= does not go with archive="),
        (["vtab1k", "archive=x", "overwrite=true"], "overwrite= does not go with archive="),
    ],
)
def test_mistakes(cli: Cli, tmp_path: Path, arguments: list[str], message: str) -> None:
    code, out, err = cli(*(argument.format(tmp_path) for argument in arguments))
    assert (code, out) == (2, "")
    assert message.format(tmp_path) in err
    assert err.count("\n") == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.usefixtures("site")
def test_download_is_offered_for_what_it_fetches(cli: Cli, tmp_path: Path) -> None:
    first = f"source={tmp_path}/x is not a folder: put the original files there"
    for chosen, advice in (
        ("left", ", or add download=true."),
        ("all", ", or add download=true; download=true does not fetch Secret Set, see https://"),
    ):
        code, _, err = cli("vtab1k", f"task={chosen}", f"source={tmp_path}/x", "out=out")
        assert (code, f"{first}{advice}" in err) == (2, True)


@pytest.mark.parametrize("task", ["fashion_mnist", "elpv"])
def test_where_the_originals_of_real_come_from_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], root: Path, task: str
) -> None:
    argv = ["prepare_data.py", "real", f"task={task}", "source=/none/at/all", "out=/none/either"]
    monkeypatch.setattr(sys, "argv", argv)
    assert prepare_data.main() == 2
    said, page = capfd.readouterr().err, (root / "docs" / "real.md").read_text()
    command = re.search(r"or (?:on Debian )?((?:apt-get|pip) .+) and give (source=.+)\.", said)
    assert command is not None
    assert all(word in page for word in command.groups())


@pytest.mark.parametrize("words", [["--help"], ["vtab1k", "-h"], ["help"]])
def test_help(cli: Cli, words: list[str]) -> None:
    code, out, _ = cli(*words)
    assert code == 0
    assert "python scripts/prepare_data.py vtab1k archive=<file>" in out


def test_a_task_without_original(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_data, "_originals", lambda: [Toy()])
    code, _, err = cli("vtab1k", "task=secret", f"source={tmp_path}", f"out={tmp_path}/out")
    assert code == 2
    assert "no original is known of task secret" in err


# Archives


def task_files(folder: str, *, test: int = 6, joined: bool = True) -> dict[str, bytes]:
    sizes = {"train800": 40, "val200": 10, "test": test}
    if joined:
        sizes["train800val200"] = 50
    files = {}
    for split, size in sizes.items():
        paths = [f"images/{split}/{number:06d}.jpg" for number in range(size)]
        lines = [f"{path} {number % 3}" for number, path in enumerate(paths)]
        files[f"{folder}/{split}.txt"] = "\n".join(lines).encode()
        files |= {f"{folder}/{path}": b"jpeg" for path in paths}
    return files


def archived(path: Path, files: Mapping[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, content in files.items():
                packed.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("around", ["", "vtab-1k/", "data/vtab-1k/"])
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archive(cli: Cli, tmp_path: Path, around: str, kind: str) -> None:
    files = task_files(f"{around}toy_left") | task_files(f"{around}toy_r", joined=False)
    archive = archived(tmp_path / f"a.{kind}", {**files, f"{around}readme": b"hello"})
    out = tmp_path / "out" / "deep"
    code, said, err = cli("vtab1k", f"archive={archive}", f"out={out}")
    assert (code, err) == (0, "")
    assert table(said) == {
        "left": ("installed", ""),
        "right": ("installed", ""),
        "secret": ("not in the archive", ""),
    }
    assert f"2 of 3 tasks are in {out}" in said
    assert sorted(path.name for path in out.iterdir()) == ["toy_left", "toy_right"]
    assert (out / "toy_right" / "images" / "test" / "000005.jpg").read_bytes() == b"jpeg"


def test_archive_of_a_root_that_was_prepared_here(cli: Cli, tmp_path: Path) -> None:
    """Prepared images lie under two names each, which ``tar`` stores as hard links."""
    make_toys(tmp_path / "source")
    made, out = tmp_path / "made", tmp_path / "out"
    code, _, _ = cli("vtab1k", "task=left", f"source={tmp_path}/source", f"out={made}")
    assert code == 0
    archive = tmp_path / "made.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", made, "."], check=True)
    with tarfile.open(archive) as tar:
        assert sum(member.islnk() for member in tar) == 50
    code, said, err = cli("vtab1k", f"archive={archive}", f"out={out}")
    assert (code, err) == (0, "")
    assert table(said)["left"] == ("installed", "")
    files = [path.relative_to(made) for path in made.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert all((out / file).read_bytes() == (made / file).read_bytes() for file in files)


def test_archive_never_overwrites(cli: Cli, tmp_path: Path) -> None:
    archive = archived(tmp_path / "a.zip", task_files("toy_left") | task_files("toy_right"))
    (tmp_path / "out" / "toy_left").mkdir(parents=True)
    (tmp_path / "out" / "toy_r").mkdir()  # an alias
    arguments = ("vtab1k", f"archive={archive}", f"out={tmp_path}/out")
    code, out, _ = cli(*arguments)
    assert code == 0
    assert table(out)["left"] == table(out)["right"] == ("there already", "")
    assert list((tmp_path / "out" / "toy_left").iterdir()) == []
    assert cli(*arguments, "task=left")[0] == 0


def test_archive_without_a_named_task(cli: Cli, tmp_path: Path) -> None:
    archive = archived(tmp_path / "a.zip", task_files("toy_left"))
    arguments = ("vtab1k", f"archive={archive}", f"out={tmp_path}/out", "task=left,right")
    code, out, _ = cli(*arguments)
    assert code == 1
    assert table(out)["right"] == ("not in the archive", "")
    assert (tmp_path / "out" / "toy_left").exists()


def _without(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if path != name}


LEFT = task_files("toy_left")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (_without(LEFT, "toy_left/val200.txt"), "a.zip/toy_left/val200.txt is missing"),
        (_without(LEFT, "toy_left/images/test/000003.jpg"), "lists images/test/000003.jpg, which"),
        (
            {path: content for path, content in LEFT.items() if "images/val200/" not in path},
            "and 9 more such",
        ),
        (
            LEFT | {"toy_left/test.txt": b"images/test/000000.jpg 3"},
            "a.zip/toy_left/test.txt, line 1: label 3 is outside 0 to 2",
        ),
        (LEFT | {"toy_left/test.txt": b"nonsense"}, "expected an image path"),
        (LEFT | {"toy_left/test.txt": b"../../x.jpg 1"}, "leads out of the task's folder"),
        (task_files("toy_left", test=5), "test.txt lists 5 images instead of 6"),
        (LEFT | task_files("x/toy_left"), "in the archive as toy_left and x/toy_left"),
    ],
)
def test_incomplete_task_in_an_archive(
    cli: Cli, tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    archive = archived(tmp_path / "a.zip", files | task_files("toy_right"))
    code, out, _ = cli("vtab1k", f"archive={archive}", f"out={tmp_path}/out")
    assert code == 1
    status, remark = table(out)["left"]
    assert status == "refused"
    assert message in remark
    assert ".unpacked" not in remark
    assert table(out)["right"] == ("installed", "")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["toy_right"]


def test_partial_archive(cli: Cli, tmp_path: Path) -> None:
    archive = archived(tmp_path / "a.zip", task_files("toy_left", test=5))
    code, out, _ = cli("vtab1k", f"archive={archive}", f"out={tmp_path}/out", "partial=true")
    assert code == 0
    assert table(out)["left"] == ("installed", "test.txt lists 5 images instead of 6")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme": b"x", "toy_left/readme": b"no lists"}, "holds no task: expected folders such"),
        ({"../toy_left/test.txt": b"x"}, "outside"),
    ],
)
def test_archive_of_something_else(
    cli: Cli, tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    archive = archived(tmp_path / "a.tar.gz", files)
    code, _, err = cli("vtab1k", f"archive={archive}", f"out={tmp_path}/out")
    assert code == 2
    assert message in err
    assert list(tmp_path.glob("out/*")) == []


def test_rar(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"Rar!\x1a\x07\x00")
    code, _, err = cli("vtab1k", f"archive={tmp_path}/a.rar", f"out={tmp_path}/out")
    assert code == 2
    assert "'unrar x a.rar'" in err


# The real tasks and originals


@pytest.fixture(scope="module")
def tasks() -> Mapping[str, TaskSpec]:
    return prepare_data._tasks("vtab1k")


def test_every_task_has_an_original(tasks: Mapping[str, TaskSpec]) -> None:
    originals = prepare_data._originals()
    made = [task for original in originals for task in original.tasks]
    real = prepare_data._tasks("real")
    assert sorted(made) == sorted([*tasks, *real])
    assert (len(tasks), len(real)) == (19, 3)
    for original in originals:
        for remote in original.files:
            assert remote.name == Path(remote.name).name
            assert remote.md5 is None or (len(remote.md5) == 32 and int(remote.md5, 16))
        assert _prepare.own_name(original)
    for known in (*tasks.values(), *real.values()):
        assert known.sizes["train800"] + known.sizes["val200"] == known.sizes["train"] == 1000


def test_a_real_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "source" / "cifar100" / "cifar-100-binary"
    folder.mkdir(parents=True)
    for split, count in (("train", 50), ("test", 9)):
        records = np.random.RandomState(count).randint(0, 20, (count, 3074), dtype=np.uint8)
        records.tofile(folder / f"{split}.bin")
    words = ["vtab1k", "task=cifar", f"source={tmp_path}/source", f"out={tmp_path}/out"]
    monkeypatch.setattr(sys, "argv", ["prepare_data.py", *words, "partial=true"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert prepare_data.main() == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    out = capfd.readouterr().out
    assert "cifar100: train800 45, val200 5, test 9 images, PARTIAL DATA" in out
    assert "note: CIFAR-100: 50 records of train where 50,000 were published" in out
    assert len(labels(tmp_path / "out" / "cifar", "train800val200")) == 50


def test_missing_source_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        _prepare.open_source(Toy(), tmp_path / "nothing")
