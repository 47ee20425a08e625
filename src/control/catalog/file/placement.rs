//! `[[placement]]`: a place on a page.

use super::explorer::own_explorer;
use crate::control::catalog::fields::{Fields, Item};
use crate::control::catalog::limits::{COUNT_MAX, NAME_CHARS_MAX};
use crate::control::catalog::mistake::Placed;
use crate::decide::explore::Policy;
use crate::domain::{Channel, OfferClass, Phase};

/// A place on a page, as written.
pub struct PlacementEntry {
    /// What pages call it.
    pub id: Placed<Box<str>>,
    /// Phases in which it shows anything; `None` is all.
    pub phases: Option<Vec<Placed<Phase>>>,
    /// Channels it exists on; `None` is all.
    pub channels: Option<Vec<Placed<Channel>>>,
    /// Classes it takes; `None` is all.
    pub classes: Option<Vec<Placed<OfferClass>>>,
    /// The most offers it takes.
    pub count_max: u8,
    /// Its own explorer.
    pub explorer: Option<Policy>,
}

impl PlacementEntry {
    pub(super) fn read(item: Item<'_>) -> Option<PlacementEntry> {
        let mut fields = Fields::open(item)?;
        let id = fields
            .need("id", "what pages call the placement")
            .and_then(|item| item.id().map(|id| item.placed(id.into())));
        fields
            .take("name")
            .and_then(|item| item.text(NAME_CHARS_MAX));
        let phases = fields.take("phases").map(|item| item.words());
        let channels = fields.take("channels").map(|item| item.words());
        let classes = fields.take("classes").map(|item| item.words());
        let count_max = fields
            .take("count_max")
            .and_then(|item| item.small(1..=COUNT_MAX));
        let explorer = fields.take("explorer").and_then(own_explorer);
        fields.close();
        Some(PlacementEntry {
            id: id?,
            phases,
            channels,
            classes,
            count_max: count_max.unwrap_or(1),
            explorer,
        })
    }
}
