"""One run at a time in a folder.  The system holds the lock, so it ends with the process."""

import contextlib
import datetime
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from swin_tutorial.training.errors import TrainingError
from swin_tutorial.training.files import disk_refused

LOCK, HOLDER = ".lock", ".lock.json"  # the lock, and who holds it


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, and say to them who is in it.

    Raises TrainingError, naming the process, if another run is in it.
    """
    lock, holder = FileLock(folder / LOCK), folder / HOLDER
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise TrainingError(
            f"{folder} is in use by {_named(holder)}: wait for it or stop it, or choose another "
            "--folder"
        ) from None
    except OSError as error:
        raise disk_refused(folder / LOCK, error) from error
    try:
        with contextlib.suppress(OSError):  # the lock counts without it
            holder.write_text(json.dumps(_this_process()))
        yield
    finally:
        for path in (holder, folder / LOCK):  # filelock notices that a lock's file has gone
            with contextlib.suppress(OSError):
                path.unlink()
        lock.release()


def _this_process() -> dict:
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return {"process": os.getpid(), "host": socket.gethostname(), "since": now}


def _named(holder: Path) -> str:
    try:
        return "process {process} on {host}, since {since}".format(**json.loads(holder.read_text()))
    except (OSError, ValueError, LookupError, TypeError):  # it has just begun, or has just ended
        return "another process"
