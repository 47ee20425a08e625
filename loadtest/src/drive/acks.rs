//! What the server acknowledged, one JSON object a line, for another program to compare with what
//! the journal and the streams hold.
//!
//! A line is written as soon as the answer is in: whoever reads along sees how far the drive is.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use serde::Serialize;

use crate::visit::message::Instant;

/// One acknowledged record.
#[derive(Debug, Serialize)]
pub struct Ack<'a> {
    /// `decision`, or the event's type.
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub id: &'a str,
    /// The decision that an offer event is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<&'a str>,
    /// Position of the customer in the file, from 0.
    pub visit: usize,
    /// When the answer was in.
    pub at_ms: u64,
    /// The server said that this decision is not on record.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unlogged: bool,
}

/// The file, or nothing.
#[derive(Debug, Default)]
pub struct Acks(Option<Mutex<File>>);

impl Acks {
    pub fn create(path: Option<&Path>) -> anyhow::Result<Acks> {
        let Some(path) = path else {
            return Ok(Acks(None));
        };
        let file = File::create(path);
        let file = file.with_context(|| format!("failed to create {}", path.display()))?;
        Ok(Acks(Some(Mutex::new(file))))
    }

    /// Writes all of them at once: a few hundred bytes into the page cache.
    pub fn write<'a>(&self, acks: impl IntoIterator<Item = Ack<'a>>) -> anyhow::Result<()> {
        let Some(file) = &self.0 else {
            return Ok(());
        };
        let mut lines = Vec::new();
        for ack in acks {
            serde_json::to_writer(&mut lines, &ack)?;
            lines.push(b'\n');
        }
        let mut file = file.lock().expect("nobody panics while writing");
        file.write_all(&lines)
            .context("failed to write the acknowledgements")
    }
}

impl<'a> Ack<'a> {
    pub fn new(kind: &'a str, id: &'a str, visit: usize) -> Ack<'a> {
        Ack {
            kind,
            id,
            decision: None,
            visit,
            at_ms: Instant::now().0,
            unlogged: false,
        }
    }
}
