//! The catalog file: every mistake there is to make, the demo operator, and what a new one changes.

mod compiled;
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

/// Every TOML block of the documentation that is a whole catalog is one without mistakes, and every
/// key that the reader knows is documented.
#[test]
fn the_documentation_says_the_truth() {
    let docs = include_str!("../../../docs/catalog.md");
    let blocks = docs
        .split("```toml\n")
        .skip(1)
        .filter_map(|b| b.split("```").next());
    let whole: Vec<&str> = blocks.filter(|b| b.contains("[operator]")).collect();
    assert_eq!(whole.len(), 1);
    if let Err(mistakes) = read_toml(whole[0]) {
        panic!("{mistakes}");
    }
    for (text, path) in [
        (
            BASE.replace("name = \"Extender\"", "wrong = 1"),
            "offer[0].wrong",
        ),
        (
            BASE.replace("body = \"Reach", "wrong = \"Reach"),
            "offer[0].creatives[0].wrong",
        ),
        (
            BASE.replace("count_max = 2", "wrong = 2"),
            "placement[0].wrong",
        ),
        (
            BASE.replace("marketing = true", "wrong = true"),
            "consent.wrong",
        ),
        (BASE.replace("rating_max = 2", "wrong = 2"), "care.wrong"),
        (
            BASE.replace("name = \"Test Cable\"", "wrong = 2"),
            "operator.wrong",
        ),
    ] {
        let mistakes = read_toml(&text).err().expect("an unknown key");
        let mistake = mistakes
            .all()
            .iter()
            .find(|m| m.path == path)
            .expect("is told");
        let (_, known) = mistake
            .message
            .split_once("one of ")
            .expect("lists what is known");
        for key in known.split(", ") {
            let documented =
                docs.contains(&format!("`{key}`")) || docs.contains(&format!(".{key}`"));
            assert!(documented, "docs/catalog.md does not tell of {path}: {key}");
        }
    }
}
