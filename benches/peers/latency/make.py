"""Makes what scripts/latency-budget decides about: a catalog and a model for each number of candidates.

usage: make.py CUSTOMERS.csv FOLDER

40 inputs, 28 of them the same for all candidates of a request: the customer's 19 columns, 6 of the appointment
and 3 triggers, then 12 of the offer. The forest has 500 trees of 31 leaves, trained by LightGBM on customers
of the file in made-up appointments with made-up offers; the linear model has one weight for each input and a cross. Seeds are
fixed. Every candidate is open to every customer, so that their number is what the table says.
"""

import csv
import hashlib
import json
import pathlib
import sys

import lightgbm
import numpy

CATALOGS = {"50x500": (50, 500), "200x500": (200, 500), "10xlinear": (10, 0)}
LEAVES, ROWS, GOLDEN = 31, 60_000, 64
OFFER = 12
PHASES = ["scheduled", "day_of", "en_route", "arriving", "on_site", "completed", "feedback"]
JOBS = ["install", "repair", "upgrade"]

dice = numpy.random.default_rng(7)


def customers(path):
    """The file's columns as features, and its rows as numbers: categories are places in their lists."""
    rows = list(csv.DictReader(open(path)))
    features, columns = [], []
    for name in rows[0]:
        if name in ("customerID", "Churn"):
            continue
        cells = [row[name].strip() for row in rows]
        try:
            columns.append([float(c) if c else float("nan") for c in cells])
            features.append({"name": name, "kind": "number", "source": "customer", "missing": "nan"})
        except ValueError:
            words = sorted(set(cells))
            columns.append([float(words.index(c)) for c in cells])
            features.append({"name": name, "kind": "category", "source": "customer", "categories": words, "missing": "nan"})
    return features, numpy.array(columns).T


def number(name, source):
    return {"name": name, "kind": "number", "source": source, "missing": "nan"}


def other_features():
    category = lambda name, words: {"name": name, "kind": "category", "source": "appointment", "categories": words, "missing": "nan"}
    appointment = [category("phase", PHASES), category("job_type", JOBS)]
    appointment += [number(n, "appointment") for n in ("eta_seconds", "delay_seconds", "reschedules", "slack_minutes")]
    triggers = [number(n, "trigger") for n in ("map_viewed.count", "map_viewed.age_ms", "eta_viewed.count")]
    return appointment + triggers + [number(f"offer.f{i}", "offer") for i in range(OFFER)]


def others(count):
    columns = [dice.integers(0, 7, count), dice.integers(0, 3, count), dice.integers(60, 3600, count),
               dice.normal(300, 900, count).round(), dice.integers(0, 4, count), dice.integers(0, 46, count),
               dice.integers(0, 8, count), dice.exponential(60_000, count).round(), dice.integers(0, 5, count)]
    return numpy.column_stack([*columns, offers(count)])


def offers(count):
    x = dice.normal(size=(count, OFFER)).round(3)
    x[:, :3] = dice.integers(0, 20, size=(count, 3))
    return x


def chance(x):
    """Linear parts and interactions of everything with everything, so that splits fall on all inputs."""
    z = numpy.nan_to_num((x - numpy.nanmean(x, 0)) / (numpy.nanstd(x, 0) + 1e-9))
    margin = z @ (dice.normal(size=x.shape[1]) * 0.3) - 2
    for a, b, weight in zip(dice.integers(0, x.shape[1], 60), dice.integers(0, x.shape[1], 60), dice.normal(size=60)):
        margin += 0.5 * weight * numpy.sin(1.3 * z[:, a]) * numpy.cos(0.9 * z[:, b])
    return 1 / (1 + numpy.exp(-margin))


def write(folder, kind, features, name, artifact, x, raw):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(artifact)
    clean = lambda row: [None if v != v else v for v in row.tolist()]
    golden = [{"features": clean(row), "raw": float(r), "probability": float(1 / (1 + numpy.exp(-r)))} for row, r in zip(x, raw)]
    manifest = {"name": "budget", "version": "1", "format": kind, "target": "conversion", "features": features,
                "calibration": {"kind": "none"}, "golden": golden, "sha256": hashlib.sha256(artifact).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def forest(folder, features, x, y, trees):
    parameters = {"objective": "binary", "num_leaves": LEAVES, "learning_rate": 0.05, "feature_fraction": 0.8, "verbose": -1,
                  "seed": 1, "deterministic": True, "num_threads": 1, "min_data_in_leaf": 20}
    names = [f["name"] for f in features]
    data = lightgbm.Dataset(x, y.astype(float), feature_name=names, params={"verbose": -1})
    model = lightgbm.train(parameters, data, num_boost_round=trees)
    rows = x[:GOLDEN]
    write(folder, "lightgbm", features, "artifact.txt", model.model_to_string().encode(), rows, model.predict(rows, raw_score=True))


def linear(folder, features, x):
    weight = lambda f: [0.0, *dice.normal(size=len(f["categories"]) - 1).round(3).tolist()] if f["kind"] == "category" else round(dice.normal() * 1e-3, 6)
    weights = [weight(f) for f in features]
    missing = [0.0] * len(features)
    rows = x[:GOLDEN]
    raw = numpy.full(len(rows), -3.0)
    for column, w in zip(rows.T, weights):
        present = numpy.isfinite(column)
        safe = numpy.where(present, column, 0)
        raw += numpy.where(present, numpy.take(w, safe.astype(int)) if isinstance(w, list) else safe * w, 0)
    artifact = json.dumps({"link": "logistic", "intercept": -3.0, "coefficients": weights, "missing": missing}).encode()
    write(folder, "linear", features, "artifact.json", artifact, rows, raw)


def catalog(path, features, count):
    """Everybody may see everything: what is measured is choosing, not excluding."""
    lines = ['[operator]', 'currency = "USD"', 'time_zone = "America/Chicago"', 'default_locale = "en"', '',
             '[consent]', 'personalization = true', 'marketing = true', 'measurement = true', '',
             '[care]', 'open_issue = false', 'payment_hardship = false', 'rating_max = false', 'delay_seconds_min = false',
             'reschedules_min = false', '', '[features]']
    for feature in features:
        if feature["source"] == "customer":
            words = f', values = {json.dumps(feature["categories"])}' if feature["kind"] == "category" else ""
            lines.append(f'{feature["name"]} = {{ kind = "{feature["kind"]}"{words} }}')
    lines += ['', '[[placement]]', 'id = "slot"', 'count_max = 3', '']
    for n, row in enumerate(offers(count)):
        own = ", ".join(f"f{i} = {float(v)}" for i, v in enumerate(row))
        lines += ['[[offer]]', f'id = "offer_{n}"', 'class = "service"', f'value_minor = {300 + 7 * n}', 'price_minor = 0',
                  'when = { reschedules = { "$lte" = 100 } }', f'features = {{ {own} }}', '',
                  '[[offer.creatives]]', f'title = "Offer number {n}"', 'body = "While you wait: one more thing for your visit."',
                  'image_url = "/demo/assets/text_updates.svg"', 'cta = "Add it"', 'action = { kind = "order" }', '']
    path.write_text("\n".join(lines))


def main():
    file, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    own, table = customers(file)
    features = own + other_features()
    x = numpy.hstack([table[dice.integers(0, len(table), ROWS)], others(ROWS)])
    y = dice.random(ROWS) < chance(x)
    for name, (count, trees) in CATALOGS.items():
        catalog(folder / f"{name}.toml", features, count)
        if trees == 0:
            linear(folder / name, features, x)
        elif name == "50x500":
            forest(folder / name, features, x, y, trees)
    (folder / "done").write_text("")
    print(f"{len(features)} inputs, {y.mean():.3f} convert")


main()
