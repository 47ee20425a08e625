//! Everyone equally: what judges any other policy best, and earns least.

pub(super) fn fill(odds: &mut [f64]) {
    let each = 1.0 / odds.len() as f64;
    odds.fill(each);
}
