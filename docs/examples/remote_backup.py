"""Backups to any place that fsspec reaches: S3, GCS, SFTP, another folder.

A backup is made beside the database first, whole and verified, and then sent: what is far away cannot be synced page by
page. The local one is kept and brought up to date, which costs what has changed. Needs fsspec, and for S3 s3fs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import fsspec

import cowtree


def send_backup(db: cowtree.Database, local: Path, url: str, **options: object) -> None:
    """Bring the backup at `local` up to date and put it at `url`; `options` are fsspec's (keys, endpoint)."""
    db.backup(local, incremental=True)
    db.tag(
        "backed-up", move=True
    )  # the next increment begins there, whatever is compacted meanwhile
    system, path = fsspec.core.url_to_fs(url, **options)
    # Under another name until it is whole: a transfer that breaks off leaves the backup of yesterday.
    system.put_file(str(local), f"{path}.part")
    system.mv(f"{path}.part", path)


def fetch_backup(url: str, target: Path, **options: object) -> None:
    """Get a backup from `url` and check it, before anything relies on it."""
    system, path = fsspec.core.url_to_fs(url, **options)
    system.get_file(path, str(target))
    with cowtree.open(target, readonly=True) as copy:
        report = copy.check()
    if not report.ok:
        raise cowtree.CorruptionError(f"{url} is damaged: {report.problems[0]}")


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        cowtree.open(Path(folder) / "orders.cow") as db,
    ):
        local, url = Path(folder) / "orders-backup.cow", "memory://backups/orders.cow"
        db.update({b"%04d" % i: b"order" for i in range(1000)})
        send_backup(db, local, url)
        db[b"1000"] = b"late order"
        send_backup(db, local, url)

        fetch_backup(url, Path(folder) / "restored.cow")
        with cowtree.open(Path(folder) / "restored.cow") as restored:
            print("orders restored:", len(restored))
            print("commits restored:", [commit.id for commit in restored.history()])


if __name__ == "__main__":
    main()
