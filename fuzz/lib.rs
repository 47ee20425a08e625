//! What every reader's target does: load, and where that works, score.

use offerd::model::load_unproven;

/// Three features, which is enough for any structure to be wrong in.
fn manifest(format: &str) -> String {
    format!(
        r#"{{ "name": "m", "version": "1", "format": "{format}", "target": "conversion", "features": [
        {{ "name": "a", "kind": "number", "source": "customer" }},
        {{ "name": "b", "kind": "category", "source": "customer", "categories": ["x", "y", "z"] }},
        {{ "name": "c", "kind": "number", "source": "customer" }} ] }}"#
    )
}

/// Loads the bytes as a model of a format. One that loads must score any row without a panic.
pub fn load_and_score(format: &str, artifact: &[u8]) {
    let Ok(model) = load_unproven(&manifest(format), artifact) else {
        return;
    };
    for number in [None, Some(0.0), Some(-1.5), Some(f64::MAX), Some(f64::INFINITY)] {
        for category in [None, Some(0.0), Some(2.0), Some(1e300)] {
            let (_, probability) = model.score_row(&[number, category, number]);
            assert!(probability.is_nan() || (0.0..=1.0).contains(&probability));
        }
    }
}
