//! The catalog file: the demo operator, and every mistake there is to make.

use offerd::control::catalog::read_toml;

#[test]
fn the_demo_has_no_mistakes() {
    let demo = read_toml(include_str!("../../catalog/demo.toml"));
    if let Err(mistakes) = demo {
        panic!("{mistakes}");
    }
}
