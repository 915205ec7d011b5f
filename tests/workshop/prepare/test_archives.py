"""Archives of every kind, whole and hostile: unpacked as they are, or refused without a trace."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import random
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare import archives
from hydra_peft.workshop.prepare.archives import extract

NOISE = bytes(range(256)) * 40 + random.Random(0).randbytes(5000)
CONTENT = {
    "top.txt": b"hello",
    "a/b/c.bin": NOISE,
    "a/block.bin": NOISE[:1024],  # exactly two blocks of a tar
    "empty.dat": b"",
    "a/" + "long" * 50 + ".txt": b"a name of its own header",
    "päth/naïve.txt": b"utf-8",
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def tar_bytes(content: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, value in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(value)
            archive.addfile(member, io.BytesIO(value))
    return file.getvalue()


def zip_bytes(content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("hollow/", b"")
        for name, value in content.items():
            archive.writestr(name, value)
    return file.getvalue()


def tar_header(name: bytes, type: bytes, size: int = 0, link: bytes = b"") -> bytes:
    """One ustar header, as the POSIX standard lays it out."""
    block = struct.pack(
        "100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x",
        *(name, b"0000644\0", b"0000000\0", b"0000000\0"),
        *(b"%011o\0" % size, b"00000000000\0", b" " * 8, type, link),
        *(b"ustar\0", b"00", b"", b"", b"", b"", b""),
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(tmp_path: Path, name: str, content: bytes, **bounds: int) -> str:
    """Unpack ``content`` in vain; nothing may be left; return the sentence."""
    archive = tmp_path / name
    archive.write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as caught:
        extract(archive, tmp_path / "new" / "target", **bounds)
    assert sorted(tmp_path.rglob("*")) == before
    message = str(caught.value)
    assert "\n" not in message
    assert str(archive) in message
    return message


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_tar(tmp_path: Path, suffix: str, format: int) -> None:
    archive = tmp_path / f"data{suffix}"
    archive.write_bytes(PACKERS[suffix](tar_bytes(CONTENT, format)))
    extract(archive, tmp_path / "deep" / "target")
    assert files_below(tmp_path / "deep" / "target") == CONTENT
    assert os.listdir(tmp_path / "deep") == ["target"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_zip(tmp_path: Path, method: int) -> None:
    archive = tmp_path / "data.zip"
    archive.write_bytes(zip_bytes(CONTENT, method))
    extract(archive, tmp_path / "target")
    assert files_below(tmp_path / "target") == CONTENT
    assert (tmp_path / "target" / "hollow").is_dir()


def test_single_gz_larger_than_a_chunk(tmp_path: Path) -> None:
    content = os.urandom(1000) * 3000
    (tmp_path / "x.h5.gz").write_bytes(gzip.compress(content[:100]) + gzip.compress(content[100:]))
    extract(tmp_path / "x.h5.gz", tmp_path / "target")
    assert files_below(tmp_path / "target") == {"x.h5": content}


def test_kind_is_told_by_content_not_name(tmp_path: Path) -> None:
    (tmp_path / "wrong.zip").write_bytes(gzip.compress(tar_bytes(CONTENT)))
    extract(tmp_path / "wrong.zip", tmp_path / "target")
    assert files_below(tmp_path / "target") == CONTENT


def test_ordinary_permissions(tmp_path: Path) -> None:
    member = tarfile.TarInfo("run.sh")
    member.mode = 0o6777
    member.size = 0
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.addfile(member, io.BytesIO())
    before = os.umask(0o027)
    try:
        extract(tmp_path / "x.tar", tmp_path / "target")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "target" / "run.sh").stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["../x", "a/../../x"])
def test_paths_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    assert "outside" in refused(tmp_path, "x.tar", tar_bytes({"good": b"1", name: b"2"}))
    # zipfile takes out of a name what leads elsewhere.
    (tmp_path / "x.zip").write_bytes(zip_bytes({"good": b"1", name: b"2"}))
    extract(tmp_path / "x.zip", tmp_path / "target")
    assert set(files_below(tmp_path / "target")) in ({"good", "x"}, {"good", "a/x"})
    assert sorted(os.listdir(tmp_path)) == ["target", "x.tar", "x.zip"]


def test_a_python_without_filters_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(__file__, "file")
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(UserError, match=r"too old for tarfile's filters: take 3\.10\.12, 3\.11\.4"):
        extract(tmp_path / "a.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_absolute_paths_lie_below_the_target(tmp_path: Path) -> None:
    for kind, content in (
        ("x.tar", tar_bytes({"/x/y": b"2"})),
        ("x.zip", zip_bytes({"/x/y": b"2"})),
    ):
        (tmp_path / kind).write_bytes(content)
        extract(tmp_path / kind, tmp_path / f"of {kind}")
        assert files_below(tmp_path / f"of {kind}") == {"x/y": b"2"}


@pytest.mark.parametrize("type", [b"1", b"2", b"3", b"4", b"6"])
def test_tar_members_that_are_no_files(tmp_path: Path, type: bytes) -> None:
    content = tar_header(b"odd", type, link=b"/etc/passwd") + bytes(1024)
    assert "'odd'" in refused(tmp_path, "x.tar", content)


def test_hard_links_to_earlier_files(tmp_path: Path) -> None:
    links = tar_header(b"b/two", b"1", link=b"good")
    (tmp_path / "x.tar").write_bytes(GOOD + links + bytes(1024))
    extract(tmp_path / "x.tar", tmp_path / "target")
    assert files_below(tmp_path / "target") == {"good": b"hello", "b/two": b"hello"}
    outside = GOOD + tar_header(b"odd", b"1", link=b"../x.tar") + bytes(1024)
    assert "outside" in refused(tmp_path, "y.tar", outside)
    missing = GOOD + tar_header(b"odd", b"1", link=b"later") + bytes(1024)
    assert "'later' not found" in refused(tmp_path, "z.tar", missing)


def test_a_link_in_a_zip_is_not_unpacked_as_its_text(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("odd")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(content := io.BytesIO(), "w") as packed:
        packed.writestr(link, "/etc/passwd")
    assert "'odd' is a link, which is not unpacked" in refused(
        tmp_path, "x.zip", content.getvalue()
    )


def test_nothing_but_zeros_is_not_searched_for_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_holds_tar", lambda _: pytest.fail("read to its end"))
    assert "none of these" in refused(tmp_path, "x.tar", bytes(10240))


GOOD = tar_header(b"good", b"0", size=5) + b"hello".ljust(512, b"\0")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    content = {"x": b"1", "x/y": b"2"}
    assert "cannot lie beside" in refused(tmp_path, "x.tar", tar_bytes(content))
    assert "cannot lie beside" in refused(tmp_path, "x.zip", zip_bytes(content))


@pytest.mark.parametrize("packer", PACKERS)
def test_truncated_anywhere(tmp_path: Path, packer: str) -> None:
    plain = tar_bytes(CONTENT)
    whole = PACKERS[packer](plain)
    ends = {*range(512, len(whole), 1499), len(whole) - 1} if packer != ".tar" else set()
    if packer == ".tar":
        # also between members and within headers, where tarfile sees nothing amiss
        ends = set(range(513, len(plain.rstrip(b"\0")), 256))
    for end in sorted(ends):
        message = refused(tmp_path, f"x{packer}", whole[:end])
        assert "truncated or damaged" in message
        assert "fetch it again" in message


def test_truncated_zip_and_gz(tmp_path: Path) -> None:
    whole = zip_bytes(CONTENT)
    for end in (10, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        assert "truncated or damaged" in refused(tmp_path, "x.zip", whole[:end])
    whole = gzip.compress(NOISE)
    for end in (600, len(whole) // 2, len(whole) - 1):
        assert "truncated or damaged" in refused(tmp_path, "x.gz", whole[:end])


def test_flipped_bits_are_noticed(tmp_path: Path) -> None:
    for name, whole in (
        ("x.tar.gz", gzip.compress(tar_bytes({"x": NOISE}), mtime=0)),
        ("x.tar.bz2", bz2.compress(tar_bytes({"x": NOISE}))),
        ("x.tar.xz", lzma.compress(tar_bytes({"x": NOISE}))),
        ("x.zip", zip_bytes({"x": NOISE})),
        ("x.gz", gzip.compress(NOISE, mtime=0)),
    ):
        # within the incompressible part, where only a checksum can tell
        place = len(whole) - len(whole) // 4
        broken = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        assert "damaged" in refused(tmp_path, name, broken)


def test_checksum_behind_the_end_of_a_tar(tmp_path: Path) -> None:
    whole = gzip.compress(tar_bytes(CONTENT))
    assert "damaged" in refused(tmp_path, "x.tar.gz", whole[:-8] + bytes(4) + whole[-4:])
    assert "damaged" in refused(tmp_path, "x.tar.gz", whole[:-8])


def test_a_damaged_header_between_members(tmp_path: Path) -> None:
    garbage = GOOD + os.urandom(512) + bytes(1024)
    assert "its end is missing" in refused(tmp_path, "garbage.tar", garbage)
    endless = tar_header(b"x", b"0", size=600) + bytes(512)
    assert "damaged" in refused(tmp_path, "short.tar", endless)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("x.tar.gz", b"", "none of these"),
        ("x.zip", b"no archive at all", "none of these"),
        ("x.tgz", b"\n<!DOCTYPE html><html>Sign in</html>", "a web page"),
        ("x.tar.gz", gzip.compress(b"not a tar" * 100, mtime=0), "damaged"),
        ("x.tar", bytes(10240), "none of these"),
        ("x.zip", zip_bytes({}), "holds no file"),
        ("x.rar", b"Rar!\x1a\x07\x01\x00" + NOISE, "'unrar x x.rar'"),
        ("x.7z", b"7z\xbc\xaf\x27\x1c" + NOISE, "'7z x x.7z'"),
    ],
)
def test_foreign(tmp_path: Path, name: str, content: bytes, word: str) -> None:
    assert word in refused(tmp_path, name, content)


def _patched_zip(offset_local: int, offset_central: int, value: int) -> bytes:
    """A zip with one 16-bit field set in the member's local and central header."""
    content = bytearray(zip_bytes({"x": b"secret"})[: 2**20])
    local = content.rindex(b"PK\x03\x04")
    central = content.rindex(b"PK\x01\x02")
    struct.pack_into("<H", content, local + offset_local, value)
    struct.pack_into("<H", content, central + offset_central, value)
    return bytes(content)


def test_zip_encrypted_or_of_unknown_method(tmp_path: Path) -> None:
    assert "password required" in refused(tmp_path, "x.zip", _patched_zip(6, 8, 1))
    assert "Python cannot read" in refused(tmp_path, "x.zip", _patched_zip(8, 10, 9))


@pytest.mark.parametrize("kind", ["x.tar", "x.tar.gz", "x.zip", "x.gz"])
def test_bounds(tmp_path: Path, kind: str) -> None:
    content = {"x": bytes(6000), "y": bytes(6000)}
    whole = {
        "x.tar": lambda: tar_bytes(content),
        "x.tar.gz": lambda: gzip.compress(tar_bytes(content)),
        "x.zip": lambda: zip_bytes(content),
        "x.gz": lambda: gzip.compress(bytes(12000)),
    }[kind]()
    assert "more than 11,999 bytes" in refused(tmp_path, kind, whole, max_bytes=11999)
    if kind != "x.gz":
        assert "more than 2 members" in refused(tmp_path, kind, whole, max_files=2)
    extract(tmp_path / kind, tmp_path / "target", max_bytes=12000 * 3, max_files=3)


def test_bomb_behind_the_end_of_a_tar(tmp_path: Path) -> None:
    bomb = gzip.compress(tar_bytes({"x": b"1"}) + bytes(10**7))
    assert "more than 100,000 bytes" in refused(tmp_path, "x.tar.gz", bomb, max_bytes=100_000)


def test_zip_that_declares_less_than_it_holds(tmp_path: Path) -> None:
    content = bytearray(zip_bytes({"x": bytes(10**6)}))
    central = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, central + 24, 10)
    assert "damaged" in refused(tmp_path, "x.zip", bytes(content), max_bytes=1000)


def test_missing_archive_and_existing_target(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no archive"):
        extract(tmp_path / "x.zip", tmp_path / "target")
    (tmp_path / "x.zip").write_bytes(zip_bytes(CONTENT))
    extract(tmp_path / "x.zip", tmp_path / "target")
    with pytest.raises(UserError, match="exists already"):
        extract(tmp_path / "x.zip", tmp_path / "target")


def test_name_too_long(tmp_path: Path) -> None:
    assert "too long" in refused(tmp_path, "x.tar", tar_bytes({"n" * 300: b"1"}))


def test_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.zip").write_bytes(zip_bytes(CONTENT))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "extract", stop)
    with pytest.raises(KeyboardInterrupt):
        extract(tmp_path / "x.zip", tmp_path / "target")
    assert os.listdir(tmp_path) == ["x.zip"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.tar").write_bytes(tar_bytes(CONTENT))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "extract", full)
    with pytest.raises(OSError, match="No space left") as caught:
        extract(tmp_path / "x.tar", tmp_path / "new" / "target")
    assert caught.value.filename
    assert os.listdir(tmp_path) == ["x.tar"]
