//! One input of a model, as a manifest declares it.

use std::collections::HashSet;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::ManifestError;
use super::fields::Fields;
use super::manifest::limits::{CATEGORIES_MAX, NAME_CHARS_MAX};
use super::manifest::{Source, word};

/// One input of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Such as `tenure`; those of offers begin with `offer.`.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
    /// Where it comes from.
    pub source: Source,
    /// What stands for a missing value.
    pub missing: Missing,
}

/// What an input's values are.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A number; booleans count as 0 and 1.
    Number,
    /// One of these strings, given to the model as its place in the list. Any other is missing.
    Category(Vec<String>),
}

/// What a model gets where a value is missing, of the wrong kind, or an unheard-of category.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Missing {
    /// NaN: the model knows what to do with it. In files `"nan"`, and the default.
    #[default]
    Nan,
    /// This number; of a category, its place in the list. In files the number, or `"zero"`.
    Value(f64),
}

impl Missing {
    /// What the model gets.
    #[must_use]
    pub fn value(self) -> f64 {
        match self {
            Missing::Nan => f64::NAN,
            Missing::Value(value) => value,
        }
    }
}

impl Feature {
    /// What the model gets for a value that may be missing.
    #[must_use]
    pub fn input(&self, value: Option<f64>) -> f64 {
        value.unwrap_or_else(|| self.missing.value())
    }

    pub(super) fn read(value: Value, at: &str) -> Result<Feature, ManifestError> {
        let mut fields = Fields::of(value, at)?;
        let name: String = fields.required("name")?;
        check_name(&name).map_err(|problem| fields.error("name", problem))?;
        let source = word(&mut fields, "source")?;
        if (source == Source::Offer) != name.starts_with("offer.") {
            let problem =
                format!("is {source}, but {name} must begin with `offer.` exactly if it is offer");
            return Err(fields.error("source", problem));
        }
        let kind = kind(&mut fields)?;
        let missing = missing(&mut fields, &kind)?;
        fields.finish()?;
        Ok(Feature {
            name,
            kind,
            source,
            missing,
        })
    }
}

fn kind(fields: &mut Fields) -> Result<Kind, ManifestError> {
    let word: String = fields.required("kind")?;
    let categories: Option<Vec<String>> = fields.optional("categories")?;
    match (word.as_str(), categories) {
        ("number", None) => Ok(Kind::Number),
        ("number", Some(_)) => Err(fields.error("categories", "a number has none")),
        ("category", None) => Err(fields.error("categories", "is required for a category")),
        ("category", Some(categories)) => {
            check_categories(&categories).map_err(|e| fields.error("categories", e))?;
            Ok(Kind::Category(categories))
        }
        (other, _) => {
            let problem = format!("is `{other}`, expected one of number, category");
            Err(fields.error("kind", problem))
        }
    }
}

fn check_categories(categories: &[String]) -> Result<(), String> {
    if !(1..=CATEGORIES_MAX).contains(&categories.len()) {
        let found = categories.len();
        return Err(format!(
            "has {found} entries, allowed are 1 to {CATEGORIES_MAX}"
        ));
    }
    let mut seen = HashSet::new();
    for category in categories {
        if category.chars().count() > NAME_CHARS_MAX {
            return Err(format!(
                "an entry is longer than {NAME_CHARS_MAX} characters"
            ));
        }
        if !seen.insert(category) {
            return Err(format!("`{category}` is there twice"));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    let chars = name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&chars) || name.chars().any(char::is_control) {
        return Err(format!(
            "must be 1 to {NAME_CHARS_MAX} printable characters"
        ));
    }
    Ok(())
}

fn missing(fields: &mut Fields, kind: &Kind) -> Result<Missing, ManifestError> {
    let value = match fields.optional::<Value>("missing")? {
        None => return Ok(Missing::Nan),
        Some(Value::String(word)) if word == "nan" => return Ok(Missing::Nan),
        Some(Value::String(word)) if word == "zero" => 0.0,
        Some(value) => value.as_f64().filter(|v| v.is_finite()).ok_or_else(|| {
            fields.error(
                "missing",
                format!("is {value}, expected \"nan\", \"zero\" or a number"),
            )
        })?,
    };
    if let Kind::Category(categories) = kind
        && !is_place(value, categories.len())
    {
        let last = categories.len() - 1;
        let problem =
            format!("is {value}, expected \"nan\" or the place of a category, 0 to {last}");
        return Err(fields.error("missing", problem));
    }
    Ok(Missing::Value(value))
}

/// Whether `value` is a whole number from 0 to below `count`.
pub(super) fn is_place(value: f64, count: usize) -> bool {
    value.fract() == 0.0 && (0.0..count as f64).contains(&value)
}

impl Serialize for Feature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// The feature as it stands in a file.
        #[derive(Serialize)]
        struct File<'a> {
            name: &'a str,
            kind: &'static str,
            source: Source,
            #[serde(skip_serializing_if = "Option::is_none")]
            categories: Option<&'a [String]>,
            missing: Missing,
        }
        let (kind, categories) = match &self.kind {
            Kind::Number => ("number", None),
            Kind::Category(categories) => ("category", Some(categories.as_slice())),
        };
        File {
            name: &self.name,
            kind,
            source: self.source,
            categories,
            missing: self.missing,
        }
        .serialize(serializer)
    }
}

impl Serialize for Missing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Missing::Nan => serializer.serialize_str("nan"),
            Missing::Value(value) => serializer.serialize_f64(*value),
        }
    }
}
