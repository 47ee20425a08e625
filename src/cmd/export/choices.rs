//! The journal as choices: one for each slate's first offer, with what became of it.
//!
//! A log is read twice: what happened first, then what was decided.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::Error;
use crate::cmd::csv::quoted;
use crate::decide::record::{CandidateRecord, DecisionRecord, PlacementRecord};
use crate::domain::record::read;
use crate::domain::{DecisionId, EntryKind, Record};
use crate::journal::read_folder;
use crate::learn::ope::Happenings;

/// One choice that may teach.
pub(super) struct Choice<'a> {
    pub record: &'a DecisionRecord<'a>,
    pub placement: &'a PlacementRecord<'a>,
    /// The place of the placement in the request.
    pub slot: usize,
    /// Those that competed for the first rank, in the record's order.
    pub rivals: Vec<&'a CandidateRecord<'a>>,
    /// Which of them was chosen.
    pub chosen: usize,
    /// The probability with which it was.
    pub propensity: f64,
    /// 1 where it converted and was not reversed.
    pub reward: f64,
}

/// Tells of every choice, in the journal's order.
pub(super) fn each(
    data: &Path,
    visit: &mut dyn FnMut(&Choice<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let journal = data.join("journal");
    let mut happened = Happenings::default();
    read_folder(&journal, &mut |_, entry| {
        if let Some(EntryKind::Conversion | EntryKind::Reversal) = entry.kind() {
            happened.hear(&entry.record);
        }
    })?;
    let mut done = Ok(());
    read_folder(&journal, &mut |_, entry| {
        if entry.kind() == Some(EntryKind::Decision) && !entry.test && done.is_ok() {
            done = choices(&entry.record, &happened, visit);
        }
    })?;
    done
}

fn choices(
    record: &Record,
    happened: &Happenings,
    visit: &mut dyn FnMut(&Choice<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    // What is not of this form, or of a newer one, cannot be told.
    let Ok(record) = read::<DecisionRecord<'_>>(record) else {
        return Ok(());
    };
    let id = record.id.parse::<DecisionId>();
    let (false, true, Ok(id)) = (record.is_cut_short(), record.measured, id) else {
        return Ok(());
    };
    for (slot, placement) in record.placements.iter().enumerate() {
        let Some(first) = placement.slate.first() else {
            continue;
        };
        let rivals = rivals(placement);
        let Some(chosen) = rivals.iter().position(|c| c.offer == first.offer) else {
            continue;
        };
        let place = u8::try_from(slot).expect("a request has at most 8 placements");
        visit(&Choice {
            record: &record,
            placement,
            slot,
            rivals,
            chosen,
            propensity: first.propensity,
            reward: f64::from(u8::from(happened.converted(id, place, first.rank))),
        })?;
    }
    Ok(())
}

/// Those with odds at the first rank. Where a later rank opened another tier, its odds are on record too, and a
/// record does not tell tiers apart: nobody is named then, and the choice is left out.
fn rivals<'a>(placement: &'a PlacementRecord<'a>) -> Vec<&'a CandidateRecord<'a>> {
    let with_odds = placement
        .candidates
        .iter()
        .filter(|c| c.odds.is_some_and(|p| p > 0.0));
    let all: Vec<&CandidateRecord<'_>> = with_odds.collect();
    let sum: f64 = all.iter().filter_map(|c| c.odds).sum();
    if sum < 1.0 + 1e-9 { all } else { Vec::new() }
}

/// Writes the choices as a table: `decision_id, at, phase, placement, offer, action, position, reward, pscore, pi_e`.
///
/// Actions number the offers by name. `pi_e` is the odds of the policy that shows the best of those that
/// competed, by the scores on record: what exploring cost.
pub(super) fn write_csv(data: &Path, out: &mut impl Write) -> Result<(), Error> {
    let mut actions: BTreeMap<String, usize> = BTreeMap::new();
    let mut positions: BTreeMap<String, usize> = BTreeMap::new();
    each(data, &mut |choice| {
        for rival in &choice.rivals {
            actions.entry(rival.offer.to_string()).or_default();
        }
        positions
            .entry(choice.placement.id.to_string())
            .or_default();
        Ok(())
    })?;
    for names in [&mut actions, &mut positions] {
        names
            .values_mut()
            .enumerate()
            .for_each(|(i, number)| *number = i);
    }
    writeln!(
        out,
        "decision_id,at,phase,placement,offer,action,position,reward,pscore,pi_e"
    )?;
    each(data, &mut |choice| {
        let (record, offer) = (choice.record, &choice.rivals[choice.chosen].offer);
        let placement = &choice.placement.id;
        let score = |c: &CandidateRecord<'_>| c.score.unwrap_or(f64::MIN);
        let best = (0..choice.rivals.len()).reduce(|b, i| {
            if score(choice.rivals[i]) > score(choice.rivals[b]) {
                i
            } else {
                b
            }
        });
        writeln!(
            out,
            "{},{},{},{},{},{},{},{},{},{}",
            record.id,
            record.at,
            record.request.phase,
            quoted(placement),
            quoted(offer),
            actions[&**offer],
            positions[&**placement],
            choice.reward,
            choice.propensity,
            u8::from(best == Some(choice.chosen)),
        )?;
        Ok(())
    })
}
