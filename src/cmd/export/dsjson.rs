//! Choices as Vowpal Wabbit reads them (`--dsjson --cb_explore_adf`): the form of its decision service.
//!
//! Costs are negative rewards. Actions are numbered from 1 in the order of `_multi`; `a` and `p` begin with the
//! one that was chosen. Vowpal Wabbit gives names that begin with an underscore a meaning of their own, so
//! features so named are left out.

use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Error;
use super::choices::{Choice, each};

/// Writes a line for each choice.
pub(super) fn write(data: &Path, out: &mut impl Write) -> Result<(), Error> {
    each(data, &mut |choice| {
        writeln!(out, "{}", line(choice))?;
        Ok(())
    })
}

fn line(choice: &Choice<'_>) -> Value {
    let record = choice.record;
    // The chosen one first, the others in their order.
    let others = (0..choice.rivals.len()).filter(|i| *i != choice.chosen);
    let order: Vec<usize> = std::iter::once(choice.chosen).chain(others).collect();
    let odds = |i: &usize| match *i == choice.chosen {
        true => choice.propensity,
        false => choice.rivals[*i].odds.unwrap_or(0.0),
    };
    let cost = if choice.reward == 0.0 {
        0.0
    } else {
        -choice.reward
    };
    let event = format!("{}-{}", record.id, choice.slot);
    json!({
        "_label_cost": cost,
        "_label_probability": choice.propensity,
        "_label_Action": choice.chosen + 1,
        "_labelIndex": choice.chosen,
        "o": [{ "v": choice.reward, "EventId": event }],
        "Timestamp": record.at,
        "Version": "1",
        "EventId": event,
        "a": order.iter().map(|i| i + 1).collect::<Vec<_>>(),
        "c": context(choice),
        "p": order.iter().map(odds).collect::<Vec<_>>(),
        "VWState": { "m": record.model },
    })
}

/// What all candidates share, and the candidates.
fn context(choice: &Choice<'_>) -> Value {
    let request = &choice.record.request;
    let mut visit = Map::new();
    visit.insert("phase".into(), json!(request.phase));
    visit.insert("placement".into(), json!(choice.placement.id));
    visit.insert("channel".into(), json!(request.channel));
    let texts = [("device", &request.device), ("job_type", &request.job_type)];
    for (name, text) in texts {
        if let Some(text) = text {
            visit.insert(name.into(), json!(text));
        }
    }
    // In hours, since a learner's steps suit numbers near 1.
    let hours = [
        ("eta_hours", request.eta_seconds.map(f64::from)),
        ("delay_hours", request.delay_seconds.map(f64::from)),
    ];
    for (name, seconds) in hours {
        if let Some(seconds) = seconds {
            visit.insert(name.into(), json!(seconds / 3_600.0));
        }
    }
    let plain = |name: &str| !name.starts_with('_');
    let customer: Map<String, Value> = (request.features.iter())
        .filter(|(name, _)| plain(name))
        .map(|(name, value)| (name.to_string(), json!(value)))
        .collect();
    let triggers: Map<String, Value> = (request.triggers.iter())
        .filter(|(name, ..)| plain(name))
        .map(|(name, count, _)| (name.to_string(), json!(count)))
        .collect();
    let actions: Vec<Value> = (choice.rivals.iter())
        .map(|c| json!({ "offer": { "id": c.offer } }))
        .collect();
    json!({ "visit": visit, "customer": customer, "trigger": triggers, "_multi": actions })
}
