//! Which offers may compete at all: phase, flight, daypart, channel, triggers, and the `when` condition.
//!
//! The stages look in a fixed order and the first that objects gives the reason. Cheap ones come
//! first, the condition last. An offer that is not for now costs its row in [`Gates`] and an entry in
//! the list of candidates, and is not looked at itself.

use super::gate::Gate;
#[cfg(doc)]
use super::gate::Gates;
use super::inputs::{Clock, View};
use super::scratch::{Runner, Scratch};
use super::snapshot::{Catalog, Creative, Daypart, LiveModel, Offer, Placement, Snapshot};
use crate::domain::{
    Candidate, Channel, CreativeIx, Exclusion, OfferClass, OfferIx, Request, Tier, Verdict,
};

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
        rules,
        ..
    } = scratch;
    let listed = &mut decision.candidates;
    if let Some(reason) = placed(placement, request) {
        let verdict = Verdict::Excluded(reason);
        listed.extend((placement.offers.iter()).map(|&offer| Candidate { offer, verdict }));
        return;
    }
    let catalog = &*snapshot.catalog;
    rules.clear();
    rules.resize(catalog.gates.rules.len(), None);
    let mut asking = Asking {
        catalog,
        request,
        view: View::new(request, &model.vocabulary, slots, &placement.id, *clock),
        clock: *clock,
        rules,
    };
    listed.reserve(placement.offers.len());
    for &offer in &placement.offers {
        // Two pushes, so that one that is out is written in place and not copied, 48 bytes, from the stack.
        if let Some(reason) = asking.objection(offer) {
            let verdict = Verdict::Excluded(reason);
            listed.push(Candidate { offer, verdict });
            continue;
        }
        running.push(Runner {
            candidate: u32::try_from(listed.len()).expect("offers are indexed by u32"),
            probability: 0.0,
            score: 0.0,
            spread: 0.0,
            labels: 0,
            tier: Tier::House,
            class: OfferClass::Content,
            out: false,
        });
        let verdict = Verdict::Eligible {
            base: 0.0,
            probability: 0.0,
            spread: 0.0,
            score: 0.0,
            odds: 0.0,
        };
        listed.push(Candidate { offer, verdict });
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

/// What every offer of a placement is held against.
struct Asking<'a> {
    catalog: &'a Catalog,
    request: &'a Request<'a>,
    view: View<'a>,
    clock: Clock,
    /// Whether each rule holds, as far as it was asked.
    rules: &'a mut [Option<bool>],
}

impl Asking<'_> {
    /// Why this offer may not compete for this request.
    #[inline]
    fn objection(&mut self, ix: OfferIx) -> Option<Exclusion> {
        let gate = &self.catalog.gates.rows[ix.0 as usize];
        let (phase, now) = (self.request.appointment.phase, self.request.at);
        if !gate.is_for_now(phase, now) {
            Some(gate.early_objection(phase, now))
        } else if gate.is_open(self.request.channel) {
            None
        } else {
            self.late_objection(gate, ix)
        }
    }

    /// The same for an offer that is for this phase and runs, and of which there is more to ask. Never inlined: what
    /// most offers of a large catalog come to is the few instructions before it.
    #[inline(never)]
    fn late_objection(&mut self, gate: &Gate, ix: OfferIx) -> Option<Exclusion> {
        let (catalog, request, clock) = (self.catalog, self.request, self.clock);
        let offer = || catalog.offer(ix);
        let covers = |part: Daypart| part.covers(clock.weekday, clock.minute);
        if gate.more.hours && !offer().daypart.is_none_or(covers) {
            return Some(Exclusion::OutsideDaypart);
        }
        let channel = request.channel;
        let foreign = || gate.foreign.has_channel(channel) && speaks(offer(), request);
        if !gate.words.has_channel(channel) && !foreign() {
            return Some(Exclusion::ChannelUnsupported);
        }
        if gate.more.triggers && !triggered(offer(), request) {
            return Some(Exclusion::TriggerMissing);
        }
        if gate.more.personal && !request.customer.consent.personalization {
            return Some(Exclusion::NoConsent);
        }
        if gate.rule().is_some_and(|rule| !self.holds(rule)) {
            return Some(Exclusion::RuleNotMet);
        }
        let owns = |offer: &Offer| {
            let products = &mut request.customer.products.iter();
            products.any(|product| offer.owned.iter().any(|o| **o == **product))
        };
        (gate.more.owned && owns(offer())).then_some(Exclusion::AlreadyOwned)
    }

    /// Whether the customer and the visit are as the rule says; asked once.
    fn holds(&mut self, rule: usize) -> bool {
        let (catalog, view) = (self.catalog, &self.view);
        *self.rules[rule].get_or_insert_with(|| {
            let offer = catalog.offer(catalog.gates.rules[rule]);
            offer.when.as_ref().is_none_or(|when| when.holds(view))
        })
    }
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

/// Whether the offer has words on the request's channel in the language of its locale.
fn speaks(offer: &Offer, request: &Request<'_>) -> bool {
    request.locale.is_some_and(|locale| {
        (offer.creatives.iter())
            .filter(|creative| creative.channels.has_channel(request.channel))
            .any(|creative| {
                (creative.locale.as_deref()).is_some_and(|tag| same_language(tag, locale))
            })
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

/// Whether two tags are of one language, such as `en-US` and `en`.
pub(super) fn same_language(a: &str, b: &str) -> bool {
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
    use crate::domain::{
        Appointment, Care, Consent, Customer, DecisionId, Effort, Millis, Phase, Trigger,
    };

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

    /// Offers that differ in everything that is looked at here.
    fn catalog() -> std::sync::Arc<Catalog> {
        let parts: [&[&str]; 6] = [
            &[
                "",
                "phases = [\"en_route\", \"on_site\"]",
                "valid_while = \"en_route\"",
            ],
            &["", "flight = { start = 2025-11-20, end = 2025-11-22 }"],
            &["", "daypart = { from = \"09:00\", until = \"12:00\" }"],
            &["", "triggers = [{ name = \"map_viewed\", count_min = 2 }]"],
            &[
                "",
                "when = { reschedules = { \"$lt\" = 2 } }",
                "when = { job_type = { \"$regex\" = \"INST\" } }",
                "when = { job_type = { \"$regexi\" = \"INST\" } }",
                "when = { segments = \"new_mover\" }\nowned = [\"sports\"]",
            ],
            &[
                "",
                "locale = \"en\"",
                "channels = [\"web\"]",
                "locale = \"en\"\n[[offer.creatives]]\ntitle = \"t\"\nlocale = \"es-US\"",
            ],
        ];
        let mut text = String::from(
            "[operator]\ncurrency = \"USD\"\ntime_zone = \"UTC\"\n[[placement]]\nid = \"p\"\n",
        );
        for i in 0..parts.iter().map(|lines| lines.len()).product() {
            let mut rest = i;
            let [rules @ .., words] = parts.map(|lines| {
                let line = lines[rest % lines.len()];
                rest /= lines.len();
                line
            });
            text += &format!(
                "[[offer]]\nid = \"o{i}\"\nclass = \"service\"\nvalue_minor = 1\n{}\n\
                 [[offer.creatives]]\ntitle = \"t\"\n{words}\n",
                rules.join("\n")
            );
        }
        crate::control::catalog::read(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    /// What keeps an offer out, read off the offer and nothing else.
    fn slowly(
        offer: &Offer,
        request: &Request<'_>,
        view: &View<'_>,
        clock: Clock,
    ) -> Option<Exclusion> {
        let (phase, (from, until)) = (request.appointment.phase, offer.flight);
        let speaks = |creative: &Creative| {
            let tongue = |wanted: &str| {
                creative
                    .locale
                    .as_deref()
                    .is_none_or(|tag| same_language(tag, wanted))
            };
            creative.channels.has_channel(request.channel)
                && (request.locale.is_some_and(tongue) || tongue("en"))
        };
        let owns = |product: &&str| offer.owned.iter().any(|owned| **owned == **product);
        [
            (
                offer.valid_while.is_some_and(|last| phase > last),
                Exclusion::Ended,
            ),
            (!offer.phases.has_phase(phase), Exclusion::PhaseMismatch),
            (
                from.is_some_and(|from| request.at < from),
                Exclusion::NotStarted,
            ),
            (
                until.is_some_and(|until| request.at >= until),
                Exclusion::Ended,
            ),
            (
                !offer
                    .daypart
                    .is_none_or(|part| part.covers(clock.weekday, clock.minute)),
                Exclusion::OutsideDaypart,
            ),
            (
                !offer.creatives.iter().any(speaks),
                Exclusion::ChannelUnsupported,
            ),
            (!triggered(offer, request), Exclusion::TriggerMissing),
            (
                offer.personal && !request.customer.consent.personalization,
                Exclusion::NoConsent,
            ),
            (
                !offer.when.as_ref().is_none_or(|when| when.holds(view)),
                Exclusion::RuleNotMet,
            ),
            (
                request.customer.products.iter().any(owns),
                Exclusion::AlreadyOwned,
            ),
        ]
        .into_iter()
        .find_map(|(objects, reason)| objects.then_some(reason))
    }

    /// A request of which every tenth digit of `variant` is something that offers look at.
    fn request(variant: usize) -> Request<'static> {
        let digit = |place: u32, of: usize| variant / 10_usize.pow(place) % 10 % of;
        const HOUR_MS: i64 = 3_600_000;
        let seen = digit(5, 3) as u32;
        Request {
            decision: DecisionId(1),
            // Midnights and mornings around the beginning and the end of the flight.
            at: Millis(1_763_596_800_000 + [-1, 0, 10, 48, 58][digit(6, 5)] * HOUR_MS),
            request_id: None,
            channel: [Channel::Web, Channel::Sms][digit(3, 2)],
            locale: [None, Some("es-MX"), Some("de")][digit(4, 3)],
            device: None,
            test: false,
            effort: Effort::Full,
            appointment: Appointment {
                id: None,
                phase: Phase::ALL[digit(0, 7)],
                job_type: [Some("install"), Some("INST"), None][digit(2, 3)],
                window_start: None,
                window_end: None,
                eta_seconds: None,
                delay_seconds: None,
                reschedules: 3 * digit(1, 2) as u32,
                technician: None,
            },
            customer: Customer {
                subject: None,
                features: Vec::new(),
                segments: vec!["new_mover"],
                products: [vec![], vec!["sports"]][digit(7, 2)].clone(),
                consent: Consent {
                    personalization: digit(1, 3) > 0,
                    marketing: true,
                    measurement: true,
                },
                care: Care::default(),
            },
            triggers: vec![Trigger {
                name: "map_viewed",
                count: seen,
                age_ms: 0,
            }],
            placements: Vec::new(),
        }
    }

    #[test]
    fn gates_object_as_the_offers_do() {
        let catalog = catalog();
        assert!(catalog.gates.rules.len() == 4, "{:?}", catalog.gates.rules);
        let mut seen = std::collections::BTreeSet::new();
        // A step that has no factor in common with ten, so that all digits take turns.
        for variant in (0..100_000_000).step_by(99_991) {
            let request = request(variant);
            let clock = Clock::at(request.at, &catalog.time_zone);
            let view = || View::new(&request, &catalog.vocabulary, &[], "p", clock);
            let mut rules = vec![None; catalog.gates.rules.len()];
            let mut asking = Asking {
                catalog: &catalog,
                request: &request,
                view: view(),
                clock,
                rules: &mut rules,
            };
            for (ix, offer) in (0..).map(OfferIx).zip(&catalog.offers) {
                let expected = slowly(offer, &request, &view(), clock);
                assert_eq!(
                    asking.objection(ix),
                    expected,
                    "{} of {request:?}",
                    offer.id
                );
                seen.insert(expected);
            }
        }
        assert_eq!(seen.len(), 10, "not every reason was met: {seen:?}");
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
