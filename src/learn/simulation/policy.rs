//! Who decides in a simulated world.

use std::fmt;
use std::str::FromStr;

use crate::decide::explore::Explorer;

/// A policy, by what it knows and how it explores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// Knows the truth and shows the best, always.
    Oracle,
    /// Shows everything equally often.
    Uniform,
    /// Learns, and explores by what the learner believes.
    Learning(Explorer),
    /// Believes a pushed model and learns nothing.
    Model(Explorer),
}

/// Every policy that has a name, and its name.
const NAMED: &[(&str, Policy)] = &[
    ("pairwise-odds", Policy::Learning(Explorer::DEFAULT)),
    ("thompson", Policy::Learning(THOMPSON)),
    ("igw-budget", Policy::Learning(BUDGET)),
    ("igw", Policy::Learning(INVERSE_GAP)),
    ("softmax", Policy::Learning(SOFTMAX)),
    ("epsilon-greedy", Policy::Learning(EPSILON_GREEDY)),
    ("greedy", Policy::Learning(GREEDY)),
    ("model-epsilon", Policy::Model(EPSILON_GREEDY)),
    ("model-greedy", Policy::Model(GREEDY)),
    ("uniform", Policy::Uniform),
    ("oracle", Policy::Oracle),
];

const EPSILON_GREEDY: Explorer = Explorer::EpsilonGreedy { epsilon: 0.05 };
const GREEDY: Explorer = Explorer::Deterministic { floor: 0.0 };
/// The floor that goes with a posterior: small, as beliefs see to exploring themselves.
const FLOOR: f64 = 0.005;
/// As the default, which is pairwise odds.
const THOMPSON: Explorer = Explorer::Thompson {
    alpha: 0.2,
    floor: FLOOR,
};
const BUDGET: Explorer = Explorer::InverseGapBudget {
    budget: 0.05,
    floor: FLOOR,
};
const INVERSE_GAP: Explorer = Explorer::InverseGap {
    gamma: 1_000.0,
    floor: 0.0,
};
const SOFTMAX: Explorer = Explorer::Softmax {
    temperature: 0.1,
    floor: FLOOR,
};

impl Policy {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Policy> {
        NAMED.iter().map(|(_, policy)| *policy)
    }

    /// Whether it has got anything to learn, or to learn from.
    #[must_use]
    pub fn learns(&self) -> bool {
        matches!(self, Policy::Learning(_))
    }

    /// What it is told by, and with which figures it explores.
    #[must_use]
    pub fn explorer(&self) -> Option<Explorer> {
        match self {
            Policy::Learning(explorer) | Policy::Model(explorer) => Some(*explorer),
            Policy::Oracle | Policy::Uniform => None,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (NAMED.iter().find(|(_, policy)| policy == self), self) {
            (Some((name, _)), _) => f.write_str(name),
            (None, Policy::Learning(explorer)) => write!(f, "{explorer}"),
            (None, Policy::Model(explorer)) => write!(f, "model {explorer}"),
            (None, _) => unreachable!("oracle and uniform have names"),
        }
    }
}

/// A word that is no policy's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no policy `{found}`: expected one of {}", names())]
pub struct UnknownPolicy {
    found: String,
}

fn names() -> String {
    let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(word: &str) -> Result<Policy, UnknownPolicy> {
        let named = NAMED.iter().find(|(name, _)| *name == word);
        let unknown = || UnknownPolicy {
            found: word.to_owned(),
        };
        named.map(|(_, policy)| *policy).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_found_by_its_name() {
        for policy in Policy::all() {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        let error = "best".parse::<Policy>().unwrap_err().to_string();
        assert!(
            error.contains("`best`") && error.contains("oracle"),
            "{error}"
        );
    }
}
