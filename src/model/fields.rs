//! Reading a JSON object that a person wrote so that every mistake names its field.
//!
//! serde alone says "invalid type: string, expected f64 at line 7"; here it is
//! `calibration.a: invalid type: string "x", expected f64`.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::ManifestError;

/// An object's fields, taken out one by one; what is left at the end is unknown.
pub(super) struct Fields {
    at: String,
    map: Map<String, Value>,
}

impl Fields {
    /// The fields of the object `value`, which is at path `at` (empty for the root).
    pub fn of(value: Value, at: &str) -> Result<Fields, ManifestError> {
        match value {
            Value::Object(map) => Ok(Fields { at: at.into(), map }),
            _ => Err(ManifestError::new(
                if at.is_empty() { "manifest" } else { at },
                "must be an object",
            )),
        }
    }

    /// The path of a field of this object.
    pub fn path(&self, name: &str) -> String {
        if self.at.is_empty() {
            name.into()
        } else {
            format!("{}.{name}", self.at)
        }
    }

    /// A complaint about a field of this object.
    pub fn error(&self, name: &str, problem: impl Into<String>) -> ManifestError {
        ManifestError::new(self.path(name), problem)
    }

    /// The field's value; an explicit null means absent.
    pub fn optional<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, ManifestError> {
        match self.map.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|e| self.error(name, e.to_string())),
        }
    }

    /// The field's value, which must be there.
    pub fn required<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, ManifestError> {
        self.optional(name)?
            .ok_or_else(|| self.error(name, "is required"))
    }

    /// The field's number, which must be there and finite.
    pub fn finite(&mut self, name: &str) -> Result<f64, ManifestError> {
        let number: f64 = self.required(name)?;
        if number.is_finite() {
            Ok(number)
        } else {
            Err(self.error(name, "must be a finite number"))
        }
    }

    /// Refuses whatever was not asked for.
    pub fn finish(self) -> Result<(), ManifestError> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.error(name, "is not a field that is known here")),
        }
    }
}
