//! What a person writes about a model: its inputs, its calibration, and rows that prove it.

use std::collections::HashSet;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::feature::{Feature, Kind, is_place};
use super::fields::Fields;
use super::{Calibration, ManifestError};

/// How large the parts of a manifest may be.
pub mod limits {
    /// Features: inputs are numbered with 16 bits, and a row must stay in the nearest cache.
    pub const FEATURES_MAX: usize = 512;
    /// Categories of one feature: postal areas fit, customer ids do not.
    pub const CATEGORIES_MAX: usize = 4_096;
    /// Characters of a feature's or category's name.
    pub const NAME_CHARS_MAX: usize = 256;
    /// Golden rows without which a model is not accepted.
    pub const GOLDEN_ROWS_MIN: usize = 32;
    /// Golden rows beyond which a push would be slow and prove no more.
    pub const GOLDEN_ROWS_MAX: usize = 10_000;
    /// Characters of a note.
    pub const NOTE_CHARS_MAX: usize = 4_096;
}
use limits::{FEATURES_MAX, GOLDEN_ROWS_MAX, NOTE_CHARS_MAX};

/// A checked manifest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Manifest {
    /// What the model is called over all its versions, such as `propensity`.
    pub name: String,
    /// Such as `2026-11-20.1`; names match `[a-z0-9][a-z0-9._-]{0,63}`.
    pub version: String,
    /// How the artifact is written.
    pub format: Format,
    /// What the probability is of.
    pub target: Target,
    /// The inputs, in the model's order.
    pub features: Vec<Feature>,
    /// How a raw score becomes a probability.
    pub calibration: Calibration,
    /// Rows with the answers that the trainer got.
    pub golden: Vec<GoldenRow>,
    /// SHA-256 of the artifact, 64 lowercase hexadecimal digits. `None` only in one that is not yet
    /// meant to serve.
    pub sha256: Option<String>,
    /// When it was trained, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_at: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

crate::domain::vocabulary! {
    /// How an artifact is written.
    Format {
        /// A weighted sum, in our own JSON.
        Linear = "linear",
        /// A forest that smartcore trained, in our own JSON.
        Smartcore = "smartcore",
        /// Trees of LightGBM, in its text format.
        Lightgbm = "lightgbm",
        /// Trees or a weighted sum of XGBoost, in its JSON or UBJSON format.
        Xgboost = "xgboost",
        /// A forest or weighted sum of scikit-learn, in our own JSON.
        Sklearn = "sklearn",
    }
}

crate::domain::vocabulary! {
    /// What a model predicts.
    Target {
        /// The probability that showing the offer leads to its conversion.
        Conversion = "conversion",
    }
}

crate::domain::vocabulary! {
    /// Where an input comes from.
    Source {
        /// The customer's features and care signs.
        Customer = "customer",
        /// The visit: phase, job type, ETA, delay.
        Appointment = "appointment",
        /// What the page has seen: `NAME.count`, `NAME.age_ms`.
        Trigger = "trigger",
        /// The candidate; the only source that differs between candidates.
        Offer = "offer",
        /// Channel, device, locale, placement, hour, weekday.
        Context = "context",
    }
}

/// A row with the answers that the trainer got.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GoldenRow {
    /// One value per feature, categories as their place in the list; `None` (null) is missing.
    pub features: Vec<Option<f64>>,
    /// Before link and calibration.
    pub raw: f64,
    /// After both.
    pub probability: f64,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// Names the first field that is wrong and what is allowed in it.
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        let value: Value =
            serde_json::from_str(text).map_err(|e| ManifestError::new("json", e.to_string()))?;
        let mut fields = Fields::of(value, "")?;
        let features = features(&mut fields)?;
        let manifest = Manifest {
            name: identifier(&mut fields, "name")?,
            version: identifier(&mut fields, "version")?,
            format: word(&mut fields, "format")?,
            target: word(&mut fields, "target")?,
            calibration: match fields.optional("calibration")? {
                Some(value) => Calibration::read(value)?,
                None => Calibration::None,
            },
            golden: golden(&mut fields, &features)?,
            features,
            sha256: sha256(&mut fields)?,
            trained_at: trained_at(&mut fields)?,
            note: note(&mut fields)?,
        };
        fields.finish()?;
        Ok(manifest)
    }

    /// The manifest as a file, one line for each feature and golden row.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut fields = vec![
            ("name", line(&self.name)),
            ("version", line(&self.version)),
            ("format", line(&self.format)),
            ("target", line(&self.target)),
            ("features", lines(&self.features)),
            ("calibration", line(&self.calibration)),
            ("golden", lines(&self.golden)),
        ];
        let texts = [
            ("sha256", &self.sha256),
            ("trained_at", &self.trained_at),
            ("note", &self.note),
        ];
        fields.extend(texts.map(|(name, text)| (name, line(text))));
        let fields: Vec<String> = (fields.iter())
            .filter(|(_, value)| value != "null")
            .map(|(name, value)| format!("  \"{name}\": {value}"))
            .collect();
        format!("{{\n{}\n}}\n", fields.join(",\n"))
    }

    /// `name@version`, as answers and records carry it.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain values serialize")
}

fn lines(values: &[impl Serialize]) -> String {
    let values: Vec<String> = values.iter().map(|v| format!("    {}", line(v))).collect();
    if values.is_empty() {
        return "[]".into();
    }
    format!("[\n{}\n  ]", values.join(",\n"))
}

fn features(fields: &mut Fields) -> Result<Vec<Feature>, ManifestError> {
    let values: Vec<Value> = fields.required("features")?;
    if !(1..=FEATURES_MAX).contains(&values.len()) {
        let problem = format!(
            "has {} entries, allowed are 1 to {FEATURES_MAX}",
            values.len()
        );
        return Err(fields.error("features", problem));
    }
    let mut names = HashSet::new();
    let mut features = Vec::with_capacity(values.len());
    for (i, value) in values.into_iter().enumerate() {
        let at = format!("features[{i}]");
        let feature = Feature::read(value, &at)?;
        if !names.insert(feature.name.clone()) {
            let problem = format!("{} is there twice", feature.name);
            return Err(ManifestError::new(format!("{at}.name"), problem));
        }
        features.push(feature);
    }
    Ok(features)
}

fn golden(fields: &mut Fields, features: &[Feature]) -> Result<Vec<GoldenRow>, ManifestError> {
    let values: Vec<Value> = fields.optional("golden")?.unwrap_or_default();
    if values.len() > GOLDEN_ROWS_MAX {
        let problem = format!("has {} rows, allowed are {GOLDEN_ROWS_MAX}", values.len());
        return Err(fields.error("golden", problem));
    }
    (values.into_iter().enumerate())
        .map(|(i, value)| GoldenRow::read(value, &format!("golden[{i}]"), features))
        .collect()
}

impl GoldenRow {
    fn read(value: Value, at: &str, features: &[Feature]) -> Result<GoldenRow, ManifestError> {
        let mut fields = Fields::of(value, at)?;
        let row: Vec<Option<f64>> = fields.required("features")?;
        if row.len() != features.len() {
            let problem = format!(
                "has {} values, there are {} features",
                row.len(),
                features.len()
            );
            return Err(fields.error("features", problem));
        }
        for (i, (feature, value)) in features.iter().zip(&row).enumerate() {
            if let (Kind::Category(categories), Some(value)) = (&feature.kind, value)
                && !is_place(*value, categories.len())
            {
                let last = categories.len() - 1;
                let problem = format!(
                    "is {value}, {} has the categories 0 to {last}",
                    feature.name
                );
                return Err(fields.error(&format!("features[{i}]"), problem));
            }
        }
        let raw = fields.finite("raw")?;
        let probability = fields.finite("probability")?;
        if !(0.0..=1.0).contains(&probability) {
            let problem = format!("is {probability}, must be within [0, 1]");
            return Err(fields.error("probability", problem));
        }
        fields.finish()?;
        Ok(GoldenRow {
            features: row,
            raw,
            probability,
        })
    }
}

/// Whether `text` can be a model's name or version: it can stand in a URL, a file name and a log line
/// as it is.
#[must_use]
pub fn is_identifier(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let first = text.bytes().next().is_some_and(plain);
    first && text.len() <= 64 && text.bytes().all(|b| plain(b) || b"._-".contains(&b))
}

/// A name that can stand in a URL, a file name and a log line as it is.
fn identifier(fields: &mut Fields, name: &str) -> Result<String, ManifestError> {
    let text: String = fields.required(name)?;
    if is_identifier(&text) {
        return Ok(text);
    }
    Err(fields.error(name, "must match [a-z0-9][a-z0-9._-]{0,63}"))
}

pub(super) fn word<T>(fields: &mut Fields, name: &str) -> Result<T, ManifestError>
where
    T: std::str::FromStr<Err = crate::domain::UnknownWord>,
{
    let text: String = fields.required(name)?;
    text.parse()
        .map_err(|error| fields.error(name, format!("is `{text}`, {error}")))
}

fn sha256(fields: &mut Fields) -> Result<Option<String>, ManifestError> {
    let digest: Option<String> = fields.optional("sha256")?;
    let hex = |d: &str| d.len() == 64 && d.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match digest {
        Some(digest) if !hex(&digest) => {
            Err(fields.error("sha256", "must be 64 lowercase hexadecimal digits"))
        }
        digest => Ok(digest),
    }
}

fn trained_at(fields: &mut Fields) -> Result<Option<String>, ManifestError> {
    let text: Option<String> = fields.optional("trained_at")?;
    if let Some(text) = &text
        && text.parse::<jiff::Timestamp>().is_err()
    {
        return Err(fields.error(
            "trained_at",
            "must be an RFC 3339 instant, such as 2026-11-20T08:00:00Z",
        ));
    }
    Ok(text)
}

fn note(fields: &mut Fields) -> Result<Option<String>, ManifestError> {
    let note: Option<String> = fields.optional("note")?;
    if note
        .as_ref()
        .is_some_and(|n| n.chars().count() > NOTE_CHARS_MAX)
    {
        return Err(fields.error(
            "note",
            format!("must be at most {NOTE_CHARS_MAX} characters"),
        ));
    }
    Ok(note)
}

/// Words serialize as themselves.
macro_rules! serialize_word {
    ($($name:ident),+) => { $(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    )+ };
}
serialize_word!(Format, Target, Source);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Missing;
    use serde_json::json;

    fn example() -> Value {
        json!({
            "name": "propensity", "version": "2026-11-20.1", "format": "linear", "target": "conversion",
            "features": [
                { "name": "tenure", "kind": "number", "source": "customer", "missing": "nan" },
                { "name": "contract", "kind": "category", "source": "customer",
                  "categories": ["Month-to-month", "One year", "Two year"], "missing": 1.0 },
                { "name": "offer.margin", "kind": "number", "source": "offer", "missing": 0.0 },
            ],
            "calibration": { "kind": "none" },
            "golden": [ { "features": [14.0, 0.0, 450.0], "raw": -2.1, "probability": 0.1 },
                        { "features": [null, null, null], "raw": -2.1, "probability": 0.1 } ],
            "sha256": "00".repeat(32), "trained_at": "2026-11-20T08:00:00Z", "note": "by hand",
        })
    }

    #[test]
    fn a_manifest_reads_back_as_written() {
        let manifest = Manifest::parse(&example().to_string()).unwrap();
        assert_eq!(manifest.label(), "propensity@2026-11-20.1");
        assert_eq!(manifest.features[1].input(None), 1.0);
        assert!(manifest.features[0].input(None).is_nan());
        assert_eq!(serde_json::to_value(&manifest).unwrap(), example());
        assert_eq!(Manifest::parse(&manifest.to_json()).unwrap(), manifest);
    }

    #[test]
    fn what_may_be_left_out_has_a_default() {
        let mut value = example();
        for name in ["calibration", "golden", "sha256", "trained_at", "note"] {
            value.as_object_mut().unwrap().remove(name);
        }
        value["features"][0]
            .as_object_mut()
            .unwrap()
            .remove("missing");
        value["features"][2]["missing"] = json!("zero");
        let manifest = Manifest::parse(&value.to_string()).unwrap();
        assert_eq!(manifest.calibration, Calibration::None);
        assert_eq!(manifest.features[0].missing, Missing::Nan);
        assert_eq!(manifest.features[2].missing, Missing::Value(0.0));
        assert!(manifest.golden.is_empty() && manifest.sha256.is_none());
    }

    /// Puts `value` at the JSON pointer and expects a refusal that names `field`.
    #[track_caller]
    fn check(pointer: &str, value: Value, field: &str) {
        let mut manifest = example();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match manifest.pointer_mut(parent).unwrap() {
            Value::Object(map) => drop(map.insert(name.into(), value.clone())),
            Value::Array(list) => list[name.parse::<usize>().unwrap()] = value.clone(),
            other => panic!("{parent} is {other}"),
        }
        let error = Manifest::parse(&manifest.to_string()).expect_err(pointer);
        assert_eq!(error.field, field, "{pointer} = {value}: {error}");
    }

    #[test]
    fn mistakes_name_their_field() {
        check("/extra", json!(1), "extra");
        for name in ["", "Propensity", ".x", "a/b", &"a".repeat(65)] {
            check("/name", json!(name), "name");
        }
        check("/version", json!(3), "version");
        check("/format", json!("onnx"), "format");
        check("/target", json!("click"), "target");
        check("/features", json!([]), "features");
        check("/features/0", json!("tenure"), "features[0]");
        check("/features/0/name", json!(""), "features[0].name");
        check("/features/0/name", json!("contract"), "features[1].name");
        check("/features/0/kind", json!("float"), "features[0].kind");
        check("/features/0/source", json!("web"), "features[0].source");
        check("/features/0/source", json!("offer"), "features[0].source");
        check(
            "/features/2/source",
            json!("customer"),
            "features[2].source",
        );
        check(
            "/features/0/categories",
            json!(["a"]),
            "features[0].categories",
        );
        check(
            "/features/1/categories",
            json!([]),
            "features[1].categories",
        );
        check(
            "/features/1/categories",
            json!(null),
            "features[1].categories",
        );
        check(
            "/features/1/categories",
            json!(["a", "a"]),
            "features[1].categories",
        );
        check("/features/0/missing", json!("mean"), "features[0].missing");
        check("/features/1/missing", json!(3), "features[1].missing");
        check("/features/1/missing", json!(0.5), "features[1].missing");
        check("/features/0/default", json!(0), "features[0].default");
        check("/calibration/kind", json!("beta"), "calibration.kind");
        check("/golden/0/features", json!([1, 2]), "golden[0].features");
        check("/golden/1/features/1", json!(3), "golden[1].features[1]");
        check("/golden/0/raw", json!(null), "golden[0].raw");
        check("/golden/0/probability", json!(1.5), "golden[0].probability");
        check("/sha256", json!("abc"), "sha256");
        check("/trained_at", json!("yesterday"), "trained_at");
        check("/note", json!("x".repeat(4_097)), "note");
    }

    #[test]
    fn counts_are_limited() {
        let feature =
            |i: usize| json!({ "name": format!("f{i}"), "kind": "number", "source": "customer" });
        let features = |count| (0..count).map(feature).collect::<Vec<_>>();
        let row =
            |count: usize| json!({ "features": vec![1; count], "raw": 0, "probability": 0.5 });
        let mut manifest = example();
        manifest["features"] = json!(features(512));
        manifest["golden"] = json!(vec![row(512); 2]);
        Manifest::parse(&manifest.to_string()).unwrap();
        check("/features", json!(features(513)), "features");
        check("/golden", json!(vec![row(3); 10_001]), "golden");
        let categories = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>();
        check(
            "/features/1/categories",
            json!(categories(4_097)),
            "features[1].categories",
        );
    }
}
