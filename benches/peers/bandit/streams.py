"""Bandit streams, and the orders in which a seed plays them."""

import json
import math
import random
from pathlib import Path

MASK = (1 << 64) - 1


class Stream:
    """Contexts, the rewards of every action, and what a success of each is worth."""

    def __init__(self, path: Path):
        self.path = path
        self.name = path.stem
        meta = json.loads(path.with_suffix(".meta.json").read_text())
        self.actions = len(meta["actions"])
        self.values = meta.get("values") or [1.0] * self.actions
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        self.contexts = [line["x"] for line in lines]
        self.rewards = [line["r"] for line in lines]

    def order(self, seed: int, rows: int) -> list[int]:
        order = list(range(len(self.contexts)))
        if seed > 0 and not self.name.endswith("_chrono"):
            order.sort(key=lambda t: splitmix64(seed << 32 | t))
        return order[:rows]


def splitmix64(z: int) -> int:
    z = (z + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def made_up(folder: Path, actions: int, rows: int, width: int = 20) -> Path:
    """A stream of conversions at 5 % with as many actions, to measure what an event costs."""
    dice = random.Random(actions)
    weights = [[dice.gauss(0, 0.5) for _ in range(width)] for _ in range(actions)]
    path = folder / f"made_up_{actions}.jsonl"
    with path.open("w") as file:
        for t in range(rows):
            x = [round(dice.gauss(0, 1), 3) for _ in range(width)]
            odds = [sum(a * b for a, b in zip(w, x)) - 3 for w in weights]
            rewards = [int(dice.random() < 1 / (1 + math.exp(-z))) for z in odds]
            file.write(json.dumps({"t": t, "x": x, "r": rewards}) + "\n")
    names = [f"a{i}" for i in range(actions)]
    path.with_suffix(".meta.json").write_text(json.dumps({"actions": names}))
    return path
