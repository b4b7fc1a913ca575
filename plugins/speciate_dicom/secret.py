"""The key of pseudonyms: without it nobody can tell from a pseudonym whose it is, with it the same person keeps theirs.

Names of files get pseudonyms, too: who was scanned often stands in them. `python -m speciate_dicom.names` finds a file
again.

It comes from the environment variable SPECIATE_DICOM_KEY, or from a file in the person's own configuration folder that
is made when it is first needed. It is never stored with the data.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from speciate import UsageError
from speciate_dicom.options import Common

__all__ = ["VARIABLE", "Secret", "pseudonyms", "secret"]

VARIABLE = "SPECIATE_DICOM_KEY"
LEAST = 16  # characters
MAKE = f"type `export {VARIABLE}=$(openssl rand -hex 32)` and keep it"
MOST_DAYS = 3650


class Secret:
    """Answers that only this key gives."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def digest(self, kind: str, value: str) -> bytes:
        return hmac.digest(self._key, f"{kind}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256)

    def name(self, kind: str, value: str) -> str:
        """A pseudonym of letters and digits."""
        return self.digest(kind, value).hex()[:16]

    def file(self, name: str) -> str:
        """What a file is called where it is stored."""
        name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # as it can be printed
        return f"dicom-{self.name('path', name)}.dcm"

    def patient(self, value: str) -> str:
        """The group of a patient's pictures, by the PatientID that a header or a label file gives."""
        return self.name("patient", f"PatientID\0{' '.join(value.split())}")

    def uid(self, value: str) -> str:
        """Another UID; the same one for the same UID."""
        return f"2.25.{int.from_bytes(self.digest('uid', value)[:16], 'big')}"

    def date(self, patient: str, value: str) -> str:
        """A date some days before, as many for all dates of a patient; nothing for what is no date."""
        days = 1 + int.from_bytes(self.digest("days", patient)[:4], "big") % MOST_DAYS
        text = value.replace(".", "").strip()
        try:
            day = date(int(text[:4]), int(text[4:6]), int(text[6:8])) - timedelta(days=days)
        except (ValueError, OverflowError):
            return ""
        return f"{day.year:04d}{day.month:02d}{day.day:02d}"


def pseudonyms(options: Common) -> Callable[[str, str], str] | None:
    """What a dataset stores instead of names of files and groups; nothing where a person keeps who was scanned."""
    if options.keep_phi:
        return None
    key = secret()
    kinds = {"file": key.file, "group": key.patient}
    return lambda kind, name: kinds[kind](name)


def secret() -> Secret:
    """The key of this person."""
    given = os.environ.get(VARIABLE, "")
    if not given:
        return _of_file(_place())
    if len(given) < LEAST:
        exists = f"it has {len(given)} characters, it takes {LEAST} or more"
        raise UsageError(
            f"{VARIABLE} is too short to keep a secret", exists, f"export {VARIABLE}=$(openssl rand -hex 32)"
        )
    return Secret(hashlib.sha256(given.encode()).digest())


def _place() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "speciate" / "dicom.key"


@functools.lru_cache(maxsize=4)
def _of_file(path: Path) -> Secret:
    """The key in the file, made if it is not there; of several processes that make one, one wins."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32) + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(new, path)  # fails where another process was first
            except FileExistsError:
                pass
            finally:
                new.unlink()
        key = path.read_text(encoding="ascii").strip()
    except OSError as error:
        exists = f"cannot read or make {path}: {error.strerror}"
        raise UsageError(
            "there is no key for pseudonyms", exists, f"export {VARIABLE}=$(openssl rand -hex 32)"
        ) from None
    if len(key) < LEAST:
        raise UsageError("the key for pseudonyms is damaged", f"{path} is too short", "restore it from a copy")
    return Secret(hashlib.sha256(key.encode()).digest())
