//! Reading the journal for drift: references when a version gets its stage, and a sample every second.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::bins::Told;
use super::followed::{Drift, Drifted, Followed, REFERENCE_ROWS_MAX, Reference};
use crate::control::registry::health::Guardrails;
use crate::decide::inputs::{Clock, InputSource, look};
use crate::decide::record::DecisionRecord;
use crate::decide::snapshot::{Catalog, LiveModel, Snapshot};
use crate::domain::record::read;
use crate::domain::{Entry, EntryKind, Millis, Oddity, Record};
use crate::journal::{Journal, Position, Reader};

/// Records parsed a second for each version: what this costs, however many requests there are.
const ROWS_PER_ROUND: usize = 64;
/// Records read a second, of which only the envelope is looked at: thirty times as many as are parsed, as most
/// are of customers who are known already.
const READ_PER_ROUND: usize = 2_000;
/// Records passed over a second after that: more than one processor decides.
const PASSED_PER_ROUND: usize = 100_000;
const BATCH_ENTRIES: usize = 1_024;
const BATCH_BYTES: usize = 4 << 20;
/// Farther behind than this, in milliseconds, what is in between is passed over: drift is about now.
const BEHIND_MS_MAX: i64 = 60_000;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The stretches of the log that are references: how long before the version got its stage each begins, how long
/// it is, and whether it is the same hour of another day.
const REFERENCES: [(i64, i64, bool); 4] = [
    (HOUR_MS, HOUR_MS, false),
    // The hour in which it is watched, yesterday and a week ago.
    (DAY_MS, HOUR_MS, true),
    (7 * DAY_MS, HOUR_MS, true),
    // All hours of a day: what a version should be ready for once it is no longer new.
    (DAY_MS, DAY_MS, false),
];

/// A reference is read at so many places of its stretch, or it would be the first seconds of it.
const PLACES: i64 = 8;

/// The references of one version are read for at most so long; what was not reached is not one.
const REFERENCE_TIME_MAX: Duration = Duration::from_secs(5);

/// What drift there is, for every version in a stage.
#[derive(Default)]
pub struct Drifts {
    follower: Mutex<Follower>,
    found: ArcSwap<Vec<Found>>,
}

/// What was found for one version.
#[derive(Clone)]
struct Found {
    label: Box<str>,
    since: i64,
    drift: Drift,
    drifted: Option<Drifted>,
}

#[derive(Default)]
struct Follower {
    reader: Option<Reader>,
    versions: Vec<Followed>,
}

/// A version to follow.
#[derive(Clone)]
pub struct Wanted {
    /// As it is bound to the catalog now.
    pub model: Arc<LiveModel>,
    /// Since when it has had its stage; `None` where it has had it for longer than anybody remembers, and what
    /// is known of it stands.
    pub since: Option<Millis>,
    /// Since when, if nothing is known of it.
    pub else_since: Millis,
    /// It is told what all versions are asked, and decides nothing itself.
    pub alongside: bool,
}

impl Drifts {
    /// What is known of a version.
    #[must_use]
    pub fn of(&self, label: &str) -> Option<Drift> {
        let found = self.found.load();
        let found = found.iter().find(|f| *f.label == *label)?;
        Some(found.drift.clone())
    }

    /// The input for which a version is to be taken back that is new since then.
    #[must_use]
    pub fn drifted(&self, label: &str, since: Millis) -> Option<Drifted> {
        let found = self.found.load();
        let found = (found.iter()).find(|f| *f.label == *label && f.since == since.0)?;
        found.drifted.clone()
    }

    /// Looks at what came since the last time. Takes milliseconds, and seconds for a version that is new: to be
    /// called where nobody waits.
    ///
    /// # Errors
    /// When the journal cannot be read; what was found before stands.
    pub fn follow(
        &self,
        journal: &Journal,
        snapshot: &Snapshot,
        wanted: &[Wanted],
        rails: &Guardrails,
    ) -> io::Result<()> {
        // Whoever panicked left counts that are off by a request at most.
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        let catalog = &snapshot.catalog;
        follower.choose(journal, catalog, wanted, rails)?;
        follower.read(journal, catalog, wanted)?;
        let found = follower.versions.iter().map(|version| {
            let (drift, drifted) = version.judge(rails);
            Found {
                label: version.label.clone(),
                since: version.since,
                drift,
                drifted,
            }
        });
        self.found.store(Arc::new(found.collect()));
        Ok(())
    }
}

impl Follower {
    /// Follows those that are wanted, in their order, and nobody else.
    fn choose(
        &mut self,
        journal: &Journal,
        catalog: &Catalog,
        wanted: &[Wanted],
        rails: &Guardrails,
    ) -> io::Result<()> {
        let mut known = std::mem::take(&mut self.versions);
        for Wanted {
            model,
            since,
            else_since,
            ..
        } in wanted
        {
            let same = |f: &Followed| {
                *f.label == *model.label && since.is_none_or(|since| f.since == since.0)
            };
            let at = known.iter().position(same);
            let version = match at {
                Some(at) => known.swap_remove(at),
                None => {
                    let since = since.unwrap_or(*else_since);
                    let references = references(journal, catalog, model, since)?;
                    Followed::new(model, since.0, references, rails.drift_rows_min)
                }
            };
            self.versions.push(version);
        }
        Ok(())
    }

    fn read(&mut self, journal: &Journal, catalog: &Catalog, wanted: &[Wanted]) -> io::Result<()> {
        let newest = journal.committed();
        (self.reader).take_if(|reader| newest.ms - reader.position().ms > BEHIND_MS_MAX);
        let from = Position {
            ms: newest.ms.saturating_sub(BEHIND_MS_MAX / 2),
            seq: 0,
        };
        let reader = self.reader.get_or_insert_with(|| journal.reader(from));
        let mut left = vec![ROWS_PER_ROUND; wanted.len()];
        let mut read = 0;
        while read < READ_PER_ROUND {
            let batch = reader.next_batch(BATCH_ENTRIES, BATCH_BYTES)?;
            if batch.is_empty() {
                break;
            }
            read += batch.len();
            for (_, entry) in batch.iter().filter(|(_, e)| tells(e)) {
                let customer = customer(entry);
                let versions = self.versions.iter_mut().zip(wanted).zip(&mut left);
                for ((version, wanted), left) in versions {
                    let asked = wanted.alongside || entry.model.as_deref() == Some(&version.label);
                    let new = *left > 0 && entry.at >= version.since && !version.knows(customer);
                    if !asked || !new {
                        continue;
                    }
                    if let Some(row) = row(catalog, &wanted.model, &entry.record) {
                        *left -= 1;
                        version.add(customer, row);
                    }
                }
            }
        }
        // What comes next second is as good as the rest of this one.
        reader.pass_over(PASSED_PER_ROUND)?;
        Ok(())
    }
}

/// Whether an entry tells what a customer's request was.
fn tells(entry: &Entry) -> bool {
    entry.kind() == Some(EntryKind::Decision) && !entry.test
}

/// Who asked; a request without a customer counts for itself.
fn customer(entry: &Entry) -> u128 {
    entry.subject.or(entry.decision).unwrap_or(0)
}

/// What a recorded request told a model; `None` where it is not on record.
fn row(catalog: &Catalog, model: &LiveModel, record: &Record) -> Option<Vec<Told>> {
    let record: DecisionRecord<'_> = read(record).ok()?;
    let request = record.request().ok()?;
    let placement = request.placements.first()?.id;
    let told = look(
        &model.vocabulary,
        Clock::at(request.at, &catalog.time_zone),
        &request,
        placement,
        |view| {
            let told = model.inputs.iter().map(|input| match input.source {
                InputSource::Offer => Told::Missing,
                InputSource::Request(key) => {
                    match input.encode(view.attribute(model.vocabulary.attribute(key))) {
                        Ok(value) if value.is_finite() => Told::Value(value),
                        Err(Oddity::Unknown) => Told::Unheard,
                        Ok(_) | Err(Oddity::Missing | Oddity::Mistyped) => Told::Missing,
                    }
                }
            });
            told.collect()
        },
    );
    Some(told)
}

/// What was asked before a version got its stage.
fn references(
    journal: &Journal,
    catalog: &Catalog,
    model: &LiveModel,
    since: Millis,
) -> io::Result<Vec<Reference>> {
    let begun = Instant::now();
    let mut references = Vec::new();
    for (before, length, same_hour) in REFERENCES {
        let from = since.0.saturating_sub(before);
        let stretch = (from, (from + length).min(since.0));
        let rows = stretch_rows(journal, catalog, model, stretch, begun)?;
        references.push(Reference { rows, same_hour });
    }
    Ok(references)
}

/// Requests of different customers, from several places of a stretch of the log.
fn stretch_rows(
    journal: &Journal,
    catalog: &Catalog,
    model: &LiveModel,
    (from, until): (i64, i64),
    begun: Instant,
) -> io::Result<Vec<Vec<Told>>> {
    let (mut rows, mut seen) = (Vec::new(), HashSet::new());
    let mut read_to = i64::MIN;
    for place in 0..PLACES {
        let starts = |place: i64| from + (until - from) * place / PLACES;
        // Where there are few requests, all are read, each once.
        let start = starts(place).max(read_to);
        let enough = REFERENCE_ROWS_MAX * (place as usize + 1) / PLACES as usize;
        let mut reader = journal.reader(Position { ms: start, seq: 0 });
        'place: while rows.len() < enough && begun.elapsed() < REFERENCE_TIME_MAX {
            let batch = reader.next_batch(BATCH_ENTRIES, BATCH_BYTES)?;
            if batch.is_empty() {
                break;
            }
            for (position, entry) in batch {
                if rows.len() >= enough || position.ms >= starts(place + 1) {
                    break 'place;
                }
                read_to = position.ms;
                if tells(&entry) && seen.insert(customer(&entry)) {
                    rows.extend(row(catalog, model, &entry.record));
                }
            }
        }
    }
    Ok(rows)
}
