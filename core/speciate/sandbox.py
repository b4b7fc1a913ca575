"""A limited process that reads and decodes for a server: `python -m speciate.sandbox FD`. A file that crashes it, hangs
or takes too much memory costs that request only; the next one finds a new process.

What comes back is arrays and JSON, and is never unpickled.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from speciate.catalog import load
from speciate.contracts import Quarantined, Row, Sample
from speciate.errors import SpeciateError
from speciate.files import scratch_in
from speciate.limits import OUT_OF_MEMORY, die_with_parent, ended, environment, limit_memory, no_network

__all__ = ["Sandbox"]

MEMORY = 2 << 30  # beyond what it needs to start
SECONDS = 60.0  # until the first, and from each sample to the next
DO = "mend the file or leave it out"


class Sandbox:
    """One reader, in a process that is started when first needed. Safe to use from several threads."""

    def __init__(self, reader: str, options: Any) -> None:
        self._task = (reader, options)
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start it now, so that nobody waits for it later."""
        with self._lock:
            self._open()

    def files(self, paths: Sequence[Path], together: bool, scratch: Path) -> Iterator[Sample]:
        """The samples of files: of one, or of several that are one thing."""
        yield from self._asked(("files", list(paths), together, scratch))

    def rows(self, rows: Sequence[Row]) -> Iterator[Sample]:
        """The samples of rows."""
        yield from self._asked(("rows", list(rows), False, None))

    def keys(self, together: str, paths: Sequence[Path]) -> list[str]:
        """What each file belongs to, by a format's `together`; a file that has no key stands alone."""
        (answer,) = self._asked(("keys", list(paths), False, together))
        found: list[str] = answer["keys"]
        return found

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def __del__(self) -> None:
        self.close()

    def _asked(self, question: Any) -> Iterator[Sample]:
        with self._lock:
            done = False
            try:
                connection = self._open()
                connection.send(question)
                while (head := self._heard(connection)) is not None:
                    yield _sample(head, connection)
                done = True
            except (EOFError, ConnectionError):
                code = self._process.wait(timeout=10) if self._process else 0
                what, exists = ended(code, MEMORY).split("; ")
                raise SpeciateError(what, exists, DO) from None
            except SpeciateError as error:
                done = error.asked != _LATE
                raise
            finally:
                if not done:
                    self.close()

    def _heard(self, connection: Connection) -> list[Any] | None:
        """What the arrays of the next sample are; nothing after the last one."""
        if not connection.poll(SECONDS):
            raise SpeciateError(_LATE, "the limit of one file", DO)
        said = json.loads(connection.recv_bytes())
        if "error" in said:
            raise SpeciateError(*said["error"])
        head: list[Any] | None = said["sample"]
        return head

    def _open(self) -> Connection:
        if self._connection is not None and self._process is not None and self._process.poll() is None:
            return self._connection
        self.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            command = [sys.executable, "-m", "speciate.sandbox", str(theirs.fileno())]
            quiet = subprocess.DEVNULL
            self._process = subprocess.Popen(
                command, pass_fds=(theirs.fileno(),), stdin=quiet, stdout=quiet, stderr=quiet, env=environment()
            )
        self._connection = Connection(ours.detach())
        self._connection.send(self._task)
        self._heard(self._connection)  # that it is ready, or why not
        return self._connection


_LATE = f"reading it took over {SECONDS:.0f} s"


def _sample(head: list[Any], connection: Connection) -> Sample:
    import numpy as np

    sample: dict[str, Any] = {}
    for name, kind, what in head:
        if kind == "json":
            sample[name] = what
        else:
            sample[name] = np.frombuffer(bytearray(connection.recv_bytes()), dtype=np.dtype(kind)).reshape(what)
    return sample


# --- the other process --------------------------------------------------------------------------------------------


def main(handle: int) -> None:
    """Answer questions until the other end is closed."""
    no_network()
    die_with_parent()
    connection = Connection(handle)
    try:
        name, options = connection.recv()
        reader = load(name)(options)
    except Exception as error:
        _tell(connection, error=("the format's reader does not start", f"{type(error).__name__}: {error}", ""))
        return
    _tell(connection, sample=None)
    limit_memory(MEMORY)
    with suppress(EOFError):
        while True:
            _answer(connection, reader, *connection.recv())


def _answer(connection: Connection, reader: Any, kind: str, what: Sequence[Any], together: bool, scratch: Any) -> None:
    try:
        if kind == "keys":
            _tell(connection, sample=[("keys", "json", [_key(load(scratch), path) for path in what])])
            what = []
        for row in what if kind != "files" else _rows(reader, what, together, scratch):
            _send(connection, reader.decode(row))
        _tell(connection, sample=None)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except SpeciateError as error:
        _tell(connection, error=(error.asked, error.exists, error.do))
    except Exception as error:
        where = what[0].name if kind == "files" else "a row"
        _tell(connection, error=(f"cannot read {where}", f"{type(error).__name__}: {error}", ""))


def _rows(reader: Any, paths: Sequence[Path], together: bool, scratch: Path) -> Iterator[Row]:
    with scratch_in(scratch):
        for row in reader.read_all(paths) if together else reader.read(paths[0]):
            if isinstance(row, Quarantined):
                raise SpeciateError(f"cannot read {Path(row.path).name}", row.reason, "leave it out")
            yield row


def _key(together: Callable[[Path], str], path: Path) -> str:
    try:
        return str(together(path))
    except Exception:
        return f"{path}: {id(path)}"  # reading it will say what is wrong


def _send(connection: Connection, sample: Sample) -> None:
    """First what the arrays are, then each as bytes."""
    import numpy as np

    arrays = {name: np.ascontiguousarray(value) for name, value in sample.items() if isinstance(value, np.ndarray)}
    head = [(n, arrays[n].dtype.str, value.shape) if n in arrays else (n, "json", value) for n, value in sample.items()]
    _tell(connection, sample=head)
    for value in arrays.values():
        connection.send_bytes(value.tobytes())


def _tell(connection: Connection, **message: Any) -> None:
    connection.send_bytes(json.dumps(message).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
