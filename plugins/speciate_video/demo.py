"""The demo's data: clips of Atari games, played by the emulator of a published package; which way is the joystick held?

One picture does not tell, and neither does the game: every game is there with every direction. The test clips begin at
other moments, from other seeds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from speciate import Demo, SpeciateError
from speciate.packages import download
from speciate_video import weights
from speciate_video.atari import DIRECTIONS, GAMES

__all__ = ["atari"]

PACKAGE = "ale-py==0.12.1"
SEEDS = {"train": range(4), "test": range(100, 102)}
PLAYERS = 2


def atari(folder: Path, ask: Callable[[str], bool]) -> Demo:
    """A video for each game, direction and seed."""
    package = folder / "ale"
    with zipfile.ZipFile(download(PACKAGE, package, ask)) as archive:
        archive.extractall(package)
    weights.fetch(ask)
    add = []
    for split, seeds in SEEDS.items():
        _play(folder / split, list(seeds), package)
        add.append({"paths": [folder / split], "split": split, "labels": "folders", "options": {"size": 96}})
    return Demo(
        title=f"{len(GAMES)} Atari games: which of {len(DIRECTIONS)} ways does the player steer? By chance: 25 of 100.",
        licence="ale-py is GPL-2; the games' licences are unclear, so the clips are made here. Nothing of it is kept.",
        add=add,
        recipe="video/probe",
        question=folder / "test" / "left" / "battle_zone-100.mp4",
    )


def _play(folder: Path, seeds: list[int], package: Path) -> None:
    """In processes of their own: the emulator speaks on the terminal, and is not installed here."""
    path = os.pathsep.join([str(package), *(entry for entry in sys.path if entry)])
    shares = [GAMES[i::PLAYERS] for i in range(PLAYERS)]
    words = ",".join(map(str, seeds))

    def run(games: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "speciate_video.atari", str(folder), ",".join(games), words]
        return subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False
        )

    with ThreadPoolExecutor(PLAYERS) as pool:
        for done in pool.map(run, shares):
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
                raise SpeciateError("the games cannot be played", reason, f"type `pip install {PACKAGE}` to see more")
