"""One commit to read."""

from cowtree.storage.commit_record import CommitRecord

class CommitState:
    record: CommitRecord
    end: int
