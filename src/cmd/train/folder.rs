//! A model's folder, and its examples as a table.

use std::fs;
use std::path::Path;

use super::Error;
use crate::cmd::csv;
use crate::learn::dataset::Dataset;
use crate::learn::plot;
use crate::learn::train::Trained;
use crate::model::Kind;

/// Writes the folder. The manifest last: a folder with a manifest is complete.
pub(super) fn write(folder: &Path, trained: &Trained, report: &str) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|source| Error::Write {
        path: folder.into(),
        source,
    })?;
    let manifest = &trained.model.manifest;
    let title = format!("{}: calibration on rows it has not seen", manifest.label());
    let plot = plot::reliability(&title, &trained.reliability);
    write_file(&folder.join("artifact.json"), &trained.artifact)?;
    write_file(&folder.join("calibration.svg"), plot.as_bytes())?;
    write_file(&folder.join("report.json"), report.as_bytes())?;
    write_file(&folder.join("manifest.json"), manifest.to_json().as_bytes())
}

pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|source| Error::Write {
        path: path.into(),
        source,
    })
}

/// The examples as a table.
pub(super) fn csv(data: &Dataset) -> String {
    let names = data.features.iter().map(|f| csv::quoted(&f.name));
    let mut text: String = names
        .chain(["converted".into()])
        .collect::<Vec<_>>()
        .join(",");
    for (row, label) in data.labels.iter().enumerate() {
        text.push('\n');
        for (feature, &value) in data.features.iter().zip(data.row(row)) {
            match &feature.kind {
                _ if value.is_nan() => {}
                // In a data set a category is a place in its list.
                Kind::Category(categories) => text += &csv::quoted(&categories[value as usize]),
                Kind::Number => text += &value.to_string(),
            }
            text.push(',');
        }
        text.push(if *label { '1' } else { '0' });
    }
    text.push('\n');
    text
}
