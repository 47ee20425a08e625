//! Which offers may compete at all: phase, flight, daypart, channel, triggers, and the `when` condition.
//!
//! The stages look in a fixed order and the first that objects gives the reason. Cheap ones come
//! first, the condition last.

use super::inputs::View;
use super::scratch::{Runner, Scratch};
use super::snapshot::{Creative, Daypart, LiveModel, Offer, Placement, Snapshot};
use crate::domain::{Candidate, Channel, CreativeIx, Exclusion, Request, Verdict};

/// Lists every offer of the placement as a candidate, and those that may compete as runners.
pub(super) fn select(
    snapshot: &Snapshot,
    model: &LiveModel,
    placement: &Placement,
    request: &Request<'_>,
    scratch: &mut Scratch,
) {
    scratch.running.clear();
    let Scratch {
        decision,
        running,
        slots,
        clock,
        ..
    } = scratch;
    let view = View::new(request, &model.vocabulary, slots, &placement.id, *clock);
    let placed = placed(placement, request);
    for &ix in &placement.offers {
        let offer = snapshot.catalog.offer(ix);
        let default_locale = &snapshot.catalog.default_locale;
        let objection = placed.or_else(|| objection(offer, default_locale, request, &view, *clock));
        let candidate = u32::try_from(decision.candidates.len()).expect("indexed by u32");
        let verdict = match objection {
            Some(reason) => Verdict::Excluded(reason),
            None => {
                running.push(Runner {
                    candidate,
                    probability: 0.0,
                    score: 0.0,
                    spread: 0.0,
                    out: false,
                });
                Verdict::Eligible {
                    base: 0.0,
                    probability: 0.0,
                    spread: 0.0,
                    score: 0.0,
                    odds: 0.0,
                }
            }
        };
        decision.candidates.push(Candidate { offer: ix, verdict });
    }
}

/// Why nothing at all is shown at this placement now.
fn placed(placement: &Placement, request: &Request<'_>) -> Option<Exclusion> {
    if !placement.phases.has_phase(request.appointment.phase) {
        Some(Exclusion::PhaseMismatch)
    } else if !placement.channels.has_channel(request.channel) {
        Some(Exclusion::ChannelUnsupported)
    } else {
        None
    }
}

/// Why this offer may not compete for this request.
fn objection(
    offer: &Offer,
    default_locale: &str,
    request: &Request<'_>,
    view: &View<'_>,
    clock: super::inputs::Clock,
) -> Option<Exclusion> {
    let phase = request.appointment.phase;
    let (from, until) = offer.flight;
    if offer.valid_while.is_some_and(|last| phase > last) {
        return Some(Exclusion::Ended);
    }
    if !offer.phases.has_phase(phase) {
        return Some(Exclusion::PhaseMismatch);
    }
    if from.is_some_and(|from| request.at < from) {
        return Some(Exclusion::NotStarted);
    }
    if until.is_some_and(|until| request.at >= until) {
        return Some(Exclusion::Ended);
    }
    if offer
        .daypart
        .is_some_and(|d| !d.covers(clock.weekday, clock.minute))
    {
        return Some(Exclusion::OutsideDaypart);
    }
    if !has_creative(offer, request.channel, request.locale, default_locale) {
        return Some(Exclusion::ChannelUnsupported);
    }
    if !triggered(offer, request) {
        return Some(Exclusion::TriggerMissing);
    }
    if offer.personal && !request.customer.consent.personalization {
        return Some(Exclusion::NoConsent);
    }
    if offer.when.as_ref().is_some_and(|when| !when.holds(view)) {
        return Some(Exclusion::RuleNotMet);
    }
    if request
        .customer
        .products
        .iter()
        .any(|product| offer.owned.iter().any(|o| **o == **product))
    {
        return Some(Exclusion::AlreadyOwned);
    }
    None
}

/// Whether everything the offer waits for has happened.
fn triggered(offer: &Offer, request: &Request<'_>) -> bool {
    offer.triggers.iter().all(|rule| {
        request.trigger(&rule.name).is_some_and(|trigger| {
            trigger.count >= rule.count_min
                && rule.age_ms_max.is_none_or(|max| trigger.age_ms <= max)
        })
    })
}

impl Daypart {
    /// Whether the part covers a minute of a weekday (1 is Monday). A part that passes midnight
    /// belongs to the day on which it begins.
    fn covers(self, weekday: u8, minute: u16) -> bool {
        let on = |day: u8| self.weekdays >> (day - 1) & 1 == 1;
        let before = if weekday == 1 { 7 } else { weekday - 1 };
        if self.from_minute < self.until_minute {
            on(weekday) && (self.from_minute..self.until_minute).contains(&minute)
        } else {
            on(weekday) && minute >= self.from_minute || on(before) && minute < self.until_minute
        }
    }
}

/// Whether there is any creative that [`creative_for`] would take: asked of every offer, answered with
/// the first that will do.
fn has_creative(
    offer: &Offer,
    channel: Channel,
    locale: Option<&str>,
    default_locale: &str,
) -> bool {
    offer.creatives.iter().any(|creative| {
        let Some(tag) = creative.locale.as_deref() else {
            return creative.channels.has_channel(channel);
        };
        creative.channels.has_channel(channel)
            && (locale.is_some_and(|locale| same_language(tag, locale))
                || same_language(tag, default_locale))
    })
}

/// The offer's creative for a channel and locale: the exact locale, else its language, else the
/// catalog's default locale or its language, else one that fits any.
#[must_use]
pub fn creative_for(
    offer: &Offer,
    channel: Channel,
    locale: Option<&str>,
    default_locale: &str,
) -> Option<CreativeIx> {
    let rank = |creative: &Creative| {
        let wanted = locale.map_or(0, |l| closeness(creative.locale.as_deref(), l));
        let fallback = closeness(creative.locale.as_deref(), default_locale);
        let any = u8::from(creative.locale.is_none());
        (wanted, fallback, any)
    };
    let mut best: Option<(usize, (u8, u8, u8))> = None;
    for (i, creative) in offer.creatives.iter().enumerate() {
        let rank = rank(creative);
        let usable = creative.channels.has_channel(channel) && rank != (0, 0, 0);
        if usable && best.is_none_or(|(_, top)| rank > top) {
            best = Some((i, rank));
        }
    }
    best.map(|(i, _)| CreativeIx(u16::try_from(i).expect("a catalog limit")))
}

fn language(tag: &str) -> &[u8] {
    let tag = tag.as_bytes();
    let end = tag.iter().position(|b| matches!(b, b'-' | b'_'));
    &tag[..end.unwrap_or(tag.len())]
}

fn same_language(a: &str, b: &str) -> bool {
    language(a).eq_ignore_ascii_case(language(b))
}

/// 3 for the same tag, 2 for a creative of the tag's language, 1 for another region of it, 0 else.
fn closeness(creative: Option<&str>, wanted: &str) -> u8 {
    let Some(creative) = creative else { return 0 };
    if creative.eq_ignore_ascii_case(wanted) {
        3
    } else if !same_language(creative, wanted) {
        0
    } else if language(creative).len() == creative.len() {
        2
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(weekdays: u8, from: u16, until: u16, at: (u8, u16), expected: bool) {
        let part = Daypart {
            weekdays,
            from_minute: from,
            until_minute: until,
        };
        assert_eq!(part.covers(at.0, at.1), expected, "{part:?} at {at:?}");
    }

    #[test]
    fn dayparts_may_pass_midnight() {
        const MONDAY: u8 = 1;
        const SUNDAY: u8 = 1 << 6;
        check(MONDAY, 540, 1020, (1, 540), true);
        check(MONDAY, 540, 1020, (1, 1020), false);
        check(MONDAY, 540, 1020, (2, 600), false);
        check(MONDAY, 1320, 120, (1, 1330), true);
        check(MONDAY, 1320, 120, (2, 119), true);
        check(MONDAY, 1320, 120, (2, 120), false);
        check(MONDAY, 1320, 120, (1, 60), false);
        check(SUNDAY, 1320, 120, (1, 60), true);
        check(MONDAY, 0, 0, (1, 700), true);
    }

    #[test]
    fn the_closest_locale_wins() {
        for (creative, wanted, expected) in [
            (Some("es-US"), "es-US", 3),
            (Some("ES-us"), "es-US", 3),
            (Some("es"), "es-US", 2),
            (Some("es-MX"), "es-US", 1),
            (Some("es-MX"), "es", 1),
            (Some("en"), "es", 0),
            (None, "es", 0),
        ] {
            assert_eq!(
                closeness(creative, wanted),
                expected,
                "{creative:?} for {wanted}"
            );
        }
    }
}
