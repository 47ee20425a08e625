//! The catalog: what an operator offers, where, when and to whom.
//!
//! A catalog is text that a marketer writes. It is read in three steps: the text becomes a tree that
//! remembers lines (`tree`), the tree becomes entries of the right kinds (`file`), and the entries,
//! held against each other, become what decisions read (`compile`). Every mistake on the way is
//! told, not only the first, and a catalog with any mistake is no catalog: the one that serves stays.
//!
//! Nothing here touches a disk or a network; where the text comes from is the caller's affair.

mod compile;
mod diff;
mod fields;
mod file;
mod horizon;
mod json;
pub mod limits;
mod mistake;
mod tree;

use std::sync::Arc;

pub use diff::{CatalogDiff, Changed, EntryDiff, diff};
pub use horizon::{Memory, check_horizon};
pub use json::to_json;
pub use mistake::{Mistake, Mistakes};

use crate::decide::snapshot::Catalog;
use crate::model::{Feature, Kind, Missing, Source};
use limits::FILE_BYTES_MAX;
use mistake::Notes;
use tree::Node;

/// Reads a catalog, JSON where the text begins with a brace and TOML elsewhere.
///
/// # Errors
///
/// Every mistake in it.
pub fn read(text: &str) -> Result<Arc<Catalog>, Mistakes> {
    if json::is_json(text) {
        read_json(text)
    } else {
        read_toml(text)
    }
}

/// Reads a catalog written in TOML 1.1.
///
/// # Errors
///
/// Every mistake in it, with its line and column.
pub fn read_toml(text: &str) -> Result<Arc<Catalog>, Mistakes> {
    check_size(text)?;
    build(&Node::from_toml(text)?, text)
}

/// Reads a catalog written in JSON: the same keys and values, times as strings, null as absent.
///
/// # Errors
///
/// Every mistake in it, by path.
pub fn read_json(text: &str) -> Result<Arc<Catalog>, Mistakes> {
    check_size(text)?;
    build(&Node::from_json(text)?, text)
}

/// The customer features that a catalog declares, as model inputs. Texts without a list
/// of values are none: they are names and the like.
///
/// # Errors
///
/// Every mistake in it.
pub fn declared_features(text: &str) -> Result<Vec<Feature>, Mistakes> {
    let notes = Notes::default();
    let tree = if json::is_json(text) {
        Node::from_json(text)?
    } else {
        Node::from_toml(text)?
    };
    let file = file::File::read(&tree, &notes);
    let declared = file.map_or(Vec::new(), |file| file.settings.features);
    notes.into_mistakes(text)?;
    let feature = |entry: file::FeatureEntry| {
        let kind = match entry.kind {
            file::FeatureKind::Number(..) | file::FeatureKind::Boolean => Kind::Number,
            file::FeatureKind::Category(values) if values.is_empty() => return None,
            file::FeatureKind::Category(values) => {
                Kind::Category(values.into_iter().map(String::from).collect())
            }
        };
        Some(Feature {
            name: entry.name.into(),
            kind,
            source: Source::Customer,
            missing: Missing::Nan,
        })
    };
    Ok(declared.into_iter().filter_map(feature).collect())
}

fn build(tree: &Node, text: &str) -> Result<Arc<Catalog>, Mistakes> {
    let notes = Notes::default();
    let catalog = file::File::read(tree, &notes).map(|file| compile::compile(file, text, &notes));
    notes.into_mistakes(text)?;
    Ok(Arc::new(
        catalog.expect("a tree that cannot be read leaves a note"),
    ))
}

fn check_size(text: &str) -> Result<(), Mistakes> {
    if text.len() <= FILE_BYTES_MAX {
        return Ok(());
    }
    let found = text.len();
    let message = format!("expected at most {FILE_BYTES_MAX} bytes, found {found}");
    Err(Mistakes::one(None, message))
}
