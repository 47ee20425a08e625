"""Models of every kind that offerd reads. Each function returns what the trainer says about given rows."""

import json
import re
from dataclasses import dataclass, field

import lightgbm as lgb
import numpy as np
import xgboost as xgb


@dataclass
class Trained:
    """A model's file, and its own answers."""

    name: str
    format: str
    artifact: bytes
    predict: object  # rows -> probabilities or amounts
    leaves: object = None  # rows -> one column per tree
    thresholds: dict = field(default_factory=dict)  # column -> values worth trying
    link: str = "logistic"
    coded: bool = False  # categories are to it numbers like others


LIGHTGBM = {
    "stump": dict(objective="binary", rounds=1, num_leaves=2),
    "plain": dict(objective="binary", rounds=100, num_leaves=31),
    "slow": dict(objective="binary", rounds=300, num_leaves=15, learning_rate=0.05),
    "thousand": dict(objective="binary", rounds=1000, num_leaves=31, learning_rate=0.02),
    "wide": dict(objective="binary", rounds=50, num_leaves=255, min_data_in_leaf=3),
    "amount": dict(objective="regression", rounds=100, num_leaves=31),
    "poisson": dict(objective="poisson", rounds=60, num_leaves=15),
    "forest": dict(objective="binary", boosting="rf", rounds=100, num_leaves=63, bagging_fraction=0.6, bagging_freq=1),
    "dart": dict(objective="binary", boosting="dart", rounds=80, num_leaves=31, drop_rate=0.3),
    "zero": dict(objective="binary", rounds=100, num_leaves=31, zero_as_missing=True),
    "nomissing": dict(objective="binary", rounds=60, num_leaves=31, use_missing=False),
    "sigmoid": dict(objective="binary", rounds=60, num_leaves=31, sigmoid=2.5, cat_smooth=1, max_cat_to_onehot=1),
}

XGBOOST = {
    "stump": dict(objective="binary:logistic", rounds=1, max_depth=1),
    "plain": dict(objective="binary:logistic", rounds=200, max_depth=6, max_cat_to_onehot=1),
    "thousand": dict(objective="binary:logistic", rounds=1000, max_depth=4, eta=0.05),
    "wide": dict(objective="binary:logistic", rounds=50, grow_policy="lossguide", max_leaves=255, max_depth=0),
    "amount": dict(objective="reg:squarederror", rounds=100, max_depth=6),
    "poisson": dict(objective="count:poisson", rounds=100, max_depth=4),
    "dart": dict(objective="binary:logistic", booster="dart", rounds=60, rate_drop=0.3, max_depth=5),
    "linear": dict(objective="binary:logistic", booster="gblinear", rounds=50),
}


def lightgbm(table, name, rng, rounds_max=None):
    params = dict(LIGHTGBM[name])
    rounds = min(params.pop("rounds"), rounds_max or 1000)
    target = table.amount if params["objective"] == "regression" else table.label
    x = _with_holes(table.x, rng) if name != "nomissing" else table.x
    params.update(verbose=-1, seed=1, num_threads=2, deterministic=True)

    def train(categories):
        data = lgb.Dataset(x, target, feature_name=_plain(table.names), categorical_feature=categories)
        return lgb.train(params, data, rounds)

    try:
        booster = train(table.category_columns)
    except lgb.basic.LightGBMError:
        # Its own check fails for some tables with zero_as_missing: `best_split_info.right_count > 0`.
        booster = train([])
    text = booster.model_to_string()
    columns, values = re.findall(r"^split_feature=(.*)$", text, re.M), re.findall(r"^threshold=(.*)$", text, re.M)
    thresholds = {}
    for c, v in zip(columns, values):
        for column, value in zip(c.split(), v.split()):
            thresholds.setdefault(int(column), set()).add(float(value))
    link = {"regression": "identity", "poisson": "exp"}.get(params["objective"], "logistic")
    return Trained(
        f"lightgbm/{name}",
        "lightgbm",
        text.encode(),
        lambda rows: booster.predict(rows),
        lambda rows: booster.predict(rows, pred_leaf=True).reshape(len(rows), -1),
        _numeric(table, thresholds),
        link,
    )


def xgboost(table, name, rng, rounds_max=None):
    params = dict(XGBOOST[name])
    rounds = min(params.pop("rounds"), rounds_max or 1000)
    target = table.amount if params["objective"] == "reg:squarederror" else table.label
    linear = params.get("booster") == "gblinear"
    types = ["c" if i in table.categories and not linear else "q" for i in range(len(table.names))]
    x = table.x / np.maximum(1, np.abs(table.x).max(axis=0)) if linear else _with_holes(table.x, rng)
    names = _plain(table.names)

    def matrix(rows, label=None):
        return xgb.DMatrix(rows, label, feature_names=names, feature_types=types, enable_categorical=True)

    booster = xgb.train(dict(params, seed=1, nthread=2, verbosity=0), matrix(x, target), rounds)
    document = json.loads(booster.save_raw("json"))
    thresholds = {}
    model = document["learner"]["gradient_booster"]
    for tree in model.get("gbtree", model)["model"].get("trees", []):
        split = zip(tree["split_indices"], tree["split_conditions"], tree["left_children"])
        for column, value, left in split:
            if left != -1:
                value = np.float32(value)
                below = np.float64(np.nextafter(value, np.float32(-np.inf)))
                thresholds.setdefault(column, set()).update([float(value), (below + np.float64(value)) / 2])
    raw_format = "ubj" if len(name) % 2 else "json"
    link = {"reg:squarederror": "identity", "count:poisson": "exp"}.get(params["objective"], "logistic")
    return Trained(
        f"xgboost/{name}.{raw_format}",
        "xgboost",
        bytes(booster.save_raw(raw_format)),
        lambda rows: booster.predict(matrix(rows)),
        None if linear else lambda rows: booster.predict(matrix(rows), pred_leaf=True).reshape(len(rows), -1),
        _numeric(table, thresholds),
        link,
    )


def _with_holes(x, rng):
    x = x.copy()
    x[rng.random(x.shape) < 0.05] = np.nan
    return x


def _plain(names):
    return [re.sub(r"[^A-Za-z0-9_]", "_", name) for name in names]


def _numeric(table, thresholds):
    return {c: np.array(sorted(v)) for c, v in thresholds.items() if c not in table.categories}
