//! The catalog file: every mistake there is to make, the demo operator, and what a new one changes.

mod demo;
mod fuzz;
mod mistakes;

use offerd::control::catalog::{
    CatalogDiff, Changed, EntryDiff, diff, read, read_json, read_toml, to_json,
};

/// The smallest catalog that uses most of the format.
const BASE: &str = include_str!("base.toml");

#[test]
fn toml_and_json_say_the_same() {
    let toml = read_toml(BASE).expect("no mistakes");
    let text = to_json(BASE).expect("is TOML").to_string();
    let json = read_json(&text).expect("no mistakes in JSON either");
    assert!(diff(&toml, &json).is_empty(), "{:?}", diff(&toml, &json));
    assert_ne!(toml.digest, json.digest, "a digest is of the text");
    assert_eq!(read(&text).expect("detected").digest, json.digest);
}

#[test]
fn a_diff_names_what_changed() {
    let old = read_toml(BASE).expect("no mistakes");
    let text = BASE
        .replace("value_minor = 700", "value_minor = 800")
        .replace("marketing = true", "marketing = false")
        .replace("id = \"sport\"", "id = \"sports\"");
    let new = read_toml(&text).expect("still none");
    let expected = CatalogDiff {
        settings: vec!["consent".into()],
        placements: EntryDiff::default(),
        offers: EntryDiff {
            added: vec!["sports".into()],
            removed: vec!["sport".into()],
            changed: vec![Changed {
                id: "extender".into(),
                fields: vec!["value_minor".into()],
            }],
        },
    };
    assert_eq!(diff(&old, &new), expected);
    assert!(diff(&old, &old).is_empty());
}
