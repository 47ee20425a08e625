"""The data sets, and rows that are hard on a reader."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(os.environ["OFFERD_SHARED"]) / "data"


@dataclass
class Table:
    """A data set as numbers: categories are places in a list, NaN is missing."""

    names: list[str]
    categories: dict[int, list[str]]
    x: np.ndarray
    label: np.ndarray
    amount: np.ndarray

    @property
    def category_columns(self):
        return sorted(self.categories)

    def first(self, count):
        return replace(self, x=self.x[:count], label=self.label[:count], amount=self.amount[:count])


def _table(frame, label, amount, drop=()):
    frame = frame.drop(columns=list(drop))
    y = frame.pop(label).isin(["Yes", "yes", True]).to_numpy(dtype=float)
    z = pd.to_numeric(frame.pop(amount), errors="coerce").fillna(0).to_numpy(dtype=float)
    columns, categories = [], {}
    for i, name in enumerate(frame.columns):
        values = frame[name]
        numbers = pd.to_numeric(values, errors="coerce")
        if numbers.notna().mean() > 0.9 and values.dtype != bool:
            columns.append(numbers.to_numpy(dtype=float))
        else:
            codes, words = pd.factorize(values.astype(str), sort=True)
            categories[i] = [str(word) for word in words]
            columns.append(codes.astype(float))
    return Table(list(frame.columns), categories, np.column_stack(columns), y, z)


def load(name):
    if name == "telco":
        frame = pd.read_csv(DATA / "telco/Telco-Customer-Churn.csv")
        return _table(frame, "Churn", "MonthlyCharges", ["customerID"])
    if name == "bank":
        # The call's duration is known only after the answer.
        frame = pd.read_csv(DATA / "bank/bank-full.csv")
        return _table(frame, "y", "balance", ["duration"])
    frame = pd.read_csv(DATA / "shoppers/online_shoppers_intention.csv")
    return _table(frame, "Revenue", "PageValues")


def hard_rows(table, count, thresholds, rng):
    """Real rows, a third with missing values, a third with values at a threshold or a hair beside it,
    some with categories that were never seen, negative or no whole numbers."""
    x = table.x[rng.integers(0, len(table.x), count)].copy()
    kind = rng.integers(0, 3, count)
    holes = rng.random(x.shape) < 0.15
    x[(kind == 1)[:, None] & holes] = np.nan
    hit = np.flatnonzero(kind == 2)
    columns = np.array(sorted(c for c in thresholds if len(thresholds[c])), dtype=int)
    if len(columns):
        for row in hit:
            for column in rng.choice(columns, min(3, len(columns)), replace=False):
                value = rng.choice(thresholds[column])
                value = np.nextafter(value, value + rng.integers(-1, 2)) if rng.random() < 0.7 else value
                x[row, column] = value
    for column in table.category_columns:
        odd = np.flatnonzero((rng.random(count) < 0.02) & (kind == 2))
        x[odd, column] = rng.choice([-1.0, 0.5, 2.75, 31.0, 32.0, 64.0, 1000.0, 3e9], len(odd))
    zeros = np.flatnonzero((rng.random(count) < 0.2) & (kind == 2))
    numeric = [i for i in range(x.shape[1]) if i not in table.categories]
    for row in zeros:
        x[row, rng.choice(numeric)] = rng.choice([0.0, -0.0, 1e-36, -1e-36, 1e-35, -1e-30, 1e-300])
    return x
