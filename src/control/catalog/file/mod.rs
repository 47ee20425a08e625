//! A catalog as a person wrote it: every key read, every value of the right kind and in its range.
//!
//! What one entry alone can tell is checked here; what only shows when entries are held against
//! each other (unknown ids, offers that can never be shown) is `compile`'s.

mod creative;
mod explorer;
mod learning;
mod offer;
mod placement;
mod settings;
mod words;

pub(super) use creative::CreativeEntry;
pub(super) use explorer::NO_FLOOR;
pub(super) use learning::LearningEntry;
pub(super) use offer::{FlightEnd, OfferEntry};
pub(super) use placement::PlacementEntry;
pub(super) use settings::Settings;
pub(super) use words::{FeatureEntry, FeatureKind};

use super::fields::{Fields, Item};
use super::limits::{OFFERS_MAX, PLACEMENTS_MAX};
use super::mistake::{Notes, Place};
use super::tree::Node;

/// What a person wrote.
pub(super) struct File<'a> {
    /// Everything that is there once.
    pub settings: Settings,
    /// `[[placement]]`, in order.
    pub placements: Vec<PlacementEntry>,
    /// `[[offer]]`, in order.
    pub offers: Vec<OfferEntry<'a>>,
}

impl<'a> File<'a> {
    /// Reads the whole tree. Mistakes go into `notes`; what cannot be read is left out.
    pub fn read(tree: &'a Node, notes: &'a Notes) -> Option<File<'a>> {
        let place = Place {
            offset: tree.offset,
            path: String::new(),
        };
        let mut fields = Fields::open(Item {
            place,
            node: tree,
            notes,
        })?;
        let settings = Settings::read(&mut fields, notes);
        let placements = fields
            .list("placement", PLACEMENTS_MAX)
            .into_iter()
            .filter_map(PlacementEntry::read)
            .collect();
        let offers = fields
            .list("offer", OFFERS_MAX)
            .into_iter()
            .filter_map(OfferEntry::read)
            .collect();
        for planned in ["guardrail", "experiment", "holdout"] {
            fields.refuse(planned);
        }
        fields.close();
        Some(File {
            settings,
            placements,
            offers,
        })
    }
}
