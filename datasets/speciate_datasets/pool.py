"""A pool of reading processes. Each is warm, limited in memory and time, and lost without loss: a file that ends one is
refused with the reason, and the others of its chunk are read again."""

from __future__ import annotations

import json
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO

from speciate import SpeciateError
from speciate.contracts import Reader
from speciate.limits import ended, environment
from speciate_datasets.reading import CHUNK_FILE_BYTES, Chunk, Local, Outcome
from speciate_datasets.spool import Tables
from speciate_datasets.stored import File, Task
from speciate_datasets.worker import BOARD, receive_file

JOBS = 4
MEMORY = 2 << 30  # a process, beyond what it needs to start
SECONDS = 60.0  # a file
SECONDS_PER_BYTE = 1e-6  # more for a large one
LOOK = 0.25  # seconds between looks at who takes too long
OWN_FILES = 16  # that are read here between looks at the others


def jobs_here() -> int:
    """How many processes read at once unless told."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, JOBS)


class Pool(Local):
    """Reads chunks in other processes, and gives them in their order."""

    def __init__(self, task: Task, folder: Path, jobs: int) -> None:
        self.task, self.folder, self.jobs = task, folder, jobs
        self._order: deque[Chunk] = deque()
        self._waiting: deque[Chunk] = deque()
        self._workers: list[Worker] = []

    def run(self, chunks: Sequence[Chunk]) -> Iterator[Chunk]:
        self._order.extend(chunks)
        self._waiting.extend(chunks)
        while self._order:
            self._assign()
            if self._order[0].outcome is not None:
                yield self._order.popleft()
            elif (chunk := self._own()) is not None:
                chunk.settle(self._read(chunk, self._beside))
            else:
                self._look(LOOK)

    def _own(self) -> Chunk | None:
        """A chunk to read in this process."""
        return None

    def _beside(self, place: int) -> None:
        """What is done before each file that is read in this process."""

    def again(self, chunk: Chunk) -> None:
        parts = self.apart(chunk)
        self._order.extendleft(reversed(parts))
        self._waiting.extendleft(reversed(parts))

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    def _assign(self) -> None:
        """Give chunks to those who wait for one, but do not read far ahead of who takes them."""
        while self._waiting and not self._ahead():
            idle = next((worker for worker in self._workers if worker.ready and worker.chunk is None), None)
            starting = sum(not worker.ready for worker in self._workers)
            if not self._waiting[0].files:
                self._waiting.popleft().settle(Outcome())
            elif idle is not None:
                idle.give(self._waiting.popleft())
            elif len(self._workers) < self.jobs and starting < len(self._waiting):
                self._workers.append(Worker(self.task, self.folder))
            else:
                return

    def _ahead(self) -> bool:
        return len(self._order) - len(self._waiting) >= 2 * self.jobs + 1

    def _look(self, seconds: float) -> None:
        """Wait for an outcome, and end who takes too long."""
        busy = {worker.connection: worker for worker in self._workers if worker.chunk or not worker.ready}
        for connection in wait(list(busy), seconds):
            worker = busy.pop(connection)  # type: ignore[call-overload]
            try:
                worker.take()
            except (EOFError, ConnectionError):
                self._lost(worker, worker.why())
        for worker in busy.values():
            if worker.late():
                self._lost(worker, _refusal(f"reading it took over {worker.allowed():.0f} s", "the limit of one file"))

    def _lost(self, worker: Worker, why: str) -> None:
        """Its chunk is read again, without the file that ended it."""
        place, _ = worker.board()
        worker.kill()
        self._workers.remove(worker)
        chunk, worker.chunk = worker.chunk, None
        if not worker.ready or chunk is None:
            raise SpeciateError(f"the reader {self.task.reader} does not start", why, "mend the plugin")
        chunk.without(min(max(place, 0), len(chunk.files) - 1), why)
        self._waiting.appendleft(chunk)


class Shared(Pool):
    """A pool for many small files of a safe reader: this process is one of those that read."""

    def __init__(self, task: Task, reader: Reader, folder: Path, jobs: int) -> None:
        super().__init__(task, folder, jobs - 1)
        self._reader = reader

    def _own(self) -> Chunk | None:
        if not self._waiting or self._ahead() or self._waiting[0].size > CHUNK_FILE_BYTES:
            return None
        return self._waiting.popleft()

    def _beside(self, place: int) -> None:
        """While files are read here, the others are not kept waiting."""
        if place % OWN_FILES == 0:
            self._look(0)
            self._assign()


class Worker:
    """One reading process, seen from outside."""

    def __init__(self, task: Task, folder: Path) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        board = _board(folder)
        self._board = mmap.mmap(board.fileno(), BOARD.size)
        fds = (theirs.fileno(), board.fileno())
        command = [sys.executable, "-m", "speciate_datasets.worker", *map(str, fds)]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, pass_fds=fds, stdin=quiet, stdout=quiet, stderr=quiet, env=environment()
        )
        theirs.close()
        board.close()
        self._channel, self.connection = ours, Connection(os.dup(ours.fileno()))
        self.chunk: Chunk | None = None
        self.ready = False
        self._since = time.monotonic()
        self._start(task, folder)

    def _start(self, task: Task, folder: Path) -> None:
        try:
            with suppress(ConnectionError):
                self.connection.send((task, str(folder), MEMORY))
        except Exception as error:  # whatever an options class does when it is pickled
            self.kill()
            do = "put its options class into a module, at top level"
            raise SpeciateError(f"the options of {task.reader} cannot travel", str(error), do) from error

    def give(self, chunk: Chunk) -> None:
        self.chunk, self._since = chunk, time.monotonic()
        BOARD.pack_into(self._board, 0, -1, 0.0)
        with suppress(ConnectionError):  # its end is noticed when it should answer
            self.connection.send(chunk.files)

    def take(self) -> None:
        """What it sent: that it is ready, or the outcome of its chunk."""
        message = json.loads(self.connection.recv_bytes())
        if "outcome" not in message:
            self.ready = "failed" not in message
            if not self.ready:
                raise SpeciateError("the format's reader does not start", message["failed"], "mend the plugin")
            return
        count = message["streams"]
        tables = Tables(file=os.fdopen(receive_file(self._channel), "rb"), streams=count) if count else Tables()
        if self.chunk is not None:
            self.chunk.settle(Outcome.heard(message["outcome"], tables))
        self.chunk = None

    def board(self) -> tuple[int, float]:
        place, since = BOARD.unpack_from(self._board)
        return int(place), max(float(since), self._since)

    def allowed(self) -> float:
        """The seconds that its file may take; a process may take as many to start."""
        place, _ = self.board()
        files: list[File] = self.chunk.files if self.chunk else []
        return SECONDS + (files[place].size * SECONDS_PER_BYTE if 0 <= place < len(files) else SECONDS)

    def late(self) -> bool:
        return time.monotonic() - self.board()[1] > self.allowed()

    def why(self) -> str:
        """How it ended."""
        return f"{ended(self._process.wait(timeout=10), MEMORY)}; mend the file or leave it out"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self.connection.close()
        self._channel.close()


def _refusal(what: str, exists: str) -> str:
    return f"{what}; {exists}; mend the file or leave it out"


def _board(folder: Path) -> IO[bytes]:
    """The few bytes in which a worker tells what it is at, without a message."""
    try:
        board = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (the worker's)
        board.write(bytes(BOARD.size))
        board.flush()
    except OSError as error:
        raise SpeciateError(f"cannot write {folder}", str(error), "free some disk space") from error
    return board
