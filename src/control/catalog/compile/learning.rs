//! `[learning]`, held against the features that there are: every column that may be learnt on is known
//! before anything is learnt, so that what was learnt yesterday means the same today.

use super::names::Names;
use crate::control::catalog::file::{FeatureKind, LearningEntry};
use crate::control::catalog::limits::LEARNING_COLUMNS_MAX;
use crate::control::catalog::mistake::{Notes, Placed};
use crate::decide::inputs::{Fixed, Vocabulary, canonical};
use crate::decide::learning::{Learning, LearningInput, LearningKind};
use crate::domain::Phase;

/// Compiles the entry of a catalog with so many placements.
pub(super) fn compile(
    entry: LearningEntry,
    names: &Names,
    placements: usize,
    vocabulary: &mut Vocabulary,
    notes: &Notes,
) -> Learning {
    let LearningEntry {
        mut learning,
        features,
    } = entry;
    let mut columns = 1 + Phase::ALL.len() + placements + learning.segments.len();
    for Placed { value, place } in features {
        match kind(&value, names) {
            Err(message) => notes.add(&place, message),
            Ok(kind) => {
                columns += match &kind {
                    LearningKind::Number(..) => 1,
                    LearningKind::Words(words) => words.len(),
                };
                if columns > LEARNING_COLUMNS_MAX {
                    let message = format!(
                        "expected at most {LEARNING_COLUMNS_MAX} columns (one for each phase, placement, segment, \
                         number and value of a category); this feature makes it {columns}"
                    );
                    notes.add(&place, message);
                    break;
                }
                learning.inputs.push(LearningInput {
                    key: vocabulary.key(&value),
                    name: value,
                    kind,
                });
            }
        }
    }
    learning
}

/// What becomes of the attribute's values; else what was expected.
fn kind(name: &str, names: &Names) -> Result<LearningKind, String> {
    names.attribute(name)?;
    let name = canonical(name);
    let fixed = name.parse::<Fixed>();
    if matches!(fixed, Ok(Fixed::Phase | Fixed::Placement)) {
        return Err(format!(
            "expected another feature: {name} is always learnt on"
        ));
    }
    match names.kind(name) {
        Some(FeatureKind::Boolean) => return Ok(LearningKind::Number(0.0, 1.0)),
        Some(FeatureKind::Number(min, max)) if min.is_finite() && max.is_finite() && min < max => {
            return Ok(LearningKind::Number(*min, *max));
        }
        Some(FeatureKind::Number(..)) => {
            return Err(format!(
                "expected `min` and `max` of {name} to be declared in [features]: numbers are learnt on \
                 within their range, so that one odd value does not rule the rest"
            ));
        }
        Some(FeatureKind::Category(words)) if words.is_empty() => {
            return Err(format!(
                "expected `values` of {name} to be declared in [features]: what has any value is no category"
            ));
        }
        Some(FeatureKind::Category(words)) => return Ok(LearningKind::Words(words.clone())),
        None => {}
    }
    let (min, max) = match fixed {
        Ok(fixed) => range(fixed).ok_or_else(|| {
            format!("expected a number or a category with declared values; {name} is neither")
        })?,
        // A page that is looked at ten times, and a trigger ten minutes ago, say all that there is to say.
        Err(_) if name.ends_with(".count") => (0.0, 10.0),
        Err(_) => (0.0, 600_000.0),
    };
    Ok(LearningKind::Number(min, max))
}

/// Between which values a built-in number says something; beyond them it says the same.
fn range(fixed: Fixed) -> Option<(f64, f64)> {
    Some(match fixed {
        Fixed::EtaSeconds => (0.0, 7_200.0),
        Fixed::DelaySeconds => (-3_600.0, 3_600.0),
        Fixed::Reschedules => (0.0, 4.0),
        Fixed::SlackMinutes => (0.0, 120.0),
        Fixed::OpenIssue | Fixed::PaymentHardship => (0.0, 1.0),
        Fixed::LastRating => (1.0, 5.0),
        Fixed::Hour => (0.0, 23.0),
        Fixed::Weekday => (1.0, 7.0),
        _ => return None,
    })
}
