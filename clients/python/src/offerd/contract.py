"""What a model's columns are, and where the server finds them in a request."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SOURCES = ("customer", "appointment", "trigger", "offer", "context")

#: Names that requests always carry in the same place; every other name is the customer's own.
FIXED = {
    **dict.fromkeys(["phase", "job_type", "eta_seconds", "delay_seconds", "reschedules", "slack_minutes"], "appointment"),
    **dict.fromkeys(["channel", "device", "locale", "placement", "hour", "weekday"], "context"),
}


@dataclass(frozen=True)
class Feature:
    """One input.

    ``missing`` is what the model gets for a value that is missing, of the wrong kind, or no category:
    ``"nan"``, ``"zero"``, a number, or for a category the place of one in the list.
    """

    name: str
    source: str = "customer"
    categories: tuple[str, ...] | None = None
    missing: str | float = "nan"

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ValueError(f"{self.name}: source must be one of {', '.join(SOURCES)}, found {self.source!r}")
        if (self.source == "offer") != self.name.startswith("offer."):
            raise ValueError(f"{self.name}: must begin with `offer.` exactly if source is offer")

    @property
    def missing_value(self) -> float:
        return {"nan": math.nan, "zero": 0.0}.get(self.missing, 0.0) if isinstance(self.missing, str) else float(self.missing)

    def manifest(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        entry: dict[str, Any] = {"name": self.name, "kind": "number", "source": self.source, "missing": self.missing}
        if self.categories is not None:
            entry.update(kind="category", categories=list(self.categories))
        return entry

    def encode(self, value: Any) -> float:
        """The number that the server would give the model for ``value``."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return self.missing_value
        if self.categories is not None:
            return float(self.categories.index(value)) if value in self.categories else self.missing_value
        try:
            number = float(value)
        except (TypeError, ValueError):
            return self.missing_value
        return self.missing_value if math.isnan(number) else number


@dataclass(frozen=True)
class FeatureContract:
    """The inputs of a model, in the model's order."""

    features: tuple[Feature, ...]

    @classmethod
    def of(cls, features: Iterable[Feature]) -> FeatureContract:
        return cls(tuple(features))

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> FeatureContract:
        """The contract of a model that is there already, such as the live one."""
        return cls(
            tuple(
                Feature(f["name"], f["source"], tuple(f["categories"]) if f["kind"] == "category" else None, f.get("missing", "nan"))
                for f in manifest["features"]
            )
        )

    @classmethod
    def from_frame(cls, frame: Any, *, sources: Mapping[str, str] | None = None, missing: str | float = "nan") -> FeatureContract:
        """Of a pandas DataFrame with one column per input, in the model's order.

        Columns of dtype ``category`` keep their order of categories, which LightGBM and XGBoost number by;
        columns of strings get theirs sorted; booleans and numbers are numbers. The source follows from the
        name (``offer.…``, ``….count`` and ``….age_ms`` of triggers, the fixed names), else it is the customer;
        ``sources`` says otherwise.
        """
        features = []
        for name in frame.columns:
            column = frame[name]
            categories: tuple[str, ...] | None = None
            if hasattr(column, "cat"):
                categories = tuple(str(value) for value in column.cat.categories)
            elif column.dtype.kind not in "biuf":
                categories = tuple(sorted({str(value) for value in column.dropna()}))
            features.append(Feature(name, (sources or {}).get(name, _source(name)), categories, missing))
        return cls(tuple(features))

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    @property
    def category_columns(self) -> list[int]:
        """Which columns are categories, for the trainer."""
        return [i for i, feature in enumerate(self.features) if feature.categories is not None]

    def encode(self, rows: Any) -> Any:
        """A DataFrame, or a sequence of mappings, as numpy array of shape (rows, features), float64."""
        import numpy as np

        columns: list[Sequence[Any]]
        if hasattr(rows, "columns"):
            absent = [name for name in self.names if name not in rows.columns]
            if absent:
                raise ValueError(f"the frame has no column {absent[0]!r}")
            columns = [rows[name].astype(object).tolist() for name in self.names]
        else:
            rows = list(rows)
            columns = [[row.get(name) for row in rows] for name in self.names]
        encoded = [[f.encode(value) for value in column] for f, column in zip(self.features, columns)]
        return np.array(encoded, dtype=np.float64).reshape(len(self.features), -1).T.copy()


def _source(name: str) -> str:
    if name.startswith("offer."):
        return "offer"
    if name.endswith((".count", ".age_ms")):
        return "trigger"
    return FIXED.get(name, "customer")
