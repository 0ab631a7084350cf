"""Records as bytes: digest, gather write, spill, errors on the way."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import xxhash
from storage_helpers import PAGE, Trace, leaf_page, new_file

from cowtree.storage.creation import create_file
from cowtree.storage.page_file import open_page_file
from cowtree.storage.plain_records import mark_verified, write_record
from cowtree.storage.range_writer import RangeWriter
from cowtree.storage.recovery import find_tip


def test_a_small_record_is_one_write_and_its_digest_is_the_formats(tmp_path: Path) -> None:
    create_file(tmp_path / "f")
    trace = Trace()
    page_file = open_page_file(tmp_path / "f", trace=trace)
    first = find_tip(page_file).tip
    record = write_record(page_file, first, [leaf_page(1), b"v" * 9000, leaf_page(2)], nonce=77)
    assert [operation[0] for operation in trace.operations] == ["write", "sync"]
    data = trace.operations[0][2]
    assert trace.operations[0][1] == 3 * PAGE and len(data) == 6 * PAGE == record.page_count * PAGE
    pairs = b"".join(
        data[i * PAGE + 8 : i * PAGE + 16] + data[i * PAGE : i * PAGE + 8] for i in (1, 2, 5)
    )
    digest = b"".join(
        xxhash.xxh64_intdigest(pairs, seed).to_bytes(8, "little")
        for seed in (page_file.generation, 77)
    )
    assert record.digest == digest
    for i in (0, 1, 5):
        page = data[i * PAGE : (i + 1) * PAGE]
        assert (
            int.from_bytes(page[8:16], "little") == 3 + i
            and int.from_bytes(page[16:24], "little") == 1
        )
        assert int.from_bytes(page[:8], "little") == xxhash.xxh64_intdigest(
            page[8:], page_file.generation
        )


@pytest.mark.parametrize("flush_first", [False, True])
def test_a_spilled_record_writes_its_commit_page_last(tmp_path: Path, flush_first: bool) -> None:
    create_file(tmp_path / "f")
    trace = Trace()
    page_file = open_page_file(tmp_path / "f", trace=trace)
    record = write_record(
        page_file,
        find_tip(page_file).tip,
        [leaf_page(), b"x" * (2 << 20), leaf_page(3)],
        flush_first=flush_first,
    )
    writes = [operation for operation in trace.operations if operation[0] == "write"]
    assert (
        writes[0][1] == 4 * PAGE
        and writes[-1][1] == 3 * PAGE
        and len(writes[-1][2]) == PAGE
        and len(writes) == 3
    )
    assert sum(len(write[2]) for write in writes) == record.page_count * PAGE
    assert find_tip(page_file, from_medium=True).tip.nonce == record.nonce


def test_a_commit_page_never_has_checksum_zero(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    record = write_record(page_file, first, [leaf_page()], zero_checksums=3)
    assert record.time_ns == first.time_ns + 1 + 3
    assert find_tip(page_file).tip.digest == record.digest


@pytest.mark.parametrize("fail_at", [0, 1])
def test_an_error_leaves_the_previous_record_the_tip_and_the_writer_usable(
    tmp_path: Path, fail_at: int
) -> None:
    create_file(tmp_path / "f")
    trace = Trace(fail_at=fail_at, code=errno.ENOSPC)
    page_file = open_page_file(tmp_path / "f", trace=trace)
    first = find_tip(page_file).tip
    writer = RangeWriter()
    with pytest.raises(OSError) as caught:
        write_record(page_file, first, [leaf_page(), b"x" * (2 << 20)], writer=writer)
    assert caught.value.errno == errno.ENOSPC
    assert find_tip(page_file).tip.sequence == 1
    record = write_record(page_file, first, [leaf_page()], writer=writer)
    assert find_tip(page_file).tip.nonce == record.nonce


def test_written_pages_are_marked_but_the_inside_of_runs(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    writer = RangeWriter()
    write_record(page_file, first, [leaf_page(), b"x" * 9000, leaf_page()], writer=writer)
    mark_verified(writer, page_file)
    space = page_file.space(0)
    assert [n for n in range(12) if space.is_verified(n)] == [3, 4, 5, 8]


def test_nothing_is_marked_in_a_mirror(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path, mapped=False)
    writer = RangeWriter()
    write_record(page_file, first, [leaf_page()], writer=writer)
    mark_verified(writer, page_file)
    assert not page_file.space(0).is_verified(4)
