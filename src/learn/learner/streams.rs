//! The records of all nodes, from their Redis Streams, in one order.
//!
//! Every record's id is its place in its node's journal, `MS-SEQ`, so the streams are merged by id and then by name: the same
//! streams give the same order. A node that was cut off from Redis ships late, and what is older than what was heard
//! already is heard when it comes, counted as `out_of_order`; a rebuild would hear it where it belongs. So records are taken only
//! once they are `settle_ms` old.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use redis::{Commands, Connection, RedisError};

use super::told::Told;
use super::{Learner, Learnt};
use crate::domain::record::read;
use crate::domain::{DecisionId, Entry, EntryKind, Shown};
use crate::journal::Position;

/// Redis is given so long to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Records of a stream that are asked for at a time.
const PAGE: usize = 500;
/// The set of every node's streams.
const STREAMS: &str = "offerd:streams";
/// The posterior that all nodes decide with.
const POSTERIOR: &str = "offerd:posterior";
/// Its edition, which is asked for more often.
const VERSION: &str = "offerd:posterior:version";

/// A connection to the Redis that nodes ship to.
pub struct Fleet {
    connection: Connection,
}

/// A record on its way to the learner.
struct Waiting {
    position: Position,
    fields: Vec<(String, String)>,
}

type Page = Vec<(String, Vec<(String, String)>)>;

impl Fleet {
    /// Connects.
    ///
    /// # Errors
    /// When the URL is none or nobody answers.
    pub fn connect(url: &str) -> Result<Fleet, RedisError> {
        let client = redis::Client::open(url)?;
        let connection = client.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        Ok(Fleet { connection })
    }

    /// Has the learner hear every record that stands behind what it has heard, up to `until` milliseconds since the Unix
    /// epoch and, where `ends` names a stream, up to its position there. Returns how many there were.
    ///
    /// # Errors
    /// When Redis does not answer. Asking again goes on from there.
    pub fn hear(
        &mut self,
        learner: &mut Learner,
        until: i64,
        ends: Option<&BTreeMap<String, Position>>,
        mut heard: impl FnMut(&Learner),
    ) -> Result<u64, RedisError> {
        let mut names: Vec<String> = self.connection.smembers(STREAMS)?;
        names.retain(|name| !name.contains(":test:"));
        names.sort();
        let mut heads = Vec::new();
        for name in names {
            let after = learner.position(&name);
            heads.push(self.page(&name, after).map(|page| (name, page))?);
        }
        let mut count = 0;
        // The oldest of all heads, and of equals the first by name.
        while let Some(next) = (0..heads.len())
            .filter_map(|i| Some((heads[i].1.front()?.position.ms, i)))
            .min()
        {
            let (name, page) = &mut heads[next.1];
            let Some(waiting) = page.pop_front() else {
                break;
            };
            let end = ends.map(|ends| ends.get(name).copied().unwrap_or_default());
            if waiting.position.ms > until || end.is_some_and(|end| waiting.position > end) {
                page.clear();
                continue;
            }
            let position = waiting.position;
            learner.hear(name, position, &entry(waiting.fields));
            count += 1;
            heard(learner);
            if page.is_empty() {
                let name = name.clone();
                heads[next.1].1 = self.page(&name, position)?;
            }
        }
        Ok(count)
    }

    fn page(&mut self, name: &str, after: Position) -> Result<VecDeque<Waiting>, RedisError> {
        let page: Page = redis::cmd("XRANGE")
            .arg(name)
            .arg(format!("({after}"))
            .arg("+")
            .arg("COUNT")
            .arg(PAGE)
            .query(&mut self.connection)?;
        let waiting = |(id, fields): (String, Vec<(String, String)>)| {
            let (ms, seq) = id.split_once('-')?;
            let position = Position {
                ms: ms.parse().ok()?,
                seq: seq.parse().ok()?,
            };
            Some(Waiting { position, fields })
        };
        Ok(page.into_iter().filter_map(waiting).collect())
    }

    /// Tells every node what to believe.
    ///
    /// # Errors
    /// When Redis does not take it.
    pub fn publish(&mut self, learnt: &Learnt) -> Result<(), RedisError> {
        let bytes = postcard::to_stdvec(learnt).map_err(|e| failed(&e))?;
        redis::pipe()
            .atomic()
            .set(POSTERIOR, bytes)
            .ignore()
            .set(VERSION, learnt.edition)
            .ignore()
            .query(&mut self.connection)
    }

    /// What to believe, unless it is of the edition that is known already.
    ///
    /// # Errors
    /// When Redis does not answer, or holds what another release published.
    pub fn published(&mut self, known: Option<u64>) -> Result<Option<Learnt>, RedisError> {
        let version: Option<u64> = self.connection.get(VERSION)?;
        if version.is_none() || version == known {
            return Ok(None);
        }
        let bytes: Vec<u8> = self.connection.get(POSTERIOR)?;
        postcard::from_bytes(&bytes)
            .map(Some)
            .map_err(|e| failed(&e))
    }
}

fn failed(error: &postcard::Error) -> RedisError {
    let text = format!("{POSTERIOR}: {error}");
    RedisError::from((redis::ErrorKind::Parse, "not a posterior", text))
}

/// What the journal's entry would tell the learner.
fn entry(fields: Vec<(String, String)>) -> Entry {
    let mut entry = Entry::empty();
    entry.kind = u8::MAX;
    for (name, value) in fields {
        match &*name {
            "type" => {
                let kind = value.parse::<EntryKind>();
                entry.kind = kind.map_or(u8::MAX, |kind| kind as u8);
            }
            "at" => {
                let at = value.parse::<jiff::Timestamp>();
                entry.at = at.map_or(0, jiff::Timestamp::as_millisecond);
            }
            "decision" => entry.decision = value.parse::<DecisionId>().ok().map(|d| d.0),
            "json" => entry.record = value.into(),
            _ => {}
        }
    }
    if entry.kind() == Some(EntryKind::Decision) {
        let record = read::<Told<'_>>(&entry.record);
        let shown = record.map_or(0, |r| r.placements.iter().map(|p| p.slate.len()).sum());
        let one = Shown {
            offer: 0,
            sells: false,
        };
        entry.shown = vec![one; shown];
    }
    entry
}
