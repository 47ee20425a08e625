//! Off-policy evaluation: the numbers of others, and what the command says.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps what is not there fails, as it should"
)]

mod command;
mod obp;
mod own;

use std::path::PathBuf;

/// The Open Bandit sample and what `obp` makes of it; `None` where there is no shared folder.
fn shared(file: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("OFFERD_SHARED").map_or("../shared".into(), PathBuf::from);
    let path = shared.join("data").join("ope").join(file);
    if !path.exists() {
        eprintln!("skipped: there is no {}", path.display());
        return None;
    }
    Some(path)
}
