"""Trains models/propensity-lightgbm and models/propensity-xgboost on the project's own simulator.

    offerd train --from simulator --seed 7 --rows 60000 --rows-out rows.csv
    python models/make/boosters.py rows.csv

The golden rows hold what the trainers' own libraries answer.
"""

import hashlib
import json
import sys
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.metrics import log_loss, roc_auc_score

MODELS = Path(__file__).parent.parent
FEATURES = json.loads((MODELS / "propensity-linear/manifest.json").read_text())["features"]
NAMES = [feature["name"] for feature in FEATURES]
CATEGORIES = [i for i, feature in enumerate(FEATURES) if feature["kind"] == "category"]
GOLDEN_ROWS = 64


def read(path):
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    for feature in FEATURES:
        if feature["kind"] == "category":
            places = {word: float(place) for place, word in enumerate(feature["categories"])}
            frame[feature["name"]] = frame[feature["name"]].map(places)
    return frame[NAMES].to_numpy(dtype=float), frame["converted"].to_numpy(dtype=int)


def golden_rows(x):
    """Held-out rows; in every other one more value is missing, in the last all are."""
    rows = x[:: len(x) // GOLDEN_ROWS][:GOLDEN_ROWS].copy()
    for i in range(1, GOLDEN_ROWS, 2):
        rows[i, i // 2 % x.shape[1]] = np.nan
    rows[-1] = np.nan
    return rows


def write(folder, kind, name, artifact, rows, raw, probability, note):
    golden = [
        {"features": [None if v != v else v for v in row], "raw": float(r), "probability": float(p)}
        for row, r, p in zip(rows.tolist(), raw, probability)
    ]
    lines = lambda values: "[\n" + ",\n".join("    " + json.dumps(v, separators=(",", ":")) for v in values) + "\n  ]"
    fields = {
        "name": json.dumps("propensity"),
        "version": json.dumps(f"2026-11-21.{kind}"),
        "format": json.dumps(kind),
        "target": json.dumps("conversion"),
        "features": lines(FEATURES),
        "calibration": json.dumps({"kind": "none"}),
        "golden": lines(golden),
        "sha256": json.dumps(hashlib.sha256(artifact).hexdigest()),
        "trained_at": json.dumps("2026-11-21T00:00:00Z"),
        "note": json.dumps(note),
    }
    folder = MODELS / folder
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(artifact)
    text = ",\n".join(f'  "{key}": {value}' for key, value in fields.items())
    (folder / "manifest.json").write_text("{\n" + text + "\n}\n")


def lightgbm(x, y, held_out):
    params = dict(objective="binary", num_leaves=8, learning_rate=0.08, min_data_in_leaf=100, cat_smooth=50,
                  verbose=-1, seed=7, deterministic=True, force_row_wise=True, num_threads=1)
    data = lgb.Dataset(x, y, feature_name=NAMES, categorical_feature=CATEGORIES)
    booster = lgb.train(params, data, 60)
    # The parameters that follow the trees are for people, and name paths of the machine.
    text = booster.model_to_string().split("\nparameters:\n")[0] + "\n"
    rows = golden_rows(held_out)
    write("propensity-lightgbm", "lightgbm", "artifact.txt", text.encode(), rows,
          booster.predict(rows, raw_score=True), booster.predict(rows), "models/make/boosters.py, LightGBM " + lgb.__version__)
    return booster.predict(held_out)


def xgboost(x, y, held_out):
    types = ["c" if i in CATEGORIES else "q" for i in range(len(NAMES))]
    matrix = lambda rows, label=None: xgb.DMatrix(rows, label, feature_names=NAMES, feature_types=types, enable_categorical=True)
    params = dict(objective="binary:logistic", max_depth=3, eta=0.15, min_child_weight=5, max_cat_to_onehot=1, seed=7, nthread=1)
    booster = xgb.train(params, matrix(x, y), 40)
    rows = golden_rows(held_out)
    write("propensity-xgboost", "xgboost", "artifact.json", bytes(booster.save_raw("json")), rows,
          booster.predict(matrix(rows), output_margin=True), booster.predict(matrix(rows)),
          "models/make/boosters.py, XGBoost " + xgb.__version__)
    return booster.predict(matrix(held_out))


def main():
    x, y = read(sys.argv[1])
    part = np.arange(len(x)) % 5
    train, held_out = part < 3, part == 4
    rate = y[train].mean()
    print(f"base rate  log-loss {log_loss(y[held_out], np.full(held_out.sum(), rate)):.4f}")
    for name, fit in [("lightgbm", lightgbm), ("xgboost", xgboost)]:
        p = fit(x[train], y[train], x[held_out])
        bins = np.array_split(np.argsort(p), 10)
        ece = sum(abs(p[b].mean() - y[held_out][b].mean()) * len(b) for b in bins) / len(p)
        print(f"{name:<10} log-loss {log_loss(y[held_out], p):.4f}  AUC {roc_auc_score(y[held_out], p):.3f}  ECE {ece:.4f}")


if __name__ == "__main__":
    main()
