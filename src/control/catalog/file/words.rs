//! The words of a catalog's own: customer features, groups of values, triggers.

use crate::control::catalog::fields::{Fields, Item};
use crate::control::catalog::limits::{
    CATEGORY_VALUES_MAX, FEATURES_MAX, GROUP_VALUES_MAX, GROUPS_MAX, ID_CHARS_MAX, NAME_CHARS_MAX,
    TRIGGERS_MAX,
};
use crate::control::catalog::mistake::{Notes, Placed};
use crate::decide::condition::Groups;
use crate::decide::inputs::{Fixed, canonical};

/// A customer feature that conditions and texts may name.
pub struct FeatureEntry {
    /// As requests send it.
    pub name: Box<str>,
    /// What its values are.
    pub kind: FeatureKind,
}

/// What the values of a customer feature are.
pub enum FeatureKind {
    /// A number within these bounds.
    Number(f64, f64),
    /// One of these strings; any string where the list is empty.
    Category(Vec<Box<str>>),
    /// `true` or `false`.
    Boolean,
}

/// The kinds of a feature, before their bounds.
#[derive(Clone, Copy)]
enum KindWord {
    Number,
    Category,
    Boolean,
}

pub(super) fn features(fields: Option<Fields<'_>>, notes: &Notes) -> Vec<FeatureEntry> {
    let entries = entries(fields, notes, FEATURES_MAX);
    let features = entries.into_iter().filter_map(|(name, item)| {
        if !may_name_feature(name) {
            item.note(format!(
                "expected a name of 1 to 64 characters without the meaning that `{name}` has of its own"
            ));
        }
        let kind = feature_kind(item)?;
        Some(FeatureEntry {
            name: name.into(),
            kind,
        })
    });
    features.collect()
}

/// Whether a name is free for a feature: not an attribute's, not a trigger's, without a prefix.
fn may_name_feature(name: &str) -> bool {
    (1..=ID_CHARS_MAX).contains(&name.len())
        && !name.starts_with('$')
        && canonical(name) == name
        && name.parse::<Fixed>().is_err()
        && !name.ends_with(".count")
        && !name.ends_with(".age_ms")
}

fn feature_kind(item: Item<'_>) -> Option<FeatureKind> {
    let mut fields = Fields::open(item)?;
    let kind = fields
        .need("kind", "number, category or boolean")
        .and_then(|item| {
            item.one_of(&[
                ("number", KindWord::Number),
                ("category", KindWord::Category),
                ("boolean", KindWord::Boolean),
            ])
        });
    let kind = match kind? {
        KindWord::Boolean => FeatureKind::Boolean,
        KindWord::Category => {
            let values = fields.list("values", CATEGORY_VALUES_MAX);
            let values = values.iter().filter_map(|item| item.text(NAME_CHARS_MAX));
            FeatureKind::Category(values.map(Into::into).collect())
        }
        KindWord::Number => {
            let mut bound = |key, open| {
                let item = fields.take(key);
                item.and_then(|item| item.number(f64::MIN..=f64::MAX))
                    .unwrap_or(open)
            };
            let (min, max) = (bound("min", f64::NEG_INFINITY), bound("max", f64::INFINITY));
            if min > max {
                fields.note(format!(
                    "expected min to be at most max, found {min} and {max}"
                ));
                return Some(FeatureKind::Number(f64::NEG_INFINITY, f64::INFINITY));
            }
            FeatureKind::Number(min, max)
        }
    };
    fields.close();
    Some(kind)
}

pub(super) fn groups(fields: Option<Fields<'_>>, notes: &Notes) -> Groups {
    let entries = entries(fields, notes, GROUPS_MAX);
    let groups = entries.into_iter().map(|(name, item)| {
        let values = item.list(GROUP_VALUES_MAX);
        (
            name.to_owned(),
            values.iter().map(|v| v.node.to_json()).collect(),
        )
    });
    groups.collect()
}

pub(super) fn triggers(fields: Option<Fields<'_>>, notes: &Notes) -> Vec<Placed<Box<str>>> {
    let entries = entries(fields, notes, TRIGGERS_MAX);
    let names = entries.into_iter().filter_map(|(name, item)| {
        item.text(NAME_CHARS_MAX)?;
        Some(item.placed(name.into()))
    });
    names.collect()
}

/// The entries of a table whose keys the operator makes up.
fn entries<'a>(
    fields: Option<Fields<'a>>,
    notes: &Notes,
    entries_max: usize,
) -> Vec<(&'a str, Item<'a>)> {
    let Some(mut fields) = fields else {
        return Vec::new();
    };
    let mut entries = fields.take_all();
    if entries.len() > entries_max {
        let found = entries.len();
        notes.add(
            &fields.place,
            format!("expected at most {entries_max} entries, found {found}"),
        );
        entries.truncate(entries_max);
    }
    entries
}
