"""Opening after a power cut or a damaged disk: the newest intact version, and a word about the others.

Nothing is deleted: what cannot be read is moved into `lost+found/TIME/TABLE`, from where a person may take it back.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from speciate.files import sync
from speciate_datasets.sums import HINT, MANIFESTS, Sums, manifest_of, stems

MAGIC = b"LANC"  # the last bytes of a manifest and of a data file


def broken(sums: Sums) -> dict[int, str]:
    """The versions, newest first, that lie above the newest intact one, and why they are not."""
    found: dict[int, str] = {}
    for version in sums.versions():
        why = _why(sums, version)
        if not why:
            break
        found[version] = why
    return found


def aside(root: Path, name: str, sums: Sums, versions: dict[int, str]) -> None:
    """Move the manifests of broken versions out of Lance's way. The writer's lock is held."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H.%M.%S.%f")
    place = root / "lost+found" / now / name
    place.mkdir(parents=True, exist_ok=True)
    for path in [sums.folder / manifest_of(version) for version in versions] + [sums.folder / MANIFESTS / HINT]:
        if path.exists():
            path.rename(place / path.name)
    for folder in (place, place.parent, place.parent.parent, root, sums.folder / MANIFESTS):
        sync(folder)
    newest = next(iter(sums.versions()), None)
    goes_on = f"it goes on at version {newest}" if newest else "no version of it is left"
    for version, why in versions.items():
        print(f"{name}: version {version} is damaged ({why}), moved to {place}; {goes_on}", file=sys.stderr)  # noqa: T201


def lost(root: Path, name: str) -> dict[int, str]:
    """The versions that were moved aside, and until when their numbers meant them."""
    found: dict[int, str] = {}
    for place in sorted((root / "lost+found").glob(f"*/{name}")):
        day, _, time = place.parent.name.partition("T")
        for path in place.glob("*.manifest"):
            found[2**64 - 1 - int(path.stem)] = f"{day}T{time[:8].replace('.', ':')}.{time[9:12]}+00:00"
    return found


def _why(sums: Sums, version: int) -> str:
    """What is wrong with a version: by its line where it has one, else by what can be seen without reading it all."""
    name = manifest_of(version)
    if name in sums.known():
        return "" if sums.right(name) else "its manifest is not what was written"
    data = (sums.folder / name).read_bytes()
    if data[-4:] != MAGIC:
        return "its manifest is not whole"
    known = sums.known()
    for stem in stems(data):
        file = f"data/{stem}.lance"
        if file not in known and not _ends_well(sums.folder / file):
            return f"{file} is not whole"
        if any(path.stat().st_size == 0 for path in (sums.folder / "data" / stem).glob("*.blob")):
            return f"a blob of {file} is not whole"
    for file in sums.deletions(version) - known.keys():
        if (sums.folder / file).stat().st_size == 0:
            return f"{file} is not whole"
    return ""


def _ends_well(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-4, 2)
            return file.read() == MAGIC
    except OSError:
        return False
