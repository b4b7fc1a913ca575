"""Clips of Atari games in which a player holds the joystick in one direction: `python -m speciate_video.atari FOLDER
GAMES SEEDS`, where the package ale-py can be imported. The same seed gives the same pictures."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speciate_video.example import save

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DIRECTIONS", "GAMES", "main"]

GAMES = (  # where the joystick is seen to do something, as other seeds than the demo's showed
    *("battle_zone", "boxing", "chopper_command", "fishing_derby", "gopher", "hero", "ice_hockey", "kangaroo"),
    *("krull", "montezuma_revenge", "pacman", "pitfall", "private_eye", "riverraid", "road_runner", "robotank"),
    *("seaquest", "tutankham", "yars_revenge", "zaxxon"),
)
DIRECTIONS = {"up": 2, "right": 3, "left": 4, "down": 5}
FRAMES, SKIP = 16, 3


def main(folder: Path, games: list[str], seeds: list[int]) -> None:
    """One video for each game, direction and seed, in a folder of its direction."""
    for game in games:
        machine = _machine(game)
        for seed in seeds:
            for name, action in DIRECTIONS.items():
                path = folder / name / f"{game}-{seed}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                save(path, _played(machine, f"{game} {seed} {name}", action), fps=60 / SKIP)


def _played(machine: Any, seed: str, action: int) -> Iterator[NDArray[np.uint8]]:
    """A while of random play, then the joystick is held."""
    draw = random.Random(seed)  # noqa: S311
    machine.reset_game()
    for _ in range(draw.randint(20, 80)):
        if machine.game_over():
            machine.reset_game()
        move = draw.choice((0, 1, *DIRECTIONS.values()))
        for _ in range(4):
            machine.act(move)
    for _ in range(FRAMES):
        for _ in range(SKIP):
            machine.act(action)
        yield np.ascontiguousarray(machine.getScreenRGB())


def _machine(game: str) -> Any:
    import ale_py

    machine = ale_py.ALEInterface()
    machine.setInt("random_seed", 1)
    machine.setFloat("repeat_action_probability", 0.0)
    machine.loadROM(Path(ale_py.__file__).parent / "roms" / f"{game}.bin")
    return machine


if __name__ == "__main__":
    words = (argument.split(",") for argument in sys.argv[2:])
    main(Path(sys.argv[1]), next(words), [int(seed) for seed in next(words)])
