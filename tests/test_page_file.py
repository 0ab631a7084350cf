"""Devices, identity and the verification of single pages and runs."""

from __future__ import annotations

import errno
import gc
import os
import weakref
from pathlib import Path

import pytest
from storage_helpers import PAGE, Trace, leaf_page, new_file, reopened

from cowtree.errors import ClosedError, CorruptionError, FormatError
from cowtree.storage.devices import open_device
from cowtree.storage.page_file import open_page_file, space_error
from cowtree.storage.plain_records import write_record
from cowtree.storage.range_writer import run_bytes

OK, OUT_OF_RANGE, BAD_CHECKSUM, WRONG_NUMBER, WRONG_KIND, BAD_SIZE = 0, -1, -2, -3, -4, -5


def flip(path: str, offset: int, mask: int = 1) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


def test_gather_write_of_more_pieces_than_one_call_takes(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    device = open_device(descriptor)
    pieces = [bytes([i % 251]) * (i % 7) for i in range(4000)]
    device.write_pieces(3, pieces)
    assert device.read_bytes(0, 1 << 20) == b"\0\0\0" + b"".join(pieces)
    assert device.read_bytes(5, 100, True) == device.read_bytes(5, 100)
    device.write_bytes(1 << 20, b"durable", True)
    assert device.read_bytes(1 << 20, 10, True) == b"durable"
    assert device.get_size() == (1 << 20) + 7
    device.set_size(10)
    assert (
        device.get_size() == 10
        and device.read_bytes(20, 5) == b""
        and device.read_bytes(20, 5, True) == b""
    )
    device.close()
    device.close()
    with pytest.raises(OSError):
        device.write_bytes(0, b"x")


def test_reading_from_the_medium_sees_what_was_written(tmp_path: Path) -> None:
    device = open_device(os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT))
    data = os.urandom(3_000_001)
    device.write_bytes(0, data)
    device.sync_data()
    for offset, size in ((0, 10), (4095, 2), (1000, 2_999_001), (1, 5_000_000)):
        assert device.read_bytes(offset, size, True) == data[offset : offset + size]


def test_tracing_device_fails_before_the_operation_and_writes_short(tmp_path: Path) -> None:
    trace = Trace(fail_at=1, code=errno.EIO)
    device = open_device(os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT), trace=trace)
    device.write_bytes(0, b"abc")
    with pytest.raises(OSError) as caught:
        device.write_bytes(0, b"xyz")
    assert caught.value.errno == errno.EIO and device.read_bytes(0, 9) == b"abc"
    trace.fail_at, trace.short = 2, 2
    with pytest.raises(OSError) as caught:
        device.write_bytes(0, b"XYZ")
    assert caught.value.errno == errno.ENOSPC and device.read_bytes(0, 9) == b"XYc"
    device.sync_data()
    device.set_size(1)
    assert [operation[0] for operation in trace.operations] == [
        "write",
        "write",
        "write",
        "sync",
        "truncate",
    ]


@pytest.mark.parametrize("content", [b"", b"x", b"hello" * 2000, b"\0" * 8192])
def test_foreign_file_is_refused_and_untouched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(FormatError):
        open_page_file(path)
    assert path.read_bytes() == content


def test_each_flipped_bit_of_page_0_is_noticed(tmp_path: Path) -> None:
    page_file, _ = new_file(tmp_path)
    page_file.close()
    for offset in [*range(128), 2000, 4095]:
        flip(page_file.path, offset)
        with pytest.raises((FormatError, CorruptionError)):
            open_page_file(page_file.path)
        flip(page_file.path, offset)
    assert reopened(page_file).uuid == page_file.uuid


def test_unknown_features(tmp_path: Path) -> None:
    import xxhash

    page_file, _ = new_file(tmp_path)
    for offset, outcome in (
        (88, "ignored"),
        (96, "read only"),
        (104, "refused"),
        (48, "refused"),
        (40, "refused"),
    ):
        data = bytearray(Path(page_file.path).read_bytes())
        data[offset] ^= 2
        data[0:8] = xxhash.xxh64_intdigest(bytes(data[8:PAGE]), page_file.generation).to_bytes(
            8, "little"
        )
        changed = tmp_path / f"changed{offset}"
        changed.write_bytes(data)
        if outcome == "refused":
            with pytest.raises(FormatError):
                open_page_file(changed)
        else:
            assert (open_page_file(changed).write_refused_reason is None) == (outcome == "ignored")


@pytest.mark.parametrize("mapped", [True, False])
def test_pages_and_runs_verify_and_each_flipped_byte_is_noticed(
    tmp_path: Path, page_size: int, mapped: bool
) -> None:
    page_file, first = new_file(tmp_path, page_size)
    values = [
        b"",
        b"v" * 5000,
        os.urandom(page_size - 64 - 8),
        os.urandom(3 * page_size - 64 - 8 * 3 + 1),
    ]
    record = write_record(
        page_file, first, [leaf_page(1, page_size), *values, leaf_page(2, page_size)]
    )
    page_file.close()
    page_file = open_page_file(page_file.path, mapped=mapped)
    end = record.end_page
    space = page_file.space(end)
    assert space.mirrored != mapped
    number = record.page
    assert space.check_page(number) == OK and space.check_page(number + 1) == OK
    assert not space.is_verified(number)
    assert space.page_bytes(number + 1)[40:] == bytes([1]) * (page_size - 40)
    number += 2
    runs = []
    for value in values:
        count = -(-(64 + len(value)) // (page_size - 8))
        runs.append((number, count, len(value)))
        number += count
    assert number == end - 1
    for number, count, size in runs:
        assert space.check_run(number, end, size + 1) in (BAD_SIZE, BAD_CHECKSUM)
        assert space.check_run(number, number + count - 1, size) in (BAD_SIZE, OUT_OF_RANGE)
        assert space.check_run(number, end, 1 << 63) == BAD_SIZE
        assert space.check_page(number) in (BAD_CHECKSUM, WRONG_KIND)
        assert space.check_run(number, end, size) == OK and space.is_verified(number)
    assert space.check_page(space.page_limit) == OUT_OF_RANGE
    for number, count, size in runs:
        for offset in [
            0,
            9,
            24,
            32,
            40,
            48,
            56,
            63,
            64,
            page_size - 1,
            count * page_size - 1,
            count * page_size - 8 * count,
        ]:
            flip(page_file.path, number * page_size + offset, 0x80)
            space.clear_verified_from(number)
            assert space.check_run(number, end, size) < 0
            flip(page_file.path, number * page_size + offset, 0x80)
    assert space.check_run(runs[0][0], end, 0) == OK
    for code in range(-7, 0):
        assert isinstance(space_error("p", 3, code), (CorruptionError, OSError))


def test_a_run_is_what_the_format_says(tmp_path: Path) -> None:
    import xxhash

    page_file, _ = new_file(tmp_path)
    seed = page_file.generation
    for size in (0, 1, 4024, 4025, 8112, 8113, 300_000):
        value = os.urandom(size)
        run = run_bytes(page_file, 9, 5, value)
        count = -(-(64 + size) // (PAGE - 8))
        table = count * PAGE - 8 * count
        assert (
            len(run) == count * PAGE
            and run[64 : 64 + size] == value
            and not any(run[64 + size : table])
        )
        assert int.from_bytes(run[0:8], "little") == xxhash.xxh64_intdigest(run[8:64], seed)
        assert int.from_bytes(run[48:56], "little") == xxhash.xxh64_intdigest(run[table:], seed)
        for i in range(count):
            part = run[max(64, i * PAGE) : min((i + 1) * PAGE, table)]
            entry = int.from_bytes(run[table + 8 * i : table + 8 * i + 8], "little")
            assert entry == xxhash.xxh64_intdigest(part, (seed + i) % 2**64)


def test_a_larger_mapping_keeps_the_old_one_for_those_who_hold_it(tmp_path: Path) -> None:
    page_file, _ = new_file(tmp_path)
    old = page_file.space(0)
    old.set_verified(2)
    limit = old.page_limit
    new = page_file.space(limit + 1)
    assert (
        new is not old and new.page_limit > limit and new.is_verified(2) and not new.is_verified(3)
    )
    assert page_file.space(1) is new
    watch = weakref.ref(old)
    page_file.close()
    assert old.check_page(2) == OK
    del old
    gc.collect()
    assert watch() is None
    with pytest.raises(ClosedError):
        page_file.space(0)


def test_clearing_verified_bits_clears_from_the_page_on(tmp_path: Path) -> None:
    page_file, _ = new_file(tmp_path)
    space = page_file.space(0)
    numbers = [0, 7, 8, 9, 63, 64, 1000, 4095, 4096, 65536 * 2, space.page_limit - 1]
    for start in (0, 1, 8, 9, 1000, 4096, 65536 * 2, space.page_limit - 1, space.page_limit):
        for number in numbers:
            space.set_verified(number)
        space.clear_verified_from(start)
        assert [n for n in numbers if space.is_verified(n)] == [n for n in numbers if n < start]


def test_a_mirror_is_trimmed_once_it_holds_16_mib(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    record = write_record(page_file, first, [b"x" * (17 << 20)])
    page_file.close()
    page_file = open_page_file(page_file.path, mapped=False)
    space = page_file.space(0)
    assert space.check_page(2) == OK and not space.trim_now()
    assert space.check_run(record.page + 1, record.end_page, 17 << 20) == OK
    assert (
        space.loaded_bytes > 17 << 20
        and space.trim_now()
        and not space.is_verified(record.page + 1)
    )
    assert space.loaded_bytes == 0 and space.check_page(2) == OK
    assert space.check_page(record.end_page + 5) == OUT_OF_RANGE


def test_a_closed_device_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "device"
    path.write_bytes(b"bytes")
    device = open_device(path)
    assert device.read_bytes(0, 5) == b"bytes"
    device.close()
    with pytest.raises(ClosedError):
        device.read_bytes(0, 5)
    with path.open("rb"):  # a file that has the number now is not read either
        with pytest.raises(ClosedError):
            device.read_bytes(0, 5)
    device.close()
