"""offerd, Vowpal Wabbit and MABWiser on the same streams: what they earn and what an event costs them."""

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from players import PEERS
from streams import Stream, made_up

STREAMS = ["telco_addons", "digits", "satimage", "bank", "letter", "telco_sparse_margin"]
ROWS = {"bank": 8000, "letter": 8000}
EVENTS = 2000


def offerd(binary, path, seeds, rows):
    command = [binary, "bandit", str(path), "--seeds", str(seeds), "--max-rows", str(rows), "--json"]
    figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return figures["rewards"], figures["decide_us"], figures["learn_us"]


def peer(play, stream, seeds, rows):
    played = [play(stream, seed, rows) for seed in range(seeds)]
    rewards, decide, learn = zip(*played)
    return list(rewards), statistics.fmean(decide), statistics.fmean(learn)


def cell(rewards):
    mean = statistics.fmean(rewards)
    if len(rewards) < 2:
        return f"{mean:.3f}"
    return f"{mean:.3f} ±{1.96 * statistics.stdev(rewards) / len(rewards) ** 0.5:.3f}"


def recorded(shared):
    """The best recorded mean of any learner on each stream: its value and who."""
    best = {}
    for path in sorted((shared / "data/results").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            short = row["stream"] in ROWS and row["n"] != ROWS[row["stream"]]
            learns = row["algo"].startswith(("vw_", "mab_"))
            if learns and not short and row["stream"] in STREAMS:
                best[row["stream"]] = max(best.get(row["stream"], (0, "")), (row["mean_reward"], row["algo"]))
    return best


def rewards(args, streams):
    table = {"offerd": {}}
    for stream in streams:
        rows = min(args.rows or 10**9, ROWS.get(stream.name, 10**9))
        table["offerd"][stream.name] = offerd(args.offerd, stream.path, args.seeds, rows)[0]
        for name, play in PEERS.items():
            table.setdefault(name, {})[stream.name] = peer(play, stream, args.seeds, rows)[0]
        print(f"  played {stream.name}", flush=True)
    names = [stream.name for stream in streams]
    print(f"\n| | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}")
    for name, of in table.items():
        print(f"| {name} | {' | '.join(cell(of[stream]) for stream in names)} |")
    best = recorded(args.shared)
    print(f"| best recorded | {' | '.join('{:.3f} {}'.format(*best[stream]) for stream in names)} |")


def costs(args):
    """Decide and learn on made-up events, one after another on one core."""
    print("\n| microseconds an event: decide + learn | 8 actions | 50 actions |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        paths = [made_up(Path(folder), actions, EVENTS) for actions in (8, 50)]
        found = [offerd(args.offerd, path, 1, EVENTS)[1:] for path in paths]
        print(f"| offerd | {' | '.join('{:.1f} + {:.1f}'.format(*times) for times in found)} |")
        for name in ["VW squarecb", "MABWiser LinUCB .1"]:
            times = [peer(PEERS[name], Stream(path), 1, EVENTS)[1:] for path in paths]
            factors = [sum(t) / sum(own) for t, own in zip(times, found)]
            cells = ["{:.1f} + {:.1f} ({:.1f} x)".format(*t, f) for t, f in zip(times, factors)]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--offerd", required=True, help="the program")
    parser.add_argument("--shared", type=Path, required=True, help="the folder with data/streams and data/results")
    parser.add_argument("--full", action="store_true", help="10 seeds and all lines")
    parser.add_argument("--costs", action="store_true", help="what an event costs, and nothing else")
    args = parser.parse_args()
    if args.costs:
        return costs(args)
    args.seeds, args.rows = (10, None) if args.full else (3, 2000)
    rewards(args, [Stream(args.shared / f"data/streams/{name}.jsonl") for name in STREAMS])
    costs(args)


if __name__ == "__main__":
    main()
