//! The lists of `$in` and its kin, prepared so that a saved group of many thousand ids costs no
//! more than a few comparisons.

use serde_json::Value;

use super::Attr;
use super::coerce::{folded, number};

/// A set of values without parts. Lists and objects are left out: JavaScript compares them by
/// identity, so nothing that comes with a request is ever one of them.
#[derive(Debug, Default)]
pub(super) struct Set {
    /// Ascending; in lower case if `fold`.
    texts: Vec<Box<str>>,
    /// Ascending.
    numbers: Vec<f64>,
    null: bool,
    yes: bool,
    no: bool,
    /// Whether texts are compared regardless of case.
    fold: bool,
}

impl Set {
    /// The set of these values.
    pub(super) fn new(values: &[Value], fold: bool) -> Set {
        let mut set = Set {
            fold,
            ..Set::default()
        };
        for value in values {
            match value {
                Value::Null => set.null = true,
                Value::Bool(true) => set.yes = true,
                Value::Bool(false) => set.no = true,
                Value::Number(n) => set.numbers.push(number(n)),
                Value::String(text) if fold => {
                    set.texts.push(folded(text).collect::<String>().into());
                }
                Value::String(text) => set.texts.push(text.as_str().into()),
                Value::Array(_) | Value::Object(_) => {}
            }
        }
        set.texts.sort_unstable();
        set.texts.dedup();
        set.numbers.sort_unstable_by(f64::total_cmp);
        set
    }

    /// Whether the value is one of them.
    pub(super) fn contains(&self, value: Attr<'_>) -> bool {
        match value {
            Attr::Missing | Attr::Null => self.null,
            Attr::Flag(true) => self.yes,
            Attr::Flag(false) => self.no,
            // Not `total_cmp`: minus zero is zero here. NaN compares as equal to nothing.
            Attr::Number(n) => {
                let at = self.numbers.partition_point(|x| *x < n);
                self.numbers.get(at).is_some_and(|x| *x == n)
            }
            Attr::Text(text) if self.fold => {
                let found = self.texts.binary_search_by(|x| x.chars().cmp(folded(text)));
                found.is_ok()
            }
            Attr::Text(text) => self.texts.binary_search_by(|x| (**x).cmp(text)).is_ok(),
            Attr::List(_) | Attr::Json(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(set: &Value, fold: bool, value: Value, expected: bool) {
        let values = set.as_array().expect("a list");
        let found = Set::new(values, fold).contains(Attr::Json(&value).plain());
        assert_eq!(found, expected, "{value} in {set}, fold: {fold}");
    }

    #[test]
    fn finds_each_type_and_only_that() {
        let set = json!(["b", 2, null, true, "a", -0.0, "Ünder", 1.5, [1], {"x": 1}]);
        for value in [
            json!("a"),
            json!("b"),
            json!(2),
            json!(2.0),
            json!(0),
            json!(null),
            json!(true),
            json!(1.5),
        ] {
            check(&set, false, value, true);
        }
        for value in [
            json!("A"),
            json!("2"),
            json!(1),
            json!(false),
            json!(""),
            json!([1]),
            json!({"x": 1}),
        ] {
            check(&set, false, value, false);
        }
        check(&set, true, json!("üNDER"), true);
        check(&set, true, json!("A"), true);
        check(&set, true, json!("c"), false);
        check(&json!([]), false, json!("a"), false);
    }
}
