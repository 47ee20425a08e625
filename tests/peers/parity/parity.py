"""Trains models, lets offerd read and score them, and compares every leaf and every answer.

Exits with 1 if any leaf differs, or any answer by more than 1e-6 (of amounts: of the largest).
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import tables
import trainers

TOLERANCE = 1e-6
# Of every format, booster and missing-value rule, one: what the short run covers.
SHORT = [
    ("telco", "lightgbm", "plain"),
    ("bank", "lightgbm", "sigmoid"),
    ("telco", "lightgbm", "zero"),
    ("shoppers", "lightgbm", "forest"),
    ("bank", "xgboost", "plain"),
    ("telco", "xgboost", "dart"),
    ("shoppers", "xgboost", "amount"),
    ("telco", "xgboost", "linear"),
]


def manifest(table, trained, names):
    def feature(i, name):
        if i in table.categories and not trained.coded:
            return {"name": name, "kind": "category", "source": "customer", "categories": table.categories[i]}
        return {"name": name, "kind": "number", "source": "customer"}

    features = [feature(i, name) for i, name in enumerate(names)]
    return {"name": "parity", "version": "1", "format": trained.format, "target": "conversion", "features": features}


def write_rows(path, names, rows):
    with open(path, "w") as file:
        print(",".join(names), file=file)
        for row in rows:
            print(",".join("" if value != value else repr(float(value)) for value in row), file=file)


def ours(folder, table, trained, rows):
    names = trainers._plain(table.names)
    (folder / "artifact").write_bytes(trained.artifact)
    (folder / "manifest.json").write_text(json.dumps(manifest(table, trained, names)))
    write_rows(folder / "rows.csv", names, rows)
    command = [os.environ["OFFERD_BIN"], "model", "score", "--artifact", folder / "artifact"]
    command += ["--manifest", folder / "manifest.json", "--rows", folder / "rows.csv"]
    if trained.leaves:
        command += ["--leaves", folder / "leaves"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise SystemExit(f"offerd refused {trained.name}")
    answer = json.loads(done.stdout)
    leaves = np.fromfile(folder / "leaves", "<u4").reshape(len(rows), -1) if trained.leaves else None
    return np.array(answer["probabilities"]), np.array(answer["raw"]), leaves


def compare(table, trained, count, rng):
    rows = tables.hard_rows(table, count, trained.thresholds, rng)
    if trained.format == "sklearn" and not trained.leaves and "logistic" in trained.name:
        rows = np.nan_to_num(rows)
    if "boosted" in trained.name:
        rows = np.nan_to_num(rows)
    if trained.format == "sklearn":
        rows = np.clip(rows, -1e30, 1e30)
    with tempfile.TemporaryDirectory() as folder:
        probabilities, raws, leaves = ours(Path(folder), table, trained, rows)
    expected = np.asarray(trained.predict(rows), dtype=float)
    found = {"identity": raws, "exp": np.exp(raws), "logistic": probabilities}[trained.link]
    # XGBoost adds up on 32 bits: what it rounds away is a part of the largest amount, not of each.
    difference = np.abs(found - expected) / max(1, np.abs(expected).max())
    compared = wrong = 0
    if trained.leaves:
        theirs = np.asarray(trained.leaves(rows)).astype(np.int64)
        compared, wrong = theirs.size, int((theirs != leaves).sum())
    return compared, wrong, float(difference.max())


def models(full):
    if not full:
        for data, trainer, name in SHORT:
            yield data, tables.load(data), trainer, name
        return
    for data in ["telco", "bank", "shoppers"]:
        table = tables.load(data)
        for trainer, names in [("lightgbm", trainers.LIGHTGBM), ("xgboost", trainers.XGBOOST)]:
            for name in names:
                yield data, table, trainer, name


def run(full, only):
    count = 10_000 if full else 1_000
    rng = np.random.default_rng(7)
    for data, table, trainer, name in models(full):
        if not only.search(f"{data}/{trainer}/{name}"):
            continue
        if not full:
            table = table.first(4_000)
        trained = getattr(trainers, trainer)(table, name, rng, None if full else 40)
        yield data, trained, compare(table, trained, count, rng)
    if full:
        import forests

        for data in ["telco", "shoppers"]:
            if not only.search(f"{data}/sklearn"):
                continue
            table = tables.load(data)
            for trained in forests.models(table, rng):
                yield data, trained, compare(table, trained, count, rng)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="60 models, 10,000 rows each")
    arguments.add_argument("--only", default="", help="a pattern of DATA/TRAINER/NAME, such as bank/xgboost")
    arguments = arguments.parse_args()
    full, only = arguments.full, re.compile(arguments.only)
    warnings.filterwarnings("ignore")
    began, count, total, most, failed = time.monotonic(), 0, 0, 0.0, 0
    for data, trained, (compared, wrong, difference) in run(full, only):
        bad = wrong > 0 or not difference <= TOLERANCE
        size = len(trained.artifact) // 1000
        print(
            f"{data:<9} {trained.name:<24} {size:>6} kB  {compared:>9} leaves, {wrong} other,"
            f"  largest difference {difference:.2e}{'  FAILED' if bad else ''}",
            flush=True,
        )
        count, total, most, failed = count + 1, total + compared, max(most, difference), failed + bad
    seconds = time.monotonic() - began
    print(f"{count} models, {total} leaves compared, largest difference {most:.2e}, {seconds:.0f} s, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
