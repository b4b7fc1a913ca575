"""The reading process: `python -m speciate_datasets.worker FD`. It reads chunks of files within limits, and is lost
with a file that crashes it, hangs, or takes too much memory; see `pool.py` for who starts it."""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
import sys
import time
from array import array
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket
from typing import IO, TYPE_CHECKING, Any

from speciate.limits import OUT_OF_MEMORY, die_with_parent, limit_memory, no_network

if TYPE_CHECKING:
    from speciate.contracts import Reader
    from speciate_datasets.reading import Outcome
    from speciate_datasets.stored import File, Task

BOARD = struct.Struct("=qd")  # the place of the file that is being read, and since when


def main() -> None:
    """Answer chunks with outcomes until the other end is closed."""
    no_network()
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started this
    channel = socket(AF_UNIX, SOCK_STREAM, fileno=int(sys.argv[1]))
    connection = Connection(os.dup(channel.fileno()))
    with mmap.mmap(int(sys.argv[2]), BOARD.size) as board:
        _serve(channel, connection, board)


def _serve(channel: socket, connection: Connection, board: mmap.mmap) -> None:
    try:
        task, folder, memory = connection.recv()
        from speciate.catalog import load

        reader = load(task.reader)(task.options)
    except Exception as error:
        tell(connection, failed=f"{type(error).__name__}: {error}")
        return
    tell(connection)
    limit_memory(memory)

    def begin(place: int) -> None:
        BOARD.pack_into(board, 0, place, time.monotonic())

    while True:
        try:
            files = connection.recv()
        except EOFError:
            return
        try:
            outcome, spooled, streams = _chunk(reader, task, files, Path(folder), begin)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        tell(connection, outcome=outcome.said(), streams=streams)
        if spooled is not None:
            channel.sendmsg([b"f"], [(SOL_SOCKET, SCM_RIGHTS, array("i", [spooled.fileno()]))])
            spooled.close()


def _chunk(
    reader: Reader, task: Task, files: list[File], folder: Path, begin: Callable[[int], None]
) -> tuple[Outcome, IO[bytes] | None, int]:
    """The outcome, and the file that its tables are in, if there is one."""
    from speciate_datasets.reading import Outcome, read
    from speciate_datasets.spool import Full

    try:
        spool, outcome = read(reader, task, files, folder, begin)
        return outcome, *(spool.file() if spool.types else (None, 0))
    except Full as error:
        return Outcome(error=error), None, 0


def tell(connection: Connection, **message: Any) -> None:
    """As JSON: what comes out of a process that reads strangers' files is never unpickled."""
    connection.send_bytes(json.dumps(message).encode())


def receive_file(channel: socket) -> int:
    """The file that follows an outcome."""
    _, extra, _, _ = channel.recvmsg(1, 64)
    if not extra:
        raise EOFError
    return array("i", extra[0][2])[0]


if __name__ == "__main__":
    main()
