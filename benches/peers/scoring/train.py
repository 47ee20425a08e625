"""Trains the LightGBM models that the scoring benchmark compares on, and rows shaped like requests.

usage: train.py FOLDER

Writes per model NAME: NAME.txt (LightGBM's text form), NAME.f64 (LightGBM's raw score of each row) and
NAME.so (the same model compiled by lleaves, where it can be had); and once rows.f64, and the offers that its
requests are made of as catalog.f64. Seeds are fixed.
"""

import pathlib
import subprocess
import sys
import time

import lightgbm
import numpy

INPUTS, SHARED = 40, 28  # Inputs 0 to 27 tell the customer and the moment, 28 to 39 the offer.
REQUESTS, CANDIDATES = 32, 200
ROWS = 60_000
NAMES = [f"{'' if i < SHARED else 'offer.'}Column_{i}" for i in range(INPUTS)]
MODELS = {"100x31": (100, 31), "500x31": (500, 31), "500x64": (500, 64)}

dice = numpy.random.default_rng(7)


def context(count):
    x = dice.normal(size=(count, SHARED))
    x[:, 8:16] = dice.integers(0, 12, size=(count, 8))  # small counts
    x[:, 16:22] = dice.random((count, 6)) < 0.3  # flags
    x[:, 22:28] = numpy.exp(dice.normal(size=(count, 6)))  # skewed amounts
    return x


def offers(count):
    x = dice.normal(size=(count, INPUTS - SHARED))
    x[:, 0:3] = dice.integers(0, 20, size=(count, 3))
    x[:, 3:5] = numpy.exp(dice.normal(size=(count, 2)))
    return x


def truth(x):
    """Log-odds with linear parts and interactions, so that splits fall on shared and own inputs alike."""
    z = (x - x.mean(0)) / (x.std(0) + 1e-9)
    pairs = zip(dice.integers(0, INPUTS, 60), dice.integers(0, INPUTS, 60), dice.normal(size=60))
    margin = z @ (dice.normal(size=INPUTS) * 0.5) - 1.0
    for a, b, weight in pairs:
        margin += 0.5 * weight * numpy.sin(1.3 * z[:, a]) * numpy.cos(0.9 * z[:, b])
    return margin


def requests():
    """Requests of 200 candidates each: half of an offer's inputs are its own, half depend on the customer."""
    rows = numpy.zeros((REQUESTS, CANDIDATES, INPUTS))
    rows[:, :, :SHARED] = context(REQUESTS)[:, None, :]
    catalog = offers(CANDIDATES)
    for request in rows:
        own = catalog.copy()
        own[:, 6:] += dice.normal(size=(CANDIDATES, INPUTS - SHARED - 6)) * 0.7
        request[:, SHARED:] = own[dice.permutation(CANDIDATES)]
    return rows.reshape(-1, INPUTS), catalog


def compile_with_lleaves(folder, name):
    try:
        import lleaves
    except ImportError as error:
        print(f"no lleaves: {error}", flush=True)
        return
    began = time.time()
    model = lleaves.Model(model_file=str(folder / f"{name}.txt"))
    model.compile(cache=str(folder / f"{name}.o"), raw_score=True)
    linked = ["cc", "-shared", "-o", str(folder / f"{name}.so"), str(folder / f"{name}.o"), "-lm"]
    subprocess.run(linked, check=True)
    print(f"{name}: lleaves compiled it in {time.time() - began:.0f} s", flush=True)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    x = numpy.hstack([context(ROWS), offers(ROWS)])
    y = dice.random(ROWS) < 1 / (1 + numpy.exp(-truth(x)))
    rows, catalog = requests()
    rows.tofile(folder / "rows.f64")
    catalog.tofile(folder / "catalog.f64")
    for name, (trees, leaves) in MODELS.items():
        parameters = {
            "objective": "binary",
            "num_leaves": leaves,
            "learning_rate": 0.05,
            "feature_fraction": 0.8,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "verbose": -1,
            "seed": 1,
            "deterministic": True,
        }
        model = lightgbm.train(parameters, lightgbm.Dataset(x, y.astype(float), feature_name=NAMES), num_boost_round=trees)
        model.save_model(folder / f"{name}.txt")
        model.predict(rows, raw_score=True).tofile(folder / f"{name}.f64")
        print(f"{name}: trained", flush=True)
    for name in MODELS:
        compile_with_lleaves(folder, name)


if __name__ == "__main__":
    main()
