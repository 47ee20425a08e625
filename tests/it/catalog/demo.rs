//! The demo operator: it has no mistakes and something to say everywhere.

use offerd::control::catalog::read_toml;

/// What the server ships.
const DEMO: &str = include_str!("../../../catalog/demo.toml");

#[test]
fn it_has_no_mistakes() {
    if let Err(mistakes) = read_toml(DEMO) {
        panic!("{mistakes}");
    }
}
