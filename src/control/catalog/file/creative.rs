//! `[[offer.creatives]]`: what the customer reads.

use super::settings::locale;
use crate::control::catalog::fields::{Fields, Item};
use crate::control::catalog::limits::{BODY_CHARS_MAX, NAME_CHARS_MAX, URL_CHARS_MAX};
use crate::control::catalog::mistake::{Place, Placed};
use crate::decide::snapshot::{Action, ActionKind};
use crate::domain::Channel;

/// An offer's words on some channels in one locale, as written.
pub struct CreativeEntry {
    /// `None`: the offer's id and the locale.
    pub id: Option<Placed<Box<str>>>,
    /// Where it can be read; `None` is everywhere.
    pub channels: Option<Vec<Placed<Channel>>>,
    /// `None` fits any.
    pub locale: Option<Box<str>>,
    /// The heading, with placeholders.
    pub title: Option<Placed<Box<str>>>,
    /// The paragraph, with placeholders.
    pub body: Option<Placed<Box<str>>>,
    /// The picture.
    pub image_url: Option<Box<str>>,
    /// The button, with placeholders.
    pub cta: Option<Placed<Box<str>>>,
    /// What the button does.
    pub action: Placed<Action>,
    /// Where it is.
    pub place: Place,
}

impl CreativeEntry {
    pub(super) fn read(item: Item<'_>) -> Option<CreativeEntry> {
        let mut fields = Fields::open(item)?;
        let place = fields.place.clone();
        let id = fields
            .take("id")
            .and_then(|item| item.id().map(|id| item.placed(id.into())));
        let channels = fields.take("channels").map(|item| item.words());
        let locale = fields.take("locale").and_then(|item| locale(&item));
        let title = fields
            .need("title", "the heading")
            .and_then(|item| words(item, NAME_CHARS_MAX));
        let body = fields
            .take("body")
            .and_then(|item| words(item, BODY_CHARS_MAX));
        let image_url = fields.take("image_url").and_then(|item| url(&item));
        let cta = fields
            .take("cta")
            .and_then(|item| words(item, NAME_CHARS_MAX));
        let action = fields.take("action").map_or_else(
            || (place.clone(), Some(NO_ACTION)),
            |item| (item.place.clone(), action(item)),
        );
        fields.close();
        Some(CreativeEntry {
            id,
            channels,
            locale,
            title,
            body,
            image_url,
            cta,
            action: Placed {
                value: action.1.unwrap_or(NO_ACTION),
                place: action.0,
            },
            place,
        })
    }
}

const NO_ACTION: Action = Action {
    kind: ActionKind::Info,
    url: None,
};

fn words(item: Item<'_>, chars_max: usize) -> Option<Placed<Box<str>>> {
    let text = item.text(chars_max)?;
    Some(item.placed(text.into()))
}

fn action(item: Item<'_>) -> Option<Action> {
    let mut fields = Fields::open(item)?;
    let kind = fields
        .need("kind", "order, link or info")
        .and_then(|item| item.word());
    let has_url = fields.take("url");
    let url = has_url.as_ref().and_then(url);
    if kind == Some(ActionKind::Link) && has_url.is_none() {
        fields.note("expected the key `url`, where the link leads; found none");
    }
    fields.close();
    Some(Action { kind: kind?, url })
}

/// An `https:` or `http:` URL, or a path on the page's own host. Anything else could run as a
/// script or lead to wherever an attacker's page is.
fn url(item: &Item<'_>) -> Option<Box<str>> {
    let text = item.text(URL_CHARS_MAX)?;
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let absolute =
        host.is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || c == '['));
    // `//host` and, to some browsers, `/\host` leave the page's own host.
    let rooted = text.starts_with('/') && !text.starts_with("//");
    let clean = !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\');
    if (absolute || rooted) && clean {
        return Some(text.into());
    }
    item.note(format!(
        "expected an https:// or http:// URL, or a path that begins with one `/`; found {}",
        item.node
    ));
    None
}
