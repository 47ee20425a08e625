//! `when`: whom an offer is for, compiled; and whether it can mean what its author thinks.
//!
//! The condition compiler knows the syntax. This file knows the operator's features, and so catches
//! the mistake that hurts most: a misspelt value that quietly matches nobody.

use super::names::Names;
use crate::control::catalog::file::FeatureKind;
use crate::control::catalog::mistake::{Notes, Place, Placed, did_you_mean};
use crate::control::catalog::tree::{Node, Value};
use crate::decide::condition::Condition;
use crate::decide::inputs::{Fixed, Vocabulary};

/// A compiled condition, and whether it looks at what personalization withholds.
pub(super) fn compile(
    when: &Placed<&Node>,
    names: &Names,
    vocabulary: &mut Vocabulary,
    notes: &Notes,
) -> (Condition, bool) {
    let mut personal = false;
    let mut unknown = Vec::new();
    let mut resolve = |name: &str| match names.attribute(name) {
        Ok(()) => {
            let key = vocabulary.key(name);
            personal |= vocabulary.attribute(key).personal();
            key
        }
        // The catalog is refused, so any key will do; one of its own would use up a slot.
        Err(message) => {
            unknown.push((name.to_owned(), message));
            vocabulary.key(Fixed::Phase.as_str())
        }
    };
    let source = when.value.to_json();
    let (condition, problems) = Condition::compile(&source, &names.groups, &mut resolve);
    for problem in problems {
        let place = find(when, &problem.path);
        notes.add(&place, problem.message);
    }
    unknown.dedup();
    for (name, message) in unknown {
        let place = find_key(when.value, &when.place, &name).unwrap_or_else(|| when.place.clone());
        notes.add(&place, message);
    }
    check_values(when.value, &when.place, names, notes);
    (condition, personal)
}

/// The place of a path such as `$or.1.tenure.$gte`, as near as it can be followed.
fn find(when: &Placed<&Node>, path: &str) -> Place {
    let (mut node, mut place, mut rest) = (when.value, when.place.clone(), path);
    loop {
        let step = match &node.value {
            Value::Table(entries) => entries
                .iter()
                .filter_map(|(key, child)| Some((key, child, after(rest, &key.text)?)))
                .min_by_key(|(_, _, left)| left.len())
                .map(|(key, child, left)| (place.key(&key.text, key.offset), child, left)),
            Value::List(children) => {
                let (index, left) = rest.split_once('.').unwrap_or((rest, ""));
                let child = index
                    .parse()
                    .ok()
                    .and_then(|i: usize| Some((i, children.get(i)?)));
                child.map(|(i, child)| (place.index(i, child.offset), child, left))
            }
            _ => None,
        };
        match step {
            Some((there, child, left)) => (place, node, rest) = (there, child, left),
            None => return place,
        }
    }
}

/// What follows `step` in a path whose steps are divided by dots; steps may hold dots themselves.
fn after<'p>(path: &'p str, step: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(step)?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix('.')
}

/// The first key of that name anywhere below.
fn find_key(node: &Node, place: &Place, name: &str) -> Option<Place> {
    match &node.value {
        Value::Table(entries) => entries.iter().find_map(|(key, child)| {
            let there = place.key(&key.text, key.offset);
            if key.text == name {
                return Some(there);
            }
            find_key(child, &there, name)
        }),
        Value::List(children) => children
            .iter()
            .enumerate()
            .find_map(|(i, child)| find_key(child, &place.index(i, child.offset), name)),
        _ => None,
    }
}

/// Holds every value in a condition against what its feature's values are declared to be.
fn check_values(node: &Node, place: &Place, names: &Names, notes: &Notes) {
    match &node.value {
        Value::Table(entries) => {
            for (key, child) in entries {
                let there = place.key(&key.text, key.offset);
                match names.kind(&key.text) {
                    Some(kind) => check_operand(child, &there, kind, notes),
                    None => check_values(child, &there, names, notes),
                }
            }
        }
        Value::List(children) => {
            for (i, child) in children.iter().enumerate() {
                check_values(child, &place.index(i, child.offset), names, notes);
            }
        }
        Value::Number(number) if !number.is_finite() => {
            notes.add(place, format!("expected a finite number, found {number}"));
        }
        _ => {}
    }
}

/// One feature's side of a condition: a value, or operators with values.
fn check_operand(node: &Node, place: &Place, kind: &FeatureKind, notes: &Notes) {
    let Value::Table(entries) = &node.value else {
        return check_literal(node, place, kind, notes);
    };
    for (key, child) in entries {
        let there = place.key(&key.text, key.offset);
        match (key.text.as_str(), &child.value) {
            ("$eq" | "$ne", _) => check_literal(child, &there, kind, notes),
            ("$gt" | "$gte" | "$lt" | "$lte", _) => {
                if matches!(kind, FeatureKind::Number(..)) {
                    check_literal(child, &there, kind, notes);
                }
            }
            ("$in" | "$nin", Value::List(children)) => {
                for (i, child) in children.iter().enumerate() {
                    check_literal(child, &there.index(i, child.offset), kind, notes);
                }
            }
            ("$not", _) => check_operand(child, &there, kind, notes),
            _ => {}
        }
    }
}

fn check_literal(node: &Node, place: &Place, kind: &FeatureKind, notes: &Notes) {
    let message = match (kind, &node.value) {
        (_, Value::Null) => return,
        (FeatureKind::Category(values), Value::Text(text)) => {
            if values.is_empty() || values.iter().any(|v| **v == **text) {
                return;
            }
            let near = did_you_mean(text, values.iter().map(AsRef::as_ref));
            format!(
                "expected one of {}; found {text:?}{near}",
                values.join(", ")
            )
        }
        (FeatureKind::Category(_), _) => format!("expected a string, found {node}"),
        (FeatureKind::Number(min, max), Value::Integer(_) | Value::Number(_)) => {
            let number = match node.value {
                Value::Integer(i) => i as f64,
                Value::Number(n) => n,
                _ => return,
            };
            if number.is_finite() && (*min..=*max).contains(&number) {
                return;
            }
            format!("expected a number from {min} to {max}, as [features] declares; found {node}")
        }
        (FeatureKind::Number(..), _) => format!("expected a number, found {node}"),
        (FeatureKind::Boolean, Value::Flag(_)) => return,
        (FeatureKind::Boolean, _) => format!("expected true or false, found {node}"),
    };
    notes.add(place, message);
}
