"""Commit pages and retired lists: round trips, and bytes that cannot be."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
import xxhash
from storage_helpers import PAGE, leaf_page, new_file

from cowtree.errors import CorruptionError, FormatError
from cowtree.storage.commit_record import decode_commit_page, record_follows
from cowtree.storage.plain_records import write_record
from cowtree.storage.recovery_scan import RangeReader
from cowtree.storage.retired_list import RetiredEncoder, decode_items, list_page_piece


def commit_bytes(page_file, record) -> bytearray:
    return bytearray(page_file.device.read_bytes(record.page * PAGE, PAGE))


def resealed(page: bytearray, generation: int) -> bytes:
    page[:8] = xxhash.xxh64_intdigest(bytes(page[8:]), generation).to_bytes(8, "little")
    return bytes(page)


def test_every_field_survives(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    embedded = bytes(leaf_page(9)[:512])
    retired = [(5, 3, 0, False), (9, 1, 1, True)]
    record = write_record(
        page_file,
        first,
        [leaf_page()],
        commit_id=40,
        nonce=99,
        note=b"a note",
        retired=retired,
        embedded=embedded,
        unsynced=True,
    )
    assert (record.page, record.page_count, record.end_page, record.kind, record.sequence) == (
        3,
        2,
        5,
        1,
        2,
    )
    assert (record.commit_id, record.nonce, record.commit_nonce, record.note) == (
        40,
        99,
        99,
        b"a note",
    )
    assert (record.previous_page, record.previous_nonce, record.previous_digest) == (
        2,
        first.nonce,
        first.digest,
    )
    assert (record.pages_appended, record.pages_retired, record.durable_upto) == (5, 1, 1)
    assert record.time_ns == first.time_ns + 1 and record.uuid == page_file.uuid
    assert record.generation == page_file.generation and record.features == (0, 0, 0)
    assert (
        record.embedded and record.unsynced and not record.presynced and not record.administrative
    )
    assert (
        record.embedded_offset == PAGE - 512
        and record.default_tree == (3, 1, 0, 0)
        and record.catalogue == (0,) * 4
    )
    assert record.retired_count == 2 and decode_items(record.retired, 40) == retired
    assert record.skip_pointers == (0,) * 5 and record_follows(first, record) is None


def test_every_flipped_byte_of_a_commit_page_is_noticed(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    record = write_record(page_file, first, [leaf_page()], note=b"note")
    page = commit_bytes(page_file, record)
    for offset in range(PAGE):
        page[offset] ^= 1 << offset % 8
        with pytest.raises(CorruptionError):
            decode_commit_page(page, record.page, page_file.uuid, page_file.generation)
        page[offset] ^= 1 << offset % 8
    assert (
        decode_commit_page(page, record.page, page_file.uuid, page_file.generation).note == b"note"
    )
    for number, uuid, generation in (
        (4, page_file.uuid, page_file.generation),
        (3, bytes(16), page_file.generation),
        (3, page_file.uuid, 1),
    ):
        with pytest.raises(CorruptionError):
            decode_commit_page(page, number, uuid, generation)


def test_impossible_fields_with_a_right_checksum_are_refused(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    record = write_record(page_file, first, [leaf_page()], note=b"note", retired=[(2, 1, 0, False)])
    good = commit_bytes(page_file, record)
    generation = page_file.generation
    bad = [
        (44, 0, 1),
        (44, 9, 1),
        (96, 0, 8),
        (192, 2, 8),
        (136, 0, 8),
        (136, 1 << 60, 8),
        (208, 1 << 40, 8),
        (224, 1 << 40, 8),
        (224, 1, 8),
        (224, 3, 8),
        (248, 64, 1),
        (256, 99, 8),
        (288, 4088, 2),
        (290, 4090, 2),
        (290, 100, 2),
        (292, 65535, 2),
        (294, 352, 2),
        (296, 64, 2),
        (296, 4, 2),
        (298, 352, 2),
        (300, 60000, 2),
        (304, 3, 8),
        (304, 5, 8),
        (304, 4, 8),
        (320, 1, 8),
        (104, 7, 8),
        (46, 4, 2),
    ]
    for offset, value, size in bad:
        page = bytearray(good)
        page[offset : offset + size] = value.to_bytes(size, "little")
        with pytest.raises(CorruptionError):
            decode_commit_page(resealed(page, generation), record.page, page_file.uuid, generation)
    for offset in (40, 64):
        page = bytearray(good)
        page[offset] ^= 2
        with pytest.raises(FormatError):
            decode_commit_page(resealed(page, generation), record.page, page_file.uuid, generation)


def test_random_bytes_with_a_right_checksum_never_crash(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    record = write_record(page_file, first, [leaf_page()], note=b"note", commit_id=9)
    good = commit_bytes(page_file, record)
    rng = random.Random(1)
    for _ in range(5000):
        page = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            page[rng.randrange(32, 400)] = rng.choice([0, 1, 255, rng.randrange(256)])
        with contextlib.suppress(CorruptionError, FormatError):
            decode_commit_page(
                resealed(page, page_file.generation),
                record.page,
                page_file.uuid,
                page_file.generation,
            )


def test_what_does_not_follow_is_named(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    a = write_record(page_file, first, [leaf_page()])
    b = write_record(page_file, a, [leaf_page()])
    assert (
        record_follows(None, first) is None
        and record_follows(first, a) is None
        and record_follows(a, b) is None
    )
    assert (
        record_follows(first, b)
        and record_follows(b, a)
        and record_follows(None, a)
        and record_follows(a, a)
    )
    again = write_record(page_file, first, [leaf_page()])
    assert again.commit_id == a.commit_id and "nonce" in record_follows(again, b)
    generation = page_file.generation
    page = commit_bytes(page_file, b)
    for offset, text in ((160, "digest"), (96, "sequence"), (200, "count"), (120, "commit id")):
        changed = bytearray(page)
        changed[offset] ^= 64
        other = decode_commit_page(
            resealed(changed, generation), b.page, page_file.uuid, generation
        )
        assert text in record_follows(a, other)


def test_administrative_records_keep_the_id(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    a = write_record(page_file, first, [leaf_page()])
    b = write_record(page_file, a, [], administrative=True)
    assert (b.commit_id, b.commit_nonce) == (1, a.nonce) and b.nonce != a.nonce and not b.gives_id
    assert record_follows(a, b) is None


def test_skip_pointers_lead_to_the_newest_multiples(tmp_path: Path) -> None:
    page_file, tip = new_file(tmp_path)
    pages: dict[int, int] = {}
    for step in range(70):
        tip = write_record(page_file, tip, [], administrative=step % 5 == 4, sync=False)
        count = tip.commit_id.bit_length() - 1
        expected = []
        for i in range(count):
            older = [page for id, page in pages.items() if id % (2 << i) == 0]
            expected.append(older[-1] if older else 0)
        assert list(tip.skip_pointers) == expected
        if tip.gives_id:
            pages[tip.commit_id] = tip.page


def test_retired_items_round_trip() -> None:
    rng = random.Random(2)
    encoder = RetiredEncoder()
    for size in (0, 1, 2, 500):
        items, page = [], 1
        for _ in range(size):
            page += rng.choice([1, 2, 1000, 1 << 40])
            items.append(
                (page, rng.choice([1, 7, 1 << 30]), rng.randrange(1 << 50), rng.random() < 0.5)
            )
        data = encoder.encode(1 << 50, items)
        assert decode_items(data, 1 << 50) == items
        for cut in range(max(0, len(data) - 40), len(data)):
            with contextlib.suppress(ValueError):
                assert (
                    decode_items(data[:cut], 1 << 50)
                    == items[: len(decode_items(data[:cut], 1 << 50))]
                )
    for bad in (
        b"\xff" * 30,
        b"\x80",
        b"\x01\x00\x00",
        b"\x00\x02\x00",
        b"\x01\x02\x05",
        b"\xff" * 9 + b"\x7f\x02\x00",
    ):
        with pytest.raises(ValueError):
            decode_items(bad, 4)
    with pytest.raises(ValueError):
        encoder.encode(5, [(7, 1, 0, False), (7, 1, 0, False)])


def test_a_long_retired_list_goes_to_list_pages(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    items = [(2 + 1000 * i, 1 + i, 0, i % 3 == 0) for i in range(3000)]
    record = write_record(page_file, first, [leaf_page()], retired=items, retired_room=1000)
    assert record.retired_pages > 1 and record.retired_count == 3000 and record.retired == b""
    number, found, reader = record.retired_page, [], RangeReader(page_file)
    assert reader.range_problem(record) is None
    while number:
        assert page_file.space(0).check_page(number) == 0
        number, piece = list_page_piece(page_file.space(0).page_bytes(number))
        found += decode_items(piece, record.commit_id, found[-1][0] if found else 0)
    assert found == items
    after = write_record(page_file, record, [])
    assert after.pages_retired == record.pages_retired + 1 + record.retired_pages
