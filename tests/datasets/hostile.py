"""A Format whose files say what harm to do: `exit`, `crash`, `hang`, `eat`, `raise`, …; `ok` does none."""

import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass

from speciate import Array, Format, Modality, SpeciateError, hookimpl

BYTES = Modality("hostile", (Array("data", "uint8", ("byte",)),), "bytes")


@dataclass
class HostileOptions:
    pass


class HostileReader:
    def __init__(self, options):
        self.options = options

    def schema(self):
        return {"data": "blob", "name": "string"}

    def read(self, path):
        data = path.read_bytes()
        word = data.split(b" ")[0].decode()
        if word == "meet":
            self._meet(path.parent / ".met")
        row = {"data": data, "name": path.name, "folder": path.parent.name, "size": len(data)}
        if word == "number":
            yield {**row, "size": "many"}
            return
        harm = getattr(self, f"_{word}", None) if word != "meet" else None
        if harm:
            yield {**row, "name": "half", "data": b"half"}
            row = harm(row)
        yield row

    def decode(self, row):
        import numpy as np

        return {"data": np.frombuffer(row["data"], dtype=np.uint8)}

    def _meet(self, met):
        """Be slow until two processes have come here."""
        met.mkdir(exist_ok=True)
        (met / str(os.getpid())).touch()
        if len(list(met.iterdir())) < 2:
            time.sleep(0.1)

    def _exit(self, row):
        os._exit(3)

    def _crash(self, row):
        ctypes.string_at(0)

    def _killed(self, row):
        os.kill(os.getpid(), signal.SIGKILL)

    def _hang(self, row):
        while True:
            time.sleep(1)

    def _eat(self, row):
        return {**row, "name": str(len(bytearray(8 << 30)))}

    def _raise(self, row):
        raise SpeciateError("this one is bad", "it says so", "leave it")

    def _print(self, row):
        print("noise")
        print("noise", file=sys.stderr)
        return row

    def _types(self, row):
        return {**row, "data": {"not": "bytes"}}

    def _norow(self, row):
        return 7


@hookimpl
def speciate_formats():
    reader = f"{__name__}:HostileReader"
    return [Format("hostile", "files that do harm", BYTES, ("*.hst",), reader, options=HostileOptions)]
