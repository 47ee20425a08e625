//! What a new catalog would change: what a person wants to read before saying yes.
//!
//! It compares what was written, not what it compiled to, so it speaks of the keys that the author
//! knows.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::json::to_json;
use crate::decide::snapshot::Catalog;

/// Differences between two catalogs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CatalogDiff {
    /// Settings (`operator`, `care`, `features`, …) that are not the same.
    pub settings: Vec<String>,
    /// What happened to placements.
    pub placements: EntryDiff,
    /// What happened to offers.
    pub offers: EntryDiff,
}

/// Differences between two lists of entries with ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EntryDiff {
    /// Ids that are new.
    pub added: Vec<String>,
    /// Ids that are gone.
    pub removed: Vec<String>,
    /// Ids that are in both and not the same.
    pub changed: Vec<Changed>,
}

/// An entry that is in both catalogs and not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Its id.
    pub id: String,
    /// Its keys that are not the same, in alphabetical order.
    pub fields: Vec<String>,
}

impl CatalogDiff {
    /// Whether both catalogs say the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == CatalogDiff::default()
    }
}

/// Compares two catalogs, TOML or JSON each.
#[must_use]
pub fn diff(old: &Catalog, new: &Catalog) -> CatalogDiff {
    // Both were read before; were they not, everything would be an addition or a removal.
    let old = to_json(&old.source).unwrap_or_default();
    let new = to_json(&new.source).unwrap_or_default();
    let mut settings = differing(&old, &new);
    settings.retain(|key| key != "offer" && key != "placement");
    CatalogDiff {
        settings,
        placements: entries(&old, &new, "placement"),
        offers: entries(&old, &new, "offer"),
    }
}

fn entries(old: &Value, new: &Value, key: &str) -> EntryDiff {
    let (old, new) = (by_id(old, key), by_id(new, key));
    let missing = |from: &BTreeMap<&str, &Value>, of: &BTreeMap<&str, &Value>| {
        let ids = of.keys().filter(|id| !from.contains_key(*id));
        ids.map(|id| (*id).to_owned()).collect()
    };
    let changed = old.iter().filter_map(|(id, before)| {
        let fields = differing(before, new.get(id)?);
        (!fields.is_empty()).then(|| Changed {
            id: (*id).to_owned(),
            fields,
        })
    });
    EntryDiff {
        added: missing(&old, &new),
        removed: missing(&new, &old),
        changed: changed.collect(),
    }
}

fn by_id<'v>(catalog: &'v Value, key: &str) -> BTreeMap<&'v str, &'v Value> {
    let entries = catalog[key].as_array().map_or(&[][..], Vec::as_slice);
    let ids = entries.iter().filter_map(|e| Some((e["id"].as_str()?, e)));
    ids.collect()
}

/// Keys whose values differ; a null is as good as none.
fn differing(old: &Value, new: &Value) -> Vec<String> {
    let keys = |value: &Value| {
        let object = value.as_object();
        object.map_or_else(Vec::new, |o| o.keys().cloned().collect())
    };
    let mut all: Vec<String> = keys(old);
    all.extend(keys(new));
    all.sort();
    all.dedup();
    all.retain(|key| old[key.as_str()] != new[key.as_str()]);
    all
}
