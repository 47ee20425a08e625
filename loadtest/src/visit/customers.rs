//! Customers from a CSV: the header names the features, each row is a customer.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Context, bail};

use super::dice::Dice;
use super::message::Value;
use crate::WrongUse;

/// What the server takes from one customer; one file is for one server, so more is a mistake.
const FEATURES_MAX: usize = 64;
/// More than any one machine's worth of visits, and still in memory without a thought.
const CUSTOMERS_MAX: usize = 1_000_000;
/// Ids of visits and events are made of a customer's; the server takes 128 characters.
const ID_CHARS_MAX: usize = 64;

/// As many as it takes for a server's caches to see a different one each time.
const MADE_UP: usize = 10_000;

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

/// Customers when there is no file: a cable operator's, with the columns that the demo catalog knows.
pub fn made_up(seed: u64) -> Vec<Customer> {
    let customers = (0..MADE_UP).map(|number| {
        let id = format!("made-up-{number}");
        let mut dice = Dice::new(seed, &[&id]);
        let yes = |yes: bool| if yes { "Yes" } else { "No" };
        let tenure = dice.whole(0, 72);
        let charges = (dice.between(18.0, 120.0) * 20.0).round() / 20.0;
        let words = [
            ("gender", dice.pick(&["Female", "Male"])),
            ("Partner", yes(dice.chance(0.48))),
            ("Dependents", yes(dice.chance(0.3))),
            ("InternetService", dice.pick(&["DSL", "Fiber optic", "No"])),
            ("OnlineSecurity", yes(dice.chance(0.3))),
            ("TechSupport", yes(dice.chance(0.3))),
            ("StreamingTV", yes(dice.chance(0.4))),
            (
                "Contract",
                dice.pick(&["Month-to-month", "One year", "Two year"]),
            ),
            ("PaperlessBilling", yes(dice.chance(0.6))),
        ];
        let numbers = [
            ("SeniorCitizen", f64::from(u8::from(dice.chance(0.16)))),
            ("tenure", f64::from(tenure)),
            ("MonthlyCharges", charges),
            ("TotalCharges", charges * f64::from(tenure)),
        ];
        let words = words.map(|(name, word)| (name.to_owned(), Value::Text(word.to_owned())));
        let numbers = numbers.map(|(name, n)| (name.to_owned(), Value::Number(n)));
        Customer {
            features: words.into_iter().chain(numbers).collect(),
            id,
        }
    });
    customers.collect()
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
    fn made_up_customers_are_many_and_the_same() {
        let customers = made_up(7);
        assert_eq!(customers, made_up(7));
        assert_ne!(customers[0].features, made_up(8)[0].features);
        let ids: HashSet<&str> = customers.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(ids.len(), MADE_UP);
        assert!(customers.iter().all(|c| c.features.len() == 13));
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
