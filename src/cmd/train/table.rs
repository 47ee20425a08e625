//! A CSV as examples: the header names the features, one column says what happened.

use std::collections::HashMap;

use crate::cmd::csv::{CsvError, Records};
use crate::decide::inputs::Vocabulary;
use crate::learn::dataset::{Dataset, Value};
use crate::learn::log::OPEN_CATEGORIES_MAX;
use crate::model::{Feature, Kind, Missing, Source};

/// Why a table holds no examples.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It is no table.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// It is empty.
    #[error("is empty, a header with the features' names is needed")]
    Empty,
    /// The target is no column.
    #[error("has no column {0}: name the one that says what happened with --target")]
    NoTarget(String),
    /// A name that is there to be left out is not there.
    #[error("has no column {0} to leave out")]
    NoColumn(String),
    /// A record of another width.
    #[error("record {record} has {found} cells, the header {expected}")]
    Width {
        /// The header is 1.
        record: usize,
        /// Its cells.
        found: usize,
        /// The header's.
        expected: usize,
    },
    /// The target says neither.
    #[error("record {record}, {column}: `{found}` is none of 0, 1, No, Yes, false, true")]
    Label {
        /// The header is 1.
        record: usize,
        /// The target.
        column: String,
        /// What it says.
        found: String,
    },
    /// No column can be a feature.
    #[error("has no column that can be a feature")]
    NoFeature,
}

/// Reads a table. Columns of numbers (empty cells are missing) are numbers; others are categories, and
/// left out where they have more than [`OPEN_CATEGORIES_MAX`] different words: those are ids and texts.
pub(super) fn examples(
    text: &str,
    target: &str,
    without: &[String],
    rows_max: usize,
) -> Result<Dataset, TableError> {
    let mut records = Records::of(text);
    let mut header = Vec::new();
    if !records.next_into(&mut header)? {
        return Err(TableError::Empty);
    }
    let header: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
    let place = |name: &str| header.iter().position(|column| column == name);
    let target_at = place(target).ok_or_else(|| TableError::NoTarget(target.into()))?;
    if let Some(name) = without.iter().find(|name| place(name).is_none()) {
        return Err(TableError::NoColumn(name.clone()));
    }
    let (mut rows, mut labels, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    while labels.len() < rows_max && records.next_into(&mut cells)? {
        let record = records.number();
        if cells.len() != header.len() {
            return Err(TableError::Width {
                record,
                found: cells.len(),
                expected: header.len(),
            });
        }
        let found = cells[target_at].trim();
        labels.push(label(found).ok_or_else(|| TableError::Label {
            record,
            column: target.into(),
            found: found.into(),
        })?);
        rows.push(std::mem::take(&mut cells));
    }
    let used = |column: usize| column != target_at && !without.contains(&header[column]);
    let features: Vec<Feature> = (0..header.len())
        .filter(|&column| used(column))
        .filter_map(|column| feature(&header[column], rows.iter().map(|row| row[column].trim())))
        .collect();
    if features.is_empty() {
        return Err(TableError::NoFeature);
    }
    let columns: HashMap<String, usize> = header.into_iter().zip(0..).collect();
    let mut data = Dataset::new(features);
    let numbers: HashMap<String, bool> = (data.features.iter())
        .map(|f| (f.name.clone(), f.kind == Kind::Number))
        .collect();
    for (row, label) in rows.iter().zip(labels) {
        data.push(
            |name| value(row[columns[name]].trim(), numbers[name]),
            label,
        );
    }
    Ok(data.varying())
}

fn label(cell: &str) -> Option<bool> {
    match cell {
        "1" | "1.0" | "true" | "True" | "yes" | "Yes" => Some(true),
        "0" | "0.0" | "false" | "False" | "no" | "No" => Some(false),
        _ => None,
    }
}

fn value(cell: &str, number: bool) -> Value<'_> {
    match cell {
        "" => Value::Missing,
        _ if number => self::number(cell).map_or(Value::Missing, Value::Number),
        _ => Value::Text(cell),
    }
}

fn number(cell: &str) -> Option<f64> {
    match cell {
        "true" | "True" => Some(1.0),
        "false" | "False" => Some(0.0),
        _ => cell.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

fn feature<'a>(name: &str, cells: impl Iterator<Item = &'a str> + Clone) -> Option<Feature> {
    let told = cells.filter(|cell| !cell.is_empty());
    let kind = if told.clone().all(|cell| number(cell).is_some()) {
        Kind::Number
    } else {
        let mut words: Vec<String> = Vec::new();
        for cell in told {
            if words.iter().all(|word| word != cell) {
                if words.len() == OPEN_CATEGORIES_MAX {
                    return None;
                }
                words.push(cell.to_owned());
            }
        }
        Kind::Category(words)
    };
    Some(Feature {
        name: name.to_owned(),
        kind,
        source: source(name),
        missing: Missing::Nan,
    })
}

/// Where a request carries that name.
fn source(name: &str) -> Source {
    if name.starts_with("offer.") {
        return Source::Offer;
    }
    let mut vocabulary = Vocabulary::default();
    let key = vocabulary.key(name);
    vocabulary.attribute(key).described().0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "id,tenure,plan,phase,same,churn\na1,3,Basic,on_site,x,No\nb2, ,Plus,,x,Yes\nc3,7.5,Basic,arriving,x,no\n";

    #[test]
    fn columns_become_what_they_hold() {
        let data = examples(TEXT, "churn", &["id".into()], 10).unwrap();
        let names: Vec<&str> = data.features.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["tenure", "plan", "phase"]);
        assert_eq!(data.features[0].kind, Kind::Number);
        assert_eq!(data.features[1].source, Source::Customer);
        assert_eq!(data.features[2].source, Source::Appointment);
        assert_eq!(data.labels, [false, true, false]);
        assert!(data.row(1)[0].is_nan() && data.row(1)[2].is_nan());
        assert_eq!(data.row(2), [7.5, 0.0, 1.0]);
    }

    #[test]
    fn ids_are_left_out_by_themselves() {
        let mut text = "id,x,y\n".to_owned();
        for i in 0..100 {
            text += &format!("c-{i},{},{}\n", i % 7, i % 2);
        }
        let data = examples(&text, "y", &[], 1_000).unwrap();
        assert_eq!(data.features.len(), 1);
        assert_eq!(data.features[0].name, "x");
    }

    #[track_caller]
    fn check_refused(text: &str, without: &[String], told: &str) {
        let error = examples(text, "y", without, 10).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        check_refused("", &[], "is empty");
        check_refused("a,b\n1,2\n", &[], "no column y");
        check_refused("a,y\n1,0\n1\n", &[], "record 3 has 1 cells, the header 2");
        check_refused("a,y\n1,maybe\n", &[], "record 2, y: `maybe`");
        check_refused("a,y\n1,0\n", &["z".into()], "no column z to leave out");
        check_refused("y\n0\n", &[], "no column that can be a feature");
        check_refused("a,y\n\"1,0\n", &[], "a quote is not closed");
    }
}
