//! The quick reader of protos: what gRPC's clients send, borrowed from the message.
//!
//! Generated messages own every string and keep features in a hash table; most of what a message costs is
//! that. Here too whatever is out of the ordinary is given up, and then read as the generated code reads it:
//! a field told twice, a feature told twice, a type that the contract does not name.

use super::Told;
use crate::domain::{Channel, Phase};
use crate::serve::wire::parse::Object;
use crate::serve::wire::proto::{instant, text, word};
use crate::serve::wire::request::FEATURES_USUAL;
use crate::serve::wire::{
    Appointment, Care, Consent, Customer, DecisionRequest, Features, Instant, PlacementAsk, Scalar,
    Technician, Text, Trigger, Whole,
};
use offerd_proto::Timestamp;

/// What a message that the quick reader can read is read into.
trait Message<'a>: Default {
    /// The numbers of fields that may come again and again, one bit each.
    const REPEATED: u32 = 0;

    /// Reads one field, or gives up; unknown ones are passed over.
    fn field(&mut self, number: u32, value: Value<'a>) -> Option<()>;
}

/// A field's value, as the wire knows it.
#[derive(Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// A message of type `v1.DecideRequest`, or `None` where the generated code has to look.
pub(in crate::serve) fn decide_request(message: &[u8]) -> Option<DecisionRequest<'_>> {
    read(message)
}

fn read<'a, M: Message<'a>>(mut left: &'a [u8]) -> Option<M> {
    let mut message = M::default();
    let mut told = Told::default();
    while !left.is_empty() {
        let key = varint(&mut left)?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut left)?),
            1 => Value::Fixed(u64::from_le_bytes(*take(&mut left, 8)?.first_chunk()?)),
            2 => {
                let length = usize::try_from(varint(&mut left)?).ok()?;
                Value::Bytes(take(&mut left, length)?)
            }
            _ => return None,
        };
        if number < u32::BITS && M::REPEATED & 1 << number == 0 {
            told.once(number)?;
        }
        message.field(number, value)?;
    }
    Some(message)
}

/// Seven bits a byte, the lowest first. Ten bytes, which only negative numbers need, are not read here.
#[inline]
fn varint(left: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = left.split_first()?;
        *left = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(left: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = left.split_at_checked(length)?;
    *left = rest;
    Some(taken)
}

impl<'a> Value<'a> {
    fn varint(self) -> Option<u64> {
        match self {
            Value::Varint(value) => Some(value),
            _ => None,
        }
    }

    fn str(self) -> Option<&'a str> {
        match self {
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A text that counts as absent where it is empty.
    fn text(self) -> Option<Option<Text<'a>>> {
        self.str().map(|told| text(Some(told)))
    }

    fn flag(self) -> Option<bool> {
        self.varint().map(|value| value != 0)
    }

    /// A `uint32`; as everywhere in protos, what does not fit is cut off.
    fn whole(self) -> Option<Option<Whole>> {
        self.varint().map(|value| Some(Whole::from(value as u32)))
    }

    fn word(self, words: &'static [&'static str]) -> Option<Option<Text<'a>>> {
        self.varint().map(|value| word(value as i32, words))
    }

    fn message<M: Message<'a>>(self) -> Option<M> {
        match self {
            Value::Bytes(bytes) => read(bytes),
            _ => None,
        }
    }

    fn instant(self) -> Option<Option<Instant>> {
        let Stamp(stamp) = self.message()?;
        instant("", Some(stamp)).ok()
    }
}

impl<'a> Message<'a> for DecisionRequest<'a> {
    const REPEATED: u32 = 1 << 10 | 1 << 11;

    fn field(&mut self, number: u32, value: Value<'a>) -> Option<()> {
        // Absent lists and flags are empty and false, as the `.proto` files say.
        match number {
            1 => self.request_id = value.text()?,
            2 => self.channel = value.word(Channel::WORDS)?,
            3 => self.locale = value.text()?,
            4 => self.device = value.text()?,
            5 => self.deadline_ms = value.whole()?,
            6 => self.explain = value.text()?,
            7 => self.test = Some(value.flag()?),
            8 => self.appointment = Some(Object(value.message()?)),
            9 => self.customer = Some(Object(customer(value)?)),
            10 => push(&mut self.triggers, Object(value.message()?)),
            11 => push(&mut self.placements, Object(value.message()?)),
            12 => self.context_token = value.text()?,
            _ => {}
        }
        Some(())
    }
}

fn push<T>(list: &mut Option<Vec<T>>, entry: T) {
    list.get_or_insert_default().push(entry);
}

impl<'a> Message<'a> for Appointment<'a> {
    fn field(&mut self, number: u32, value: Value<'a>) -> Option<()> {
        match number {
            1 => self.id = value.text()?,
            2 => self.phase = value.word(Phase::WORDS)?,
            3 => self.job_type = value.text()?,
            4 => self.window_start = value.instant()?,
            5 => self.window_end = value.instant()?,
            6 => self.eta_seconds = value.whole()?,
            7 => {
                // Zigzag: the sign is in the lowest bit.
                let told = value.varint()? as u32;
                let seconds = (told >> 1) as i32 ^ -((told & 1) as i32);
                self.delay_seconds = Some(Whole(seconds.into()));
            }
            8 => self.reschedules = value.whole()?,
            9 => self.technician = Some(Object(value.message()?)),
            _ => {}
        }
        Some(())
    }
}

impl<'a> Message<'a> for Technician<'a> {
    const REPEATED: u32 = 1 << 1 | 1 << 2;

    fn field(&mut self, number: u32, value: Value<'a>) -> Option<()> {
        match number {
            1 => push(&mut self.skills, value.str()?.into()),
            2 => push(&mut self.stock, value.str()?.into()),
            3 => self.slack_minutes = value.whole()?,
            _ => {}
        }
        Some(())
    }
}

/// A customer whose features are told once each. They come sorted, which spares `validate` from it.
fn customer<'a>(value: Value<'a>) -> Option<Customer<'a>> {
    let mut customer: Customer<'a> = value.message()?;
    if let Some(Features(features)) = &mut customer.features {
        features.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let twice = features.windows(2).any(|pair| pair[0].0 == pair[1].0);
        (!twice).then_some(())?;
    }
    Some(customer)
}

impl<'a> Message<'a> for Customer<'a> {
    const REPEATED: u32 = 1 << 2 | 1 << 3 | 1 << 4;

    fn field(&mut self, number: u32, value: Value<'a>) -> Option<()> {
        match number {
            1 => self.id = value.text()?,
            2 => {
                let Feature { name, value } = value.message()?;
                let room = || Features(Vec::with_capacity(FEATURES_USUAL));
                let features = self.features.get_or_insert_with(room);
                features.0.push((name.into(), value.0));
            }
            3 => push(&mut self.segments, value.str()?.into()),
            4 => push(&mut self.products, value.str()?.into()),
            5 => self.consent = Some(Object(value.message()?)),
            6 => self.care = Some(Object(value.message()?)),
            _ => {}
        }
        Some(())
    }
}

/// An entry of the map of features.
#[derive(Default)]
struct Feature<'a> {
    name: &'a str,
    value: FeatureValue<'a>,
}

impl<'a> Message<'a> for Feature<'a> {
    fn field(&mut self, number: u32, value: Value<'a>) -> Option<()> {
        match number {
            1 => self.name = value.str()?,
            2 => self.value = value.message()?,
            _ => {}
        }
        Some(())
    }
}

#[derive(Default)]
struct FeatureValue<'a>(Option<Scalar<'a>>);

impl<'a> Message<'a> for FeatureValue<'a> {
    fn field(&mut self, number: u32, value: Value<'a>) -> Option<()> {
        let scalar = match (number, value) {
            (1, Value::Fixed(bits)) => Scalar::Number(f64::from_bits(bits)),
            (2, _) => Scalar::Text(value.str()?.into()),
            (3, _) => Scalar::Flag(value.flag()?),
            (1, _) => return None,
            _ => return Some(()),
        };
        // One of them: which one counts where there are more, the generated code knows.
        self.0.replace(scalar).is_none().then_some(())
    }
}

impl<'a> Message<'a> for Consent {
    fn field(&mut self, number: u32, value: Value<'a>) -> Option<()> {
        match number {
            1 => self.personalization = Some(value.flag()?),
            2 => self.marketing = Some(value.flag()?),
            3 => self.measurement = Some(value.flag()?),
            _ => {}
        }
        Some(())
    }
}

impl<'a> Message<'a> for Care {
    fn field(&mut self, number: u32, value: Value<'a>) -> Option<()> {
        match number {
            1 => self.open_issue = Some(value.flag()?),
            2 => self.payment_hardship = Some(value.flag()?),
            3 => self.last_rating = value.whole()?,
            _ => {}
        }
        Some(())
    }
}

impl<'a> Message<'a> for Trigger<'a> {
    fn field(&mut self, number: u32, value: Value<'a>) -> Option<()> {
        match number {
            1 => self.name = value.text()?,
            2 => self.count = value.whole()?,
            3 => self.age_ms = Some(Whole::from(value.varint()?)),
            _ => {}
        }
        Some(())
    }
}

impl<'a> Message<'a> for PlacementAsk<'a> {
    const REPEATED: u32 = 1 << 3;

    fn field(&mut self, number: u32, value: Value<'a>) -> Option<()> {
        match number {
            1 => self.id = value.text()?,
            2 => self.count = value.whole()?,
            3 => push(&mut self.exclude_offers, value.str()?.into()),
            _ => {}
        }
        Some(())
    }
}

#[derive(Default)]
struct Stamp(Timestamp);

impl<'a> Message<'a> for Stamp {
    fn field(&mut self, number: u32, value: Value<'a>) -> Option<()> {
        match number {
            1 => self.0.seconds = value.varint()? as i64,
            2 => self.0.nanos = value.varint()? as i32,
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
