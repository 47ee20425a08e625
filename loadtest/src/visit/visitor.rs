//! The simulated visitor: who they are beyond the file, and what they do with what they see.
//!
//! The truth here is the simulator's own and is told to nobody: neither the server's model nor its
//! answers decide what a visitor likes, or the drive would only confirm what the server believes.

use super::customers::Customer;
use super::dice::Dice;
use super::message::{Care, Consent, Offer, Technician};

/// A customer with everything that the file does not tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Visitor<'a> {
    pub customer: &'a Customer,
    /// Position in the file, from 0.
    pub number: usize,
    pub appointment_id: String,
    pub locale: &'static str,
    pub device: &'static str,
    pub job_type: &'static str,
    pub technician: Technician,
    pub products: Vec<String>,
    pub segments: Vec<String>,
    /// Seconds behind the promise from the day of the visit on.
    pub delay_seconds: i32,
    pub reschedules: u32,
    pub care: Care,
    pub consent: Consent,
    /// The browser asks not to be profiled.
    pub gpc: bool,
    seed: u64,
}

/// What a visitor does with one offer. Each step is possible only after the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reaction {
    /// It was on the page, below what was looked at.
    NotSeen,
    Seen,
    Dismissed,
    Clicked,
    Ordered,
    Converted,
    /// Thought better of it before the end of the visit.
    Reversed,
}

impl<'a> Visitor<'a> {
    /// The visitor that `seed` makes of a customer.
    pub fn new(seed: u64, number: usize, customer: &'a Customer) -> Visitor<'a> {
        let mut dice = Dice::new(seed, &[&customer.id, "person"]);
        let gpc = dice.chance(0.05);
        let withheld = |yes: bool| yes.then_some(false);
        let consent = Consent {
            // The SDK says in the message what the browser says in the header.
            personalization: withheld(gpc || dice.chance(0.02)),
            marketing: withheld(dice.chance(0.06)),
            measurement: withheld(dice.chance(0.02)),
        };
        let care = Care {
            open_issue: dice.chance(0.04),
            payment_hardship: dice.chance(0.03),
            last_rating: dice
                .chance(0.3)
                .then(|| dice.pick(&[&1, &2, &3, &4, &4, &5, &5, &5]).to_owned()),
        };
        let late = dice.chance(0.08);
        Visitor {
            customer,
            number,
            appointment_id: format!("apt-{seed}-{}", customer.id),
            locale: if dice.chance(0.15) { "es-US" } else { "en-US" },
            device: if dice.chance(0.7) {
                "mobile"
            } else {
                "desktop"
            },
            job_type: dice.pick(&["install", "repair", "upgrade"]),
            technician: technician(&mut dice),
            products: some(
                &mut dice,
                0.12,
                &[
                    "mobile_line",
                    "wifi6_extender",
                    "sports_pack",
                    "online_security",
                ],
            ),
            segments: some(&mut dice, 0.1, &["new_mover", "small_business"]),
            delay_seconds: if late {
                dice.between(1_800.0, 5_400.0) as i32
            } else {
                dice.between(-300.0, 900.0) as i32
            },
            reschedules: if dice.chance(0.04) {
                dice.whole(2, 4)
            } else {
                u32::from(dice.chance(0.1))
            },
            care,
            consent,
            gpc,
            seed,
        }
    }

    /// Whether the page may report anything: the SDK sends no events otherwise.
    pub fn measured(&self) -> bool {
        self.consent.measurement != Some(false)
    }

    /// Dice for something that happens on this visit.
    pub fn dice(&self, what: &[&str]) -> Dice {
        let mut names = vec![self.customer.id.as_str()];
        names.extend(what);
        Dice::new(self.seed, &names)
    }

    /// What this visitor does with an offer. The same offer in the same phase is met with the same
    /// reaction, whichever other offers there are.
    pub fn reaction(&self, phase: &str, placement: &str, offer: &Offer) -> Reaction {
        let mut dice = self.dice(&[phase, placement, &offer.offer_id]);
        // Lower ranks are further down, and fewer people scroll there.
        if !dice.chance(0.85 / f64::from(offer.rank.max(1)).sqrt()) {
            return Reaction::NotSeen;
        }
        if !dice.chance(self.interest(phase, offer)) {
            let waved_away = dice.chance(0.04);
            return if waved_away {
                Reaction::Dismissed
            } else {
                Reaction::Seen
            };
        }
        let converts = match offer.content.action.kind.as_str() {
            "order" => {
                if !dice.chance(0.45) {
                    return Reaction::Clicked;
                }
                // Some orders fail on stock, credit or second thoughts.
                if !dice.chance(0.93) {
                    return Reaction::Ordered;
                }
                true
            }
            // What a partner or the billing system reports of those who followed the link.
            "link" => dice.chance(0.12),
            _ => false,
        };
        match converts {
            true if dice.chance(0.03) => Reaction::Reversed,
            true => Reaction::Converted,
            false => Reaction::Clicked,
        }
    }

    /// The probability of a tap, once seen.
    fn interest(&self, phase: &str, offer: &Offer) -> f64 {
        let class = match offer.class.as_str() {
            "care" => 0.35,
            "service" => 0.14,
            "upsell" => 0.07,
            "partner" => 0.04,
            _ => 0.12,
        };
        let patience = match phase {
            "scheduled" => 0.6,
            "day_of" => 0.8,
            // People look at the map again and again while they wait.
            "en_route" => 1.3,
            "arriving" => 1.0,
            "on_site" => 1.2,
            "completed" => 0.9,
            _ => 0.5,
        };
        // Each offer has its own appeal, the same to everybody under one seed.
        let appeal = Dice::new(self.seed, &["appeal", &offer.offer_id]).between(0.5, 1.6);
        (class * patience * appeal * self.leaning(&offer.class)).min(0.9)
    }

    /// How the customer's circumstances lean towards a class; columns that the file lacks count nothing.
    fn leaning(&self, class: &str) -> f64 {
        let customer = self.customer;
        let mut leaning = 1.0;
        if matches!(class, "upsell" | "partner") {
            leaning *= match customer.number("MonthlyCharges") {
                Some(charges) if charges > 80.0 => 0.7,
                Some(charges) if charges < 40.0 => 1.3,
                _ => 1.0,
            };
            leaning *= match customer.number("tenure") {
                Some(months) if months < 6.0 => 0.8,
                Some(months) if months > 48.0 => 1.2,
                _ => 1.0,
            };
            if self.delay_seconds >= 1_800 {
                leaning *= 0.4;
            }
        }
        if class == "service" && customer.says("Contract", "Month-to-month") {
            leaning *= 1.2;
        }
        leaning
    }
}

fn technician(dice: &mut Dice) -> Technician {
    Technician {
        skills: some(dice, 0.7, &["wifi", "tv", "smart_home"]),
        stock: some(dice, 0.6, &["wifi6_extender", "thermostat", "outlet"]),
        slack_minutes: dice.whole(0, 45),
    }
}

fn some(dice: &mut Dice, share: f64, of: &[&str]) -> Vec<String> {
    let kept = of.iter().filter(|_| dice.chance(share));
    kept.map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visit::message::{Action, Content};

    fn customers(n: usize) -> Vec<Customer> {
        let customer = |i| Customer {
            id: format!("c-{i}"),
            features: [].into(),
        };
        (0..n).map(customer).collect()
    }

    fn offer(class: &str, kind: &str) -> Offer {
        Offer {
            offer_id: "o".into(),
            class: class.into(),
            rank: 1,
            price: None,
            token: "t".into(),
            propensity: None,
            content: Content {
                action: Action { kind: kind.into() },
            },
        }
    }

    #[test]
    fn a_seed_makes_the_same_people() {
        let customers = customers(50);
        let people = |seed| -> Vec<Visitor<'_>> {
            let each = customers.iter().enumerate();
            each.map(|(i, c)| Visitor::new(seed, i, c)).collect()
        };
        assert_eq!(people(1), people(1));
        assert_ne!(people(1), people(2));
    }

    #[test]
    fn every_care_path_has_its_people() {
        let customers = customers(1_000);
        let count = |is: fn(&Visitor<'_>) -> bool| {
            let each = customers.iter().enumerate();
            each.filter(|&(i, c)| is(&Visitor::new(1, i, c))).count()
        };
        for (found, expected) in [
            (count(|v| v.care.open_issue), 40),
            (count(|v| v.care.payment_hardship), 30),
            (count(|v| v.delay_seconds >= 1_800), 80),
            (count(|v| v.reschedules >= 2), 40),
            (count(|v| v.gpc), 50),
            (count(|v| !v.measured()), 20),
            (count(|v| v.consent.marketing.is_some()), 60),
        ] {
            // Five standard deviations of the smallest share.
            assert!(
                found.abs_diff(expected) < 45 && found > 5,
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn only_what_can_be_ordered_is_ordered() {
        let customers = customers(2_000);
        let reactions = |kind: &str| {
            let offer = offer("care", kind);
            let each = customers.iter().enumerate();
            each.map(|(i, c)| Visitor::new(1, i, c).reaction("en_route", "hero", &offer))
                .collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(reactions("order").len(), 7, "every reaction occurs");
        assert!(!reactions("link").contains(&Reaction::Ordered));
        assert_eq!(reactions("info").last(), Some(&Reaction::Clicked));
    }
}
