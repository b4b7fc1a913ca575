"""Which files a dataset means: `python -m speciate_dicom.names ct/ dicom-0123456789abcdef.dcm ...`

A dataset stores pseudonyms instead of names of files. Whoever has the key and the files finds the one that a source
stands for, also where the folder has moved.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from speciate import SpeciateError
from speciate.sources import collect
from speciate_dicom.secret import Secret, secret

__all__ = ["found", "main"]


def found(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """(pseudonym, file) of the files that one of the names stands for."""
    key, wanted = secret(), set(names)
    for path in collect([folder])[0]:
        yield from ((name, path) for name in _names(key, path) if name in wanted)


def _names(key: Secret, path: Path) -> Iterator[str]:
    """The pseudonyms of a file as it is called below each of its folders: which one was added is not known."""
    parts = path.absolute().parts
    return (key.file("/".join(parts[place:])) for place in range(len(parts) - 1, 0, -1))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m speciate_dicom.names", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", help="as a dataset's sources show them")
    asked = parser.parse_args()
    lines = 0
    try:
        for name, path in found(asked.folder, asked.names):
            sys.stdout.write(f"{name}\t{path}\n")
            lines += 1
    except SpeciateError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0 if lines else 1


if __name__ == "__main__":
    sys.exit(main())
