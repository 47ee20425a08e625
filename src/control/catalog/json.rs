//! A catalog's text as JSON, whichever of the two it was written in.

use super::mistake::Mistakes;
use super::tree::Node;

/// The catalog as JSON, with the same keys; times become strings.
///
/// # Errors
///
/// Where the text is neither TOML nor JSON. Whether it is a catalog is [`super::read`]'s to tell.
pub fn to_json(text: &str) -> Result<serde_json::Value, Mistakes> {
    Ok(tree(text)?.to_json())
}

/// The text as a tree. JSON begins with a brace, which no TOML file can.
pub(super) fn tree(text: &str) -> Result<Node, Mistakes> {
    if is_json(text) {
        Node::from_json(text)
    } else {
        Node::from_toml(text)
    }
}

/// Whether a text is meant to be JSON.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}
