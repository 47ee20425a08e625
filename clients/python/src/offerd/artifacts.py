"""Trained models as files that offerd reads, and their own answers for the golden rows.

Nothing is pickled: a pickle is a program. LightGBM and XGBoost write their own formats; scikit-learn's numbers
are written down as docs/models.md describes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .contract import FeatureContract


@dataclass
class Artifact:
    """A file, its format, and what the trainer's own library answers.

    ``predict`` maps rows of shape (n, features) to two arrays of shape (n,): raw scores, probabilities.
    """

    format: str
    content: bytes
    predict: Callable[[Any], tuple[Any, Any]]


def artifact(model: Any, contract: FeatureContract) -> Artifact:
    """The file of a LightGBM, XGBoost or scikit-learn model.

    Raises ``TypeError`` for models that offerd has no reader for.
    """
    kind = type(model)
    library = kind.__module__.split(".")[0]
    if library == "lightgbm":
        return _lightgbm(getattr(model, "booster_", model))
    if library == "xgboost":
        return _xgboost(model.get_booster() if hasattr(model, "get_booster") else model, contract)
    makers = {
        "LogisticRegression": _logistic,
        "Pipeline": _logistic,
        "RandomForestClassifier": _forest,
        "RandomForestRegressor": _forest,
        "ExtraTreesClassifier": _forest,
        "ExtraTreesRegressor": _forest,
        "GradientBoostingClassifier": _boosted,
        "HistGradientBoostingClassifier": _histogram,
    }
    if library == "sklearn" and kind.__name__ in makers:
        return makers[kind.__name__](model, contract)
    known = ", ".join(name for name in makers if name != "Pipeline")
    raise TypeError(f"no reader for {kind.__module__}.{kind.__name__}; known are LightGBM and XGBoost boosters and scikit-learn's {known}")


def _lightgbm(booster: Any) -> Artifact:
    # What follows the trees is for people, and names paths of the machine.
    text = booster.model_to_string().split("\nparameters:\n")[0] + "\n"
    averaged = "\naverage_output\n" in text

    def predict(rows: Any) -> tuple[Any, Any]:
        raw = booster.predict(rows, raw_score=True)
        return raw / booster.num_trees() if averaged else raw, booster.predict(rows)

    return Artifact("lightgbm", text.encode(), predict)


def _xgboost(booster: Any, contract: FeatureContract) -> Artifact:
    import xgboost

    names = booster.feature_names
    types = booster.feature_types or ["c" if f.categories is not None else "q" for f in contract.features]

    def matrix(rows: Any) -> Any:
        return xgboost.DMatrix(rows, feature_names=names, feature_types=types, enable_categorical=True)

    def predict(rows: Any) -> tuple[Any, Any]:
        return booster.predict(matrix(rows), output_margin=True), booster.predict(matrix(rows))

    return Artifact("xgboost", bytes(booster.save_raw("json")), predict)


def _sklearn(contract: FeatureContract, document: dict[str, Any], predict: Callable[[Any], tuple[Any, Any]]) -> Artifact:
    content = json.dumps({"feature_names": contract.names, **document}).encode()
    return Artifact("sklearn", content, predict)


def _binary(model: Any) -> None:
    if len(model.classes_) != 2:
        raise TypeError(f"expected two classes, found {len(model.classes_)}")


def _logistic(model: Any, contract: FeatureContract) -> Artifact:
    """A logistic regression on the contract's numbers, maybe after a ``StandardScaler``."""
    import numpy as np

    steps = [step for _, step in model.steps] if hasattr(model, "steps") else [model]
    scaler, last = (steps[0] if len(steps) == 2 else None), steps[-1]
    if type(last).__name__ != "LogisticRegression" or len(steps) > 2 or (scaler is not None and type(scaler).__name__ != "StandardScaler"):
        raise TypeError("a Pipeline must be a StandardScaler and a LogisticRegression")
    _binary(last)
    weights, intercept = np.array(last.coef_[0], dtype=float), float(last.intercept_[0])
    if scaler is not None:
        if scaler.scale_ is not None:
            weights = weights / scaler.scale_
        if scaler.mean_ is not None:
            intercept -= float(weights @ scaler.mean_)
    for feature in contract.features:
        if feature.missing == "nan":
            raise ValueError(f"{feature.name}: a LogisticRegression takes no NaN: say what stands for a missing value (Feature.missing)")
    coefficients: list[Any] = [
        float(w) if f.categories is None else [float(w) * place for place in range(len(f.categories))]
        for f, w in zip(contract.features, weights)
    ]

    def predict(rows: Any) -> tuple[Any, Any]:
        return model.decision_function(rows), model.predict_proba(rows)[:, 1]

    linear = {"link": "logistic", "intercept": intercept, "coefficients": coefficients}
    return _sklearn(contract, {"linear": linear}, predict)


def _thresholds(values: Any) -> list[float | None]:
    """JSON has no infinity: a split of the missing from all others has ``null``."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _tree(tree: Any, value: Any) -> dict[str, Any]:
    nodes = {
        "children_left": tree.children_left.tolist(),
        "children_right": tree.children_right.tolist(),
        "feature": tree.feature.tolist(),
        "threshold": _thresholds(tree.threshold),
        "value": value.tolist(),
    }
    if hasattr(tree, "missing_go_to_left"):
        nodes["missing_go_to_left"] = tree.missing_go_to_left.astype(int).tolist()
    return nodes


def _forest(model: Any, contract: FeatureContract) -> Artifact:
    classifier = hasattr(model, "predict_proba")
    if classifier:
        _binary(model)
    trees = [estimator.tree_ for estimator in model.estimators_]
    documents = [_tree(tree, tree.value[:, 0, -1]) for tree in trees]
    forest = {"link": "identity", "divisor": len(trees), "bits": 32, "trees": documents}

    def predict(rows: Any) -> tuple[Any, Any]:
        p = model.predict_proba(rows)[:, 1] if classifier else model.predict(rows)
        return p, p.clip(0.0, 1.0)

    return _sklearn(contract, {"forest": forest}, predict)


def _boosted(model: Any, contract: FeatureContract) -> Artifact:
    import numpy as np

    _binary(model)
    if not hasattr(model.init_, "class_prior_"):
        raise TypeError("a GradientBoostingClassifier must begin with the classes' shares (init=None)")
    trees = [estimators[0].tree_ for estimators in model.estimators_]
    documents = [_tree(tree, model.learning_rate * tree.value[:, 0, 0]) for tree in trees]
    prior = model.init_.class_prior_[1]
    forest = {"link": "logistic", "base": float(np.log(prior / (1 - prior))), "bits": 32, "trees": documents}
    return _sklearn(contract, {"forest": forest}, lambda rows: (model.decision_function(rows), model.predict_proba(rows)[:, 1]))


def _histogram(model: Any, contract: FeatureContract) -> Artifact:
    import numpy as np

    _binary(model)
    documents = []
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        if nodes["is_categorical"].any():
            raise TypeError("a HistGradientBoostingClassifier with categorical_features has no reader: give it the codes as numbers")
        leaf = nodes["is_leaf"].astype(bool)
        documents.append(
            {
                "children_left": np.where(leaf, -1, nodes["left"].astype(int)).tolist(),
                "children_right": np.where(leaf, -1, nodes["right"].astype(int)).tolist(),
                "feature": nodes["feature_idx"].astype(int).tolist(),
                "threshold": _thresholds(nodes["num_threshold"]),
                "missing_go_to_left": nodes["missing_go_to_left"].astype(int).tolist(),
                "value": nodes["value"].tolist(),
            }
        )
    base = float(np.ravel(model._baseline_prediction)[0])
    forest = {"link": "logistic", "base": base, "bits": 64, "trees": documents}
    return _sklearn(contract, {"forest": forest}, lambda rows: (model.decision_function(rows), model.predict_proba(rows)[:, 1]))
