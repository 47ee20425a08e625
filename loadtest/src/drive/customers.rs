//! Customers from a CSV: the header names the features, each row is a customer.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Context, bail};

use super::WrongUse;
use super::message::Value;

/// What the server takes from one customer; one file is for one server, so more is a mistake.
const FEATURES_MAX: usize = 64;
/// More than any one machine's worth of visits, and still in memory without a thought.
const CUSTOMERS_MAX: usize = 1_000_000;
/// Ids of visits and events are made of a customer's; the server takes 128 characters.
const ID_CHARS_MAX: usize = 64;

/// A row of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// Unique within the file.
    pub id: String,
    /// Every other column that has a value.
    pub features: BTreeMap<String, Value>,
}

impl Customer {
    /// A feature that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.features.get(name)? {
            Value::Number(number) => Some(*number),
            Value::Text(_) => None,
        }
    }

    /// Whether a feature is this text.
    pub fn says(&self, name: &str, text: &str) -> bool {
        matches!(self.features.get(name), Some(Value::Text(found)) if found == text)
    }
}

/// Which columns mean what.
#[derive(Clone, Debug)]
pub struct Columns<'a> {
    /// The one with the customer's id.
    pub id: &'a str,
    /// Those that are not features.
    pub left_out: &'a [String],
}

/// Reads at most `limit` customers.
pub fn read_file(
    path: &Path,
    columns: &Columns<'_>,
    limit: Option<usize>,
) -> anyhow::Result<Vec<Customer>> {
    let file = std::fs::File::open(path)
        .map_err(|e| WrongUse(format!("failed to open {}: {e}", path.display())))?;
    read(file, columns, limit).with_context(|| format!("failed to read {}", path.display()))
}

fn read(
    input: impl std::io::Read,
    columns: &Columns<'_>,
    limit: Option<usize>,
) -> anyhow::Result<Vec<Customer>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(input);
    let header = reader.headers()?.clone();
    let Some(id_at) = header.iter().position(|name| name == columns.id) else {
        let names = header.iter().collect::<Vec<_>>().join(", ");
        bail!(WrongUse(format!(
            "no column is called {:?} (see --id-column); there are {names}",
            columns.id
        )));
    };
    let features: Vec<(usize, &str)> = header
        .iter()
        .enumerate()
        .filter(|&(at, name)| at != id_at && !columns.left_out.iter().any(|out| out == name))
        .collect();
    if features.len() > FEATURES_MAX {
        bail!(WrongUse(format!(
            "{} columns would be features, at most {FEATURES_MAX} may be (see --leave-out)",
            features.len()
        )));
    }
    let mut customers = Vec::new();
    let mut ids = HashSet::new();
    for record in reader.records().take(limit.unwrap_or(CUSTOMERS_MAX + 1)) {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let id = record.get(id_at).unwrap_or_default().to_owned();
        if id.is_empty() || !ids.insert(id.clone()) {
            bail!("line {line}: the id {id:?} is empty or there twice");
        }
        if id.chars().count() > ID_CHARS_MAX {
            bail!("line {line}: the id {id:?} is longer than {ID_CHARS_MAX} characters");
        }
        if customers.len() == CUSTOMERS_MAX {
            bail!("more than {CUSTOMERS_MAX} customers (see --limit)");
        }
        let features = features
            .iter()
            .filter_map(|&(at, name)| Some((name.to_owned(), value(record.get(at)?)?)))
            .collect();
        customers.push(Customer { id, features });
    }
    if customers.is_empty() {
        bail!("there are no customers");
    }
    Ok(customers)
}

/// A cell: nothing if empty, a number if it reads as a finite one, else text.
fn value(cell: &str) -> Option<Value> {
    if cell.is_empty() {
        return None;
    }
    let number = cell.parse().ok().filter(|number: &f64| number.is_finite());
    Some(number.map_or_else(|| Value::Text(cell.to_owned()), Value::Number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, limit: Option<usize>) -> anyhow::Result<Vec<Customer>> {
        let columns = Columns {
            id: "customerID",
            left_out: &["Churn".to_owned()],
        };
        read(text.as_bytes(), &columns, limit)
    }

    #[test]
    fn columns_become_features() {
        let text = "customerID,tenure,Contract,TotalCharges,Churn\n\
                    a,12,One year,99.5,No\n\
                    b,0,\"Two, year\", ,Yes\n";
        let customers = parse(text, None).unwrap();
        assert_eq!(customers.len(), 2);
        let [a, b] = &customers[..] else { panic!() };
        assert_eq!((a.id.as_str(), a.number("tenure")), ("a", Some(12.0)));
        assert!(a.says("Contract", "One year") && b.says("Contract", "Two, year"));
        assert_eq!(
            (a.number("TotalCharges"), b.number("TotalCharges")),
            (Some(99.5), None)
        );
        assert!(customers.iter().all(|c| !c.features.contains_key("Churn")));
        assert_eq!(parse(text, Some(1)).unwrap().len(), 1);
    }

    #[test]
    fn not_every_word_is_a_number() {
        assert_eq!(value("inf"), Some(Value::Text("inf".into())));
        assert_eq!(value("NaN"), Some(Value::Text("NaN".into())));
        assert_eq!(value("-1e3"), Some(Value::Number(-1000.0)));
    }

    #[test]
    fn a_wrong_file_is_told_so() {
        for (text, told) in [
            ("id,tenure\na,1\n", "--id-column"),
            ("customerID,tenure\na,1\na,2\n", "line 3"),
            ("customerID,tenure\n,1\n", "line 2"),
            ("customerID,tenure\n", "no customers"),
            ("customerID,tenure\na\n", "fields"),
        ] {
            let error = format!("{:#}", parse(text, None).unwrap_err());
            assert!(error.contains(told), "{error}");
        }
        let wide = format!(
            "customerID,{}\n",
            (0..65)
                .map(|i| format!("f{i}"))
                .collect::<Vec<_>>()
                .join(",")
        );
        assert!(parse(&wide, None).unwrap_err().to_string().contains("65"));
    }
}
