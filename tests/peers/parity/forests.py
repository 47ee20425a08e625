"""scikit-learn's models, written down as docs/models.md describes."""

import json

import numpy as np
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from trainers import Trained, _numeric, _plain, _with_holes


def models(table, rng):
    x, holed, y = table.x, _with_holes(table.x, rng), table.label
    names = _plain(table.names)
    filled = np.nan_to_num(x)
    yield _forest("forest", RandomForestClassifier(40, min_samples_leaf=5, random_state=1).fit(holed, y), table, names)
    yield _forest("extra", ExtraTreesRegressor(40, min_samples_leaf=5, random_state=1).fit(holed, y), table, names)
    yield _boosted(GradientBoostingClassifier(n_estimators=60, random_state=1).fit(filled, y), table, names)
    yield _histogram(HistGradientBoostingClassifier(max_iter=60, random_state=1).fit(holed, y), table, names)
    linear = LogisticRegression(max_iter=2000).fit(filled, y)
    document = {"linear": {"intercept": linear.intercept_[0], "coefficients": list(linear.coef_[0])}}
    predict = lambda rows: linear.predict_proba(rows)[:, 1]  # noqa: E731
    yield Trained("sklearn/logistic", "sklearn", _file(names, document), predict, coded=True)


def _file(names, document):
    return json.dumps({"feature_names": names, **document}).encode()


def _tree(tree, value):
    return {
        "children_left": tree.children_left.tolist(),
        "children_right": tree.children_right.tolist(),
        "feature": tree.feature.tolist(),
        "threshold": _numbers(tree.threshold),
        "missing_go_to_left": tree.missing_go_to_left.astype(int).tolist(),
        "value": value.tolist(),
    }


def _numbers(thresholds):
    return [value if np.isfinite(value) else None for value in thresholds.tolist()]


def _thresholds(table, trees):
    thresholds = {}
    for tree in trees:
        for column, value in zip(tree.feature, tree.threshold):
            if column >= 0 and np.isfinite(value):
                thresholds.setdefault(int(column), set()).add(float(value))
    return _numeric(table, thresholds)


def _forest(name, model, table, names):
    trees = [estimator.tree_ for estimator in model.estimators_]
    documents = [_tree(tree, tree.value[:, 0, -1]) for tree in trees]
    forest = {"link": "identity", "divisor": len(trees), "bits": 32, "trees": documents}
    classifier = hasattr(model, "predict_proba")
    predict = (lambda rows: model.predict_proba(rows)[:, 1]) if classifier else model.predict
    thresholds = _thresholds(table, trees)
    return Trained(f"sklearn/{name}", "sklearn", _file(names, {"forest": forest}), predict, model.apply, thresholds)


def _boosted(model, table, names):
    trees = [estimators[0].tree_ for estimators in model.estimators_]
    documents = [_tree(tree, model.learning_rate * tree.value[:, 0, 0]) for tree in trees]
    prior = model.init_.class_prior_[1]
    forest = {"link": "logistic", "base": float(np.log(prior / (1 - prior))), "bits": 32, "trees": documents}
    return Trained(
        "sklearn/boosted",
        "sklearn",
        _file(names, {"forest": forest}),
        lambda rows: model.predict_proba(rows)[:, 1],
        lambda rows: model.apply(rows).reshape(len(rows), -1),
        _thresholds(table, trees),
    )


def _histogram(model, table, names):
    documents = []
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        leaf = nodes["is_leaf"].astype(bool)
        documents.append(
            {
                "children_left": np.where(leaf, -1, nodes["left"].astype(int)).tolist(),
                "children_right": np.where(leaf, -1, nodes["right"].astype(int)).tolist(),
                "feature": nodes["feature_idx"].tolist(),
                "threshold": _numbers(nodes["num_threshold"]),
                "missing_go_to_left": nodes["missing_go_to_left"].astype(int).tolist(),
                "value": nodes["value"].tolist(),
            }
        )
    base = float(np.ravel(model._baseline_prediction)[0])
    forest = {"link": "logistic", "base": base, "bits": 64, "trees": documents}
    return Trained("sklearn/histogram", "sklearn", _file(names, {"forest": forest}), lambda rows: model.predict_proba(rows)[:, 1])
