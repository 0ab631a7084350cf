"""Crash images, proven damage, rollbacks, gaps: FORMAT §6.2."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from storage_helpers import PAGE, Trace, leaf_page, new_file

from cowtree.errors import CorruptionError
from cowtree.storage.checkpoint import CLEAN, VOLATILE, read_checkpoint, write_checkpoint
from cowtree.storage.page_file import PageFile, open_page_file
from cowtree.storage.plain_records import write_record
from cowtree.storage.recovery import ID_STEP, find_tip, next_commit_id, repair_tail

BOOT, OTHER_BOOT = b"b" * 16, b"o" * 16


def image(directory: Path, data: bytes) -> PageFile:
    path = directory / f"image{len(list(directory.iterdir()))}"
    path.write_bytes(data)
    return open_page_file(path)


def contents(page_file: PageFile) -> bytes:
    return Path(page_file.path).read_bytes()


def check_goes_on(page_file: PageFile) -> None:
    """After the repair the file takes a commit, which a second opening finds."""
    recovery = find_tip(page_file, from_medium=True, boot=BOOT)
    tip = repair_tail(page_file, recovery, BOOT)
    again = find_tip(page_file, from_medium=True, boot=BOOT)
    assert (
        again.tip.nonce == tip.nonce
        and not again.rolled_back
        and not again.unfinished
        and not again.possible_loss
    )
    assert again.file_size == (tip.end_page + 1) * PAGE
    record = write_record(page_file, tip, [leaf_page(9)], commit_id=next_commit_id(page_file, tip))
    assert find_tip(page_file, boot=BOOT).tip.nonce == record.nonce


def test_every_torn_or_lost_page_of_a_record_leads_to_the_previous_one(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    a = write_record(page_file, first, [leaf_page(1)])
    before = contents(page_file).ljust((a.end_page + 4) * PAGE, b"\0")
    abandoned = write_record(page_file, a, [leaf_page(2), b"w" * 5000])
    previous_attempt = contents(page_file)
    b = write_record(page_file, a, [leaf_page(3), b"v" * 5000])
    after = contents(page_file)
    assert b.page_count == abandoned.page_count == 4 and len(after) == b.end_page * PAGE
    page_file.close()

    def variants(number: int) -> list[bytes]:
        cut = slice(number * PAGE, (number + 1) * PAGE)
        new, zero, old = after[cut], before[cut], previous_attempt[cut]
        return [
            new,
            zero,
            old,
            new[:512] + zero[512:],
            zero[:512] + new[512:],
            new[:2048] + old[2048:],
        ]

    states = 0
    whole = {after[b.page * PAGE :]: b.nonce, previous_attempt[b.page * PAGE :]: abandoned.nonce}
    for pages in itertools.product(*(variants(n) for n in range(b.page, b.end_page))):
        tail = b"".join(pages)
        path = tmp_path / "image"
        path.write_bytes(after[: b.page * PAGE] + tail)
        crashed = open_page_file(path)
        recovery = find_tip(crashed, boot=BOOT)
        assert recovery.tip.nonce == whole.get(tail, a.nonce)
        assert recovery.proven_sequence >= 1
        if states % 100 == 0:
            check_goes_on(crashed)
        crashed.close()
        states += 1
    assert states == 6**4


def test_every_size_of_the_file_after_a_crash(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    a = write_record(page_file, first, [leaf_page(1)])
    b = write_record(page_file, a, [leaf_page(2), b"x" * 6000])
    data = contents(page_file)
    for size in range(a.end_page * PAGE, len(data) + 1, 512):
        crashed = image(tmp_path, data[:size])
        assert find_tip(crashed, boot=BOOT).tip.nonce == (b if size == len(data) else a).nonce
        check_goes_on(crashed)


def test_mixtures_of_two_attempts_with_one_id_are_refused(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    attempts = []
    for fill in (1, 2):
        record = write_record(
            page_file, first, [leaf_page(fill), leaf_page(fill + 10), leaf_page(fill + 20)]
        )
        attempts.append((record, contents(page_file)))
    for choice in itertools.product((0, 1), repeat=4):
        data = attempts[0][1][: 3 * PAGE]
        for number, which in enumerate(choice, start=3):
            data += attempts[which][1][number * PAGE : (number + 1) * PAGE]
        expected = attempts[choice[0]][0].nonce if len(set(choice)) == 1 else first.nonce
        assert find_tip(image(tmp_path, data), boot=BOOT).tip.nonce == expected


def test_a_hole_before_an_intact_record_rejects_both(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    a = write_record(page_file, first, [leaf_page(1)], durable_upto=1)
    b = write_record(page_file, a, [leaf_page(2)], durable_upto=1)
    page_file.device.write_bytes((a.page + 1) * PAGE, bytes(PAGE))
    recovery = find_tip(page_file, boot=BOOT)
    assert recovery.tip.sequence == 1 and [r.nonce for r in recovery.rolled_back] == [
        a.nonce,
        b.nonce,
    ]
    assert recovery.possible_loss and recovery.reasons
    gap = repair_tail(page_file, recovery, BOOT)
    assert gap.is_gap and gap.page == a.page and gap.end_page == b.end_page
    assert next_commit_id(page_file, gap) == ID_STEP
    check_goes_on(page_file)


def test_damage_of_a_record_that_a_later_one_proves_is_an_error(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    a = write_record(page_file, first, [leaf_page(1), b"x" * 9000])
    write_record(page_file, a, [leaf_page(2)], durable_upto=a.sequence)
    data = contents(page_file)
    for offset in range((a.page + 1) * PAGE, a.end_page * PAGE, 997):
        broken = bytearray(data)
        broken[offset] ^= 4
        with pytest.raises(CorruptionError):
            find_tip(image(tmp_path, bytes(broken)), boot=BOOT)


def test_damage_of_the_checkpoints_record_is_an_error(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    a = write_record(page_file, first, [leaf_page(1)])
    write_checkpoint(page_file.device, PAGE, page_file.generation, record=a)
    data = contents(page_file)
    broken = bytearray(data)
    broken[a.page * PAGE + 100] ^= 1
    with pytest.raises(CorruptionError):
        find_tip(image(tmp_path, bytes(broken)), boot=BOOT)
    for size in (a.page * PAGE, a.page * PAGE + 100, a.end_page * PAGE - PAGE):
        with pytest.raises(CorruptionError):
            find_tip(image(tmp_path, data[:size]), boot=BOOT)
    no_slots = bytearray(data)
    no_slots[PAGE : 2 * PAGE] = bytes(PAGE)
    recovery = find_tip(image(tmp_path, bytes(no_slots)), boot=BOOT)
    assert recovery.tip.nonce == a.nonce and recovery.checkpoint is None and recovery.problems


def test_a_torn_slot_is_ignored(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    a = write_record(page_file, first, [leaf_page(1)])
    slot = write_checkpoint(
        page_file.device, PAGE, page_file.generation, record=a, flags=CLEAN, boot_id=BOOT
    )
    assert read_checkpoint(page_file.device, PAGE, page_file.generation) == slot and slot.clean
    at = PAGE + slot.slot * PAGE // 2 + 90
    page_file.device.write_bytes(at, bytes([page_file.device.read_bytes(at, 1)[0] ^ 1]))
    assert read_checkpoint(page_file.device, PAGE, page_file.generation).sequence == 1
    assert find_tip(page_file, boot=BOOT).tip.nonce == a.nonce


def test_a_presynced_record_needs_its_commit_page_alone(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    a = write_record(page_file, first, [leaf_page(1)], presynced=True)
    page_file.device.write_bytes((a.page + 1) * PAGE + 100, b"\xff\xff")
    assert find_tip(page_file, boot=BOOT).tip.nonce == a.nonce


def test_a_live_writer_vouches_for_what_it_published(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    a = write_record(page_file, first, [leaf_page(1)])
    b = write_record(page_file, a, [leaf_page(2)])
    write_record(page_file, b, [leaf_page(3)])
    assert find_tip(page_file, published_end=b.end_page).tip.nonce == b.nonce
    assert find_tip(page_file, published_end=b.end_page, start=a).tip.nonce == b.nonce
    assert find_tip(page_file, published_end=3, start=first).tip.sequence == 1
    with pytest.raises(CorruptionError):
        find_tip(page_file, published_end=b.end_page - 1)
    page_file.device.write_bytes(b.page * PAGE, b"garbage!")
    with pytest.raises(CorruptionError):
        find_tip(page_file, published_end=b.end_page)


def test_user_bytes_and_garbage_behind_the_tip_are_never_commits(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    whole = contents(page_file)
    a = write_record(page_file, first, [whole])
    b = write_record(page_file, a, [leaf_page(1)])
    assert find_tip(page_file, boot=BOOT).tip.nonce == b.nonce
    commit_page = page_file.device.read_bytes(b.page * PAGE, PAGE)
    for garbage in (commit_page, os.urandom(PAGE), whole, bytes(PAGE) + commit_page):
        page_file.device.write_bytes(b.end_page * PAGE, garbage)
        recovery = find_tip(page_file, boot=BOOT)
        assert recovery.tip.nonce == b.nonce and not recovery.rolled_back
        assert recovery.unfinished == any(garbage[:8])
    check_goes_on(page_file)


@pytest.mark.parametrize("embedded", [False, True])
def test_volatile_loss_is_covered_by_a_gap(tmp_path: Path, embedded: bool) -> None:
    page_file, first = new_file(tmp_path)
    root = bytes(leaf_page(5)[:1024]) if embedded else None
    a = write_record(page_file, first, [leaf_page(1)], embedded=root, note=b"n" * 50, commit_id=2)
    write_checkpoint(
        page_file.device,
        PAGE,
        page_file.generation,
        record=a,
        flags=VOLATILE,
        boot_id=OTHER_BOOT,
        volatile_bound=a.end_page + 20,
        volatile_id_bound=ID_STEP + 5,
    )
    assert not find_tip(page_file, boot=OTHER_BOOT).possible_loss
    recovery = find_tip(page_file, boot=BOOT, from_medium=True)
    assert recovery.tip.nonce == a.nonce and recovery.possible_loss
    gap = repair_tail(page_file, recovery, BOOT)
    assert gap.is_gap and (gap.page, gap.end_page) == (a.end_page, a.end_page + 20)
    assert (gap.commit_id, gap.commit_nonce, gap.time_ns, gap.entries) == (
        2,
        a.nonce,
        a.time_ns,
        a.entries,
    )
    assert gap.pages_appended == gap.end_page and gap.pages_retired == a.pages_retired + 20
    assert next_commit_id(page_file, gap) == 2 * ID_STEP
    if embedded:
        assert gap.default_tree[0] == gap.page and gap.default_tree[1:] == a.default_tree[1:]
        old, new = (
            page_file.device.read_bytes(r.page * PAGE + a.embedded_offset, 1024) for r in (a, gap)
        )
        assert new[8:16] == gap.page.to_bytes(8, "little") and (old[:8], old[16:]) == (
            new[:8],
            new[16:],
        )
    else:
        assert gap.default_tree == a.default_tree
    tagged = write_record(page_file, gap, [], administrative=True)
    assert next_commit_id(page_file, tagged) == 2 * ID_STEP
    check_goes_on(page_file)


def test_a_crash_at_every_step_of_the_repair_comes_to_the_same(tmp_path: Path) -> None:
    page_file, first = new_file(tmp_path)
    a = write_record(page_file, first, [leaf_page(1)], durable_upto=1)
    b = write_record(page_file, a, [leaf_page(2)], durable_upto=1)
    page_file.device.write_bytes((b.page + 1) * PAGE, bytes(PAGE))
    data = contents(page_file)
    path = tmp_path / "crash"
    steps = 0
    while True:
        path.write_bytes(data)
        trace = Trace(fail_at=steps)
        crashed = open_page_file(path, trace=trace)
        try:
            repair_tail(crashed, find_tip(crashed, boot=BOOT, from_medium=False), BOOT)
        except OSError:
            crashed.close()
        else:
            break
        crashed = open_page_file(path)
        recovery = find_tip(crashed, boot=BOOT)
        assert recovery.possible_loss or recovery.tip.is_gap
        tip = repair_tail(crashed, recovery, BOOT)
        assert tip.is_gap and tip.commit_id == a.commit_id and tip.end_page >= b.end_page
        assert next_commit_id(crashed, tip) == ID_STEP
        check_goes_on(crashed)
        crashed.close()
        steps += 1
    assert steps == 10


def test_two_crashes_never_mix_two_histories(tmp_path: Path) -> None:
    """Crash, recover, commit, crash again: one whole attempt or none, whatever of either is in the file."""
    page_file, first = new_file(tmp_path)
    lost = write_record(page_file, first, [leaf_page(1), leaf_page(2)], durable_upto=1)
    tail_1 = contents(page_file)[lost.page * PAGE :]
    page_file.device.write_bytes((lost.page + 1) * PAGE, bytes(PAGE))
    tip = repair_tail(page_file, find_tip(page_file, boot=BOOT), BOOT)
    base = contents(page_file)
    second = write_record(
        page_file, tip, [leaf_page(3), leaf_page(4)], commit_id=next_commit_id(page_file, tip)
    )
    data = contents(page_file)
    tail_2 = data[second.page * PAGE :]
    assert len(tail_1) == len(tail_2) == 3 * PAGE
    for choice in itertools.product((0, 1, 2), repeat=3):
        tails = (tail_2, tail_1, bytes(3 * PAGE))
        tail = b"".join(tails[which][i * PAGE : (i + 1) * PAGE] for i, which in enumerate(choice))
        crashed = image(tmp_path, base[: second.page * PAGE] + tail)
        expected = second if choice == (0, 0, 0) else tip
        assert find_tip(crashed, boot=BOOT).tip.nonce == expected.nonce
        check_goes_on(crashed)


def test_a_clean_file_is_not_touched_by_a_repair(tmp_path: Path) -> None:
    page_file, _ = new_file(tmp_path)
    before = contents(page_file)
    recovery = find_tip(page_file, from_medium=True)
    assert recovery.clean and repair_tail(page_file, recovery).sequence == 1
    assert contents(page_file) == before
