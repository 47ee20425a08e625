//! A policy as records and reports write it, read again.

use std::str::FromStr;

use super::{Explorer, Policy};

/// A policy that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected pairwise_odds(ALPHA,FLOOR), thompson(ALPHA,FLOOR), inverse_gap_budget(BUDGET,FLOOR), \
     inverse_gap(GAMMA,FLOOR), softmax(TEMPERATURE,FLOOR), epsilon_greedy(EPSILON), uniform or \
     deterministic(FLOOR), with +uniform(SHARE) after it if need be; found {0:?}"
)]
pub struct PolicyError(String);

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Policy, PolicyError> {
        let (explorer, share) = match text.split_once("+uniform") {
            None => (text, Some(0.0)),
            Some((explorer, share)) => match figures(share).as_deref() {
                Some([share]) => (explorer, Some(*share)),
                _ => (explorer, None),
            },
        };
        let policy = read(explorer).zip(share.filter(is_share));
        let policy = policy.map(|(explorer, uniform_share)| Policy {
            explorer,
            uniform_share,
        });
        policy.ok_or_else(|| PolicyError(text.to_owned()))
    }
}

fn read(text: &str) -> Option<Explorer> {
    let (name, rest) = text.split_at(text.find('(').unwrap_or(text.len()));
    let figures = match rest {
        "" => Vec::new(),
        rest => figures(rest)?,
    };
    // The last figure is a share, whatever the explorer.
    if !figures.last().is_none_or(is_share) {
        return None;
    }
    match (name, &*figures) {
        ("pairwise_odds", &[alpha, floor]) if (0.0..=10.0).contains(&alpha) => {
            Some(Explorer::PairwiseOdds { alpha, floor })
        }
        ("thompson", &[alpha, floor]) if (0.0..=10.0).contains(&alpha) => {
            Some(Explorer::Thompson { alpha, floor })
        }
        ("inverse_gap_budget", &[budget, floor]) if is_share(&budget) => {
            Some(Explorer::InverseGapBudget { budget, floor })
        }
        ("inverse_gap", &[gamma, floor]) if (0.0..=1e6).contains(&gamma) => {
            Some(Explorer::InverseGap { gamma, floor })
        }
        ("softmax", &[temperature, floor]) if (1e-3..=100.0).contains(&temperature) => {
            Some(Explorer::Softmax { temperature, floor })
        }
        ("epsilon_greedy", &[epsilon]) => Some(Explorer::EpsilonGreedy { epsilon }),
        ("deterministic", []) => Some(Explorer::Deterministic { floor: 0.0 }),
        ("deterministic", &[floor]) => Some(Explorer::Deterministic { floor }),
        ("uniform", []) => Some(Explorer::Uniform),
        _ => None,
    }
}

fn is_share(share: &f64) -> bool {
    (0.0..=1.0).contains(share)
}

/// The numbers of `(a,b)`.
fn figures(text: &str) -> Option<Vec<f64>> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    inner.split(',').map(|n| n.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "pairwise_odds(0.25,0.005)",
            "thompson(0.5,0.01)+uniform(0.02)",
            "inverse_gap_budget(0.05,0)",
            "inverse_gap(100,0.01)",
            "softmax(0.25,0.05)",
            "epsilon_greedy(0.1)",
            "uniform",
            "deterministic",
            "deterministic(0.02)+uniform(0.5)",
        ] {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nothing_else_is() {
        for text in [
            "",
            "pairwise_odds",
            "pairwise_odds(0.25)",
            "pairwise_odds(11,0.1)",
            "pairwise_odds(0.25,1.5)",
            "epsilon_greedy(NaN)",
            "uniform+uniform",
            "uniform+uniform(2)",
            "thompson(0.5,0.01",
        ] {
            let told = text.parse::<Policy>().unwrap_err().to_string();
            assert!(told.contains(&format!("found {text:?}")), "{told}");
        }
    }
}
