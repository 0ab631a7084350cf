"""The mutations: what is taken out of the product, and the tests that must notice.

Each replaces text that stands once in its file, so that `tests/test_mutants.py` notices a change of the product that
the list does not follow. The tests are arguments of pytest; `states` is some thousand simulated power cuts.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MUTANTS", "Mutant"]


class Mutant(NamedTuple):
    """One mutation."""

    name: str
    file: str
    old: str
    new: str
    tests: str


ENGINE, SESSION, TIPS = "cowtree/engine.pyx", "cowtree/session.pyx", "cowtree/tips.pyx"
RECOVERY, SCAN = "cowtree/storage/recovery.py", "cowtree/storage/recovery_scan.pyx"
RECORD, FILES = "cowtree/storage/commit_record.pyx", "cowtree/storage/file_system.py"
WRITER, EDITOR = "cowtree/storage/range_writer.pyx", "cowtree/tree/editor.pyx"
REPLACEMENT, RELOCATION = "cowtree/replacement.pyx", "cowtree/relocation.pyx"
CRASHES = "tests/test_crashes.py"

MUTANTS = [
    Mutant(
        "a small commit is not synced",
        WRITER,
        "self.file.device.write_durable(self.pieces, self.piece_count, offset)",
        "self.file.device.write_cached(self.pieces, self.piece_count, offset)",
        CRASHES,
    ),
    Mutant(
        "a shared sync is none",
        "cowtree/storage/shared_sync.pyx",
        "        code = device.sync_status()\n",
        "        code = 0\n",
        f"{CRASHES} tests/test_shared_sync.py",
    ),
    Mutant(
        "the digest is not looked at",
        SCAN,
        "if memcmp(digest, record.fields.digest, 16):",
        "if False and memcmp(digest, record.fields.digest, 16):",
        "tests/test_recovery.py",
    ),
    Mutant(
        "the predecessor's nonce is not looked at",
        RECORD,
        "if new.previous_nonce != old.nonce:",
        "if False and new.previous_nonce != old.nonce:",
        "tests/test_forged_records.py tests/test_commit_record.py",
    ),
    Mutant(
        "the predecessor's digest is not looked at",
        RECORD,
        "if memcmp(new.previous_digest, old.digest, 16):",
        "if False and memcmp(new.previous_digest, old.digest, 16):",
        "tests/test_forged_records.py tests/test_commit_record.py",
    ),
    Mutant(
        "the sequence is not looked at",
        RECORD,
        "if new.sequence != old.sequence + 1:",
        "if False and new.sequence != old.sequence + 1:",
        "tests/test_forged_records.py tests/test_commit_record.py",
    ),
    Mutant(
        "a creator does not sync the directory",
        "cowtree/storage/creation.py",
        "    system.sync_directory(name)\n\n\ndef write_empty",
        "\n\ndef write_empty",
        "tests/test_creation.py",
    ),
    Mutant(
        "a second writer does not sync the directory",
        ENGINE,
        "            FileSystem().sync_directory(self.path)\n",
        "            pass\n",
        "tests/test_opening.py tests/test_processes.py tests/test_faults.py tests/test_creation.py",
    ),
    Mutant(
        "a new file takes the place of one that has appeared",
        FILES,
        "            os.link(temporary, path, follow_symlinks=False)\n",
        "            os.rename(temporary, path)\n",
        "tests/test_creation.py tests/test_processes.py",
    ),
    Mutant(
        "a failed sync is forgotten",
        ENGINE,
        "        return self.poison is not None or self.syncing.failed\n",
        "        return False\n",
        "tests/test_faults.py tests/test_shared_sync.py",
    ),
    Mutant(
        "what a failed sync leaves is not blanked",
        ENGINE,
        "            self.blank_unpublished()\n            # Commits that were published",
        "            # Commits that were published",
        "tests/test_faults.py tests/test_shared_sync.py",
    ),
    Mutant(
        "a commit is published before its sync",
        ENGINE,
        "elif self.anonymous or self.withholding or (alone and not durable):",
        "elif self.anonymous or self.withholding or alone:",
        "tests/test_shared_sync.py tests/test_faults.py",
    ),
    Mutant(
        "the process lock goes before the sync",
        ENGINE,
        "        if self.syncs_pending or self.appended is not self.published:\n            return 0\n",
        "",
        "tests/test_shared_sync.py tests/test_processes.py",
    ),
    Mutant(
        "who waits in another process is not let in",
        ENGINE,
        "        if self.lock.wanted():\n",
        "        if False:\n",
        "tests/test_threads.py tests/test_processes.py tests/test_file_lock.py",
    ),
    Mutant(
        "pages of lost commits are written again",
        RECOVERY,
        "    if recovery.possible_loss:\n        device.set_size((end_page + 1) * page_size)",
        "    if False:\n        device.set_size((end_page + 1) * page_size)",
        f"tests/test_recovery.py {CRASHES}",
    ),
    Mutant(
        "ids of lost commits are given again",
        RECOVERY,
        "next_id = -(-id_bound // ID_STEP) * ID_STEP",
        "next_id = tip.commit_id + 1",
        f"tests/test_recovery.py {CRASHES}",
    ),
    Mutant(
        "a loss of unsynced commits goes unnoticed",
        RECOVERY,
        "if checkpoint is None or not checkpoint.volatile or tip.end_page >= checkpoint.volatile_bound:",
        "if True:",
        f"tests/test_recovery.py {CRASHES}",
    ),
    Mutant(
        "a damaged acknowledged commit is rolled back",
        RECOVERY,
        "            if is_proven:  # it was acknowledged: never a silent rollback",
        "            if False:",
        "tests/test_recovery.py",
    ),
    Mutant(
        "the tail is not cut",
        RECOVERY,
        "    device.set_size(tip.end_page * page_size)\n    device.set_size((tip.end_page + 1) * page_size)\n",
        "",
        f"tests/test_recovery.py {CRASHES}",
    ),
    Mutant(
        "the cut of the tail is not synced",
        RECOVERY,
        "    device.set_size((tip.end_page + 1) * page_size)\n    device.sync_data()\n",
        "    device.set_size((tip.end_page + 1) * page_size)\n",
        f"tests/test_recovery.py {CRASHES} states",
    ),
    Mutant(
        "the tip is verified in the page cache",
        TIPS,
        "        found = self.find_tip(start, None, True)\n",
        "        found = self.find_tip(start, None, False)\n",
        "tests/test_opening.py tests/test_recovery.py tests/test_faults.py",
    ),
    Mutant(
        "verified bits outlive a rollback",
        ENGINE,
        "            space_clear_verified_from(&self.appended.space.space, self.appended.end)\n",
        "            pass\n",
        "tests/test_faults.py tests/test_transactions.py tests/test_spilling.py tests/test_corruption.py",
    ),
    Mutant(
        "the cut of a commit that failed at its last write is not synced",
        ENGINE,
        "        if completed and not self.anonymous:\n",
        "        if False:\n",
        CRASHES,
    ),
    Mutant(
        "a large commit's pages are not synced before its commit page",
        SESSION,
        "            self.engine.sync_alone()\n            fields.flags |= FLAG_PRESYNCED",
        "            fields.flags |= FLAG_PRESYNCED",
        f"{CRASHES} states",
    ),
    Mutant(
        "an unsynced commit is not covered",
        SESSION,
        "            self.engine.cover_unsynced(writer.first_page + fields.page_count, self.commit_id)\n",
        "            pass\n",
        CRASHES,
    ),
    Mutant(
        "a commit says that more is durable than is",
        SESSION,
        "fields.durable_upto = self.engine.durable_sequence",
        "fields.durable_upto = base.fields.sequence",
        f"{CRASHES} tests/test_shared_sync.py states",
    ),
    Mutant(
        "a file that has another one's place is written to",
        SESSION,
        "                engine.require_same_file()\n            if not self.changed:",
        "                pass\n            if not self.changed:",
        "tests/test_opening.py tests/test_processes.py",
    ),
    Mutant(
        "a forked child ends its parent's transaction",
        SESSION,
        "        if fork_generation() != engine.fork_mark:\n            self.active = False  ",
        "        if False:\n            self.active = False  ",
        "tests/test_processes.py tests/test_exits.py",
    ),
    Mutant(
        "a clean close does not sync",
        ENGINE,
        "        self.file.device.sync()\n        self.file.device.truncate((tip.end + 1)",
        "        self.file.device.truncate((tip.end + 1)",
        f"{CRASHES} states",
    ),
    Mutant(
        "an incremental backup is seen while it is written",
        SESSION,
        "writer.withhold = self.engine.withholding and self.engine.withheld_word == 0",
        "writer.withhold = False",
        "tests/test_increment.py",
    ),
    Mutant(
        "a page that was written again has its old digest",
        WRITER,
        "        if self.rewritten:\n            self.digest_entries()\n",
        "",
        "tests/test_spilling.py",
    ),
    Mutant(
        "what a savepoint may need is written over",
        EDITOR,
        "if page >= editor.own_first and count == 1 and editor.seal == 0:",
        "if page >= editor.own_first and count == 1:",
        "tests/test_spilling.py tests/test_savepoints.py",
    ),
    Mutant(
        "a leaf gets a smaller number than its large value",
        EDITOR,
        "if (entry.kind & ENTRY_KIND_MASK) == ENTRY_RUN and load64(entry.value) >= number:",
        "if False:",
        "tests/test_spilling.py",
    ),
    Mutant(
        "a page is not verified at its first touch",
        "cowtree/storage/page_file.pyx",
        "if load64(page) != xxh64(page + 8, space.page_size - 8, space.generation):",
        "if False:",
        "tests/test_corruption.py",
    ),
    Mutant(
        "a compacted file is not synced before it gets its name",
        RELOCATION,
        "            self.sync()\n            watch.check_open()",
        "            watch.check_open()",
        "tests/test_auto_compaction.py tests/test_crashes_of_compaction.py states",
    ),
    Mutant(
        "what was tagged during a compaction is dropped",
        RELOCATION,
        "            elif set(kept_records(engine, newest, self.copied_end)) - self.kept:\n",
        "            elif False:\n",
        "tests/test_auto_compaction.py",
    ),
    Mutant(
        "a compacted file is not called superseded",
        REPLACEMENT,
        "            self.supersede(newest)\n            self.system.rename",
        "            self.system.rename",
        "tests/test_compaction.py tests/test_auto_compaction.py tests/test_processes.py",
    ),
    Mutant(
        "the name of a compacted file is not synced",
        REPLACEMENT,
        "            self.system.sync_directory(self.path)\n",
        "",
        "tests/test_compaction.py tests/test_auto_compaction.py tests/test_crashes_of_compaction.py",
    ),
    Mutant(
        "a new file is writable before it has taken the place",
        REPLACEMENT,
        "            lock.try_acquire()\n            lock.publish(end)\n",
        "",
        "tests/test_compaction.py tests/test_auto_compaction.py tests/test_processes.py",
    ),
]
