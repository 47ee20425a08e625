//! The closed vocabularies: phases, channels, classes and tiers, with the words they go by.

use std::fmt;

/// A word outside a closed vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// Every word that would have been accepted, in order.
    pub expected: &'static [&'static str],
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected one of {}", self.expected.join(", "))
    }
}

impl std::error::Error for UnknownWord {}

/// Declares an enum whose variants have one fixed word each, used on every wire and in every file.
macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];
            /// The word of every value, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word,)+];

            /// The word this value goes by.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                Self::WORDS[self as usize]
            }

            /// The value at `index` of [`Self::ALL`].
            #[must_use]
            pub fn from_index(index: u8) -> Option<$name> {
                Self::ALL.get(usize::from(index)).copied()
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::domain::UnknownWord;

            fn from_str(word: &str) -> Result<$name, $crate::domain::UnknownWord> {
                Self::WORDS
                    .iter()
                    .position(|w| *w == word)
                    .map(|i| Self::ALL[i])
                    .ok_or($crate::domain::UnknownWord { expected: Self::WORDS })
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use vocabulary;

vocabulary! {
    /// Where an appointment stands. The order is the order in which a visit passes through them.
    Phase {
        /// A broad arrival window, days ahead.
        Scheduled = "scheduled",
        /// The day itself.
        DayOf = "day_of",
        /// The technician is driving to the customer: the live map.
        EnRoute = "en_route",
        /// Minutes away.
        Arriving = "arriving",
        /// The work is being done.
        OnSite = "on_site",
        /// The work is done; the summary can be downloaded.
        Completed = "completed",
        /// The customer is asked how it went.
        Feedback = "feedback",
    }
}

vocabulary! {
    /// Where the customer reads the offer.
    Channel {
        /// The tracker page in a browser.
        Web = "web",
        /// The operator's own app.
        App = "app",
        /// A text message.
        Sms = "sms",
        /// A rich text message.
        Rcs = "rcs",
        /// An e-mail.
        Email = "email",
        /// A conversation with an agent or a bot.
        Chat = "chat",
    }
}

vocabulary! {
    /// What an offer is for. Selling is withheld from customers in care; care and service are not.
    OfferClass {
        /// Help with a problem: assistance, a credit, a payment plan.
        Care = "care",
        /// Useful with this visit and free or nearly so.
        Service = "service",
        /// More of the operator's own products.
        Upsell = "upsell",
        /// Somebody else's product.
        Partner = "partner",
        /// Something to read or watch; nothing is sold.
        Content = "content",
    }
}

impl OfferClass {
    /// Whether showing this is selling, and so needs consent to marketing and a customer not in care.
    #[must_use]
    pub fn sells(self) -> bool {
        matches!(self, OfferClass::Upsell | OfferClass::Partner)
    }
}

vocabulary! {
    /// In which order offers compete: all of a tier before any of the next.
    Tier {
        /// Shown whenever eligible.
        MustRun = "must_run",
        /// Competes on expected value.
        Auction = "auction",
        /// Shown when nothing else is eligible.
        House = "house",
    }
}
