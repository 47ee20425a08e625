//! Logs of others: a row per choice, as `obp` and most programs for off-policy evaluation write them.
//!
//! The log has a header and the columns `action`, `position`, `reward`, `pscore` and `pi_e`, in any order and among
//! others. The odds of the policy in question may be a table of their own (an action a row, a column for
//! each position), from which `pi_e` is taken where the log has none; with it a reward model's answers (a
//! row for each row of the log, a column for each action) give the estimators that need one.

use super::Row;
use super::slate::{Rank, Slates};

/// More rows than fit in memory with what is made of them.
pub const ROWS_MAX: usize = 10_000_000;
/// The most actions.
pub const ACTIONS_MAX: usize = 10_000;

/// What is wrong with a table; rows count from 1 without the header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// No such column.
    #[error("there is no column `{0}`")]
    Column(&'static str),
    /// A cell.
    #[error("row {row}, {column}: expected {expected}, found `{found}`")]
    Cell {
        /// Which row.
        row: usize,
        /// Which column.
        column: String,
        /// What should be there.
        expected: &'static str,
        /// What is.
        found: String,
    },
    /// Too few or too many cells.
    #[error("row {row}: expected {expected} cells, found {found}")]
    Width {
        /// Which row.
        row: usize,
        /// How many should be there.
        expected: usize,
        /// How many are.
        found: usize,
    },
    /// The tables do not belong together.
    #[error("it has {found} rows, the log {expected}")]
    Length {
        /// Rows of the log.
        expected: usize,
        /// Rows of the other.
        found: usize,
    },
    /// There is nothing.
    #[error("it has no rows")]
    Empty,
    /// Too much.
    #[error("more than {0} rows or actions")]
    Limit(usize),
    /// A reward model alone says nothing of a policy.
    #[error("a reward model's answers need the policy's odds of every action (--action-dist)")]
    NoDistribution,
    /// Nothing says what the policy would do.
    #[error("there is no column `pi_e`, and no --action-dist")]
    NoTarget,
}

/// The odds of a policy that looks at nothing but the position.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    positions: usize,
    /// Action after action.
    odds: Vec<f64>,
}

/// A log, read.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// One per row.
    pub rows: Vec<Row>,
    /// Whether a reward model answered.
    pub modelled: bool,
}

const PROBABILITY: &str = "a probability from 0 to 1";
const PROPENSITY: &str = "a probability above 0, at most 1";
const NUMBER: &str = "a finite number";
const ACTION: &str = "an action of the table of odds, from 0";
const POSITION: &str = "a position of the table of odds, from 0";

impl Distribution {
    /// Reads a table with a header and a column for each position, an action a row. A first column
    /// `action` is the number of the row.
    ///
    /// # Errors
    /// The first cell that is not as it should be.
    pub fn parse(text: &str) -> Result<Distribution, TableError> {
        let mut lines = Lines::of(text)?;
        let skip = usize::from(lines.header.first() == Some(&"action"));
        let width = lines.header.len();
        let positions = width.saturating_sub(skip);
        let mut odds = Vec::new();
        while let Some(cells) = lines.next_cells()? {
            for (cell, name) in cells.iter().zip(&lines.header).skip(skip) {
                odds.push(probability(cell, lines.row, name)?);
            }
            if lines.row > ACTIONS_MAX {
                return Err(TableError::Limit(ACTIONS_MAX));
            }
        }
        if odds.is_empty() {
            return Err(TableError::Empty);
        }
        Ok(Distribution { positions, odds })
    }

    /// How many actions there are.
    #[must_use]
    pub fn actions(&self) -> usize {
        self.odds.len() / self.positions
    }

    /// The odds of an action at a position.
    #[must_use]
    pub fn odds(&self, action: usize, position: usize) -> Option<f64> {
        let known = position < self.positions;
        let at = action.checked_mul(self.positions)?.checked_add(position)?;
        self.odds.get(at).copied().filter(|_| known)
    }
}

impl Table {
    /// Reads a log; `answers` is a reward model's table without a header.
    ///
    /// # Errors
    /// The first thing that is not as it should be.
    pub fn parse(
        log: &str,
        odds: Option<&Distribution>,
        answers: Option<&str>,
    ) -> Result<Table, TableError> {
        let mut lines = Lines::of(log)?;
        let reward = lines.column("reward").ok_or(TableError::Column("reward"))?;
        let pscore = lines.column("pscore").ok_or(TableError::Column("pscore"))?;
        let (pi_e, position) = (lines.column("pi_e"), lines.column("position"));
        if pi_e.is_none() && odds.is_none() {
            return Err(TableError::NoTarget);
        }
        let action = match odds {
            Some(_) => Some(lines.column("action").ok_or(TableError::Column("action"))?),
            None => None,
        };
        let mut rows = Vec::new();
        let mut choices = Vec::new();
        while let Some(cells) = lines.next_cells()? {
            let row = lines.row;
            if row > ROWS_MAX {
                return Err(TableError::Limit(ROWS_MAX));
            }
            let choice = match (odds, action) {
                (Some(odds), Some(action)) => {
                    let place = place(&cells, row, action, position, odds)?;
                    choices.push(place);
                    odds.odds(place.0, place.1)
                }
                _ => None,
            };
            let target = match (pi_e, choice) {
                (Some(column), _) => probability(cells[column], row, "pi_e")?,
                (None, choice) => choice.ok_or(TableError::NoTarget)?,
            };
            rows.push(Row::new(
                number(cells[reward], row, "reward")?,
                propensity(cells[pscore], row, "pscore")?,
                target,
            ));
        }
        if rows.is_empty() {
            return Err(TableError::Empty);
        }
        if let Some(answers) = answers {
            model(&mut rows, &choices, answers, odds)?;
        }
        Ok(Table {
            rows,
            modelled: answers.is_some(),
        })
    }

    /// Reads a log of slates: a row per rank with `slate_id`, `position`, `reward`, and the probabilities
    /// `pscore` (of the whole slate), `pscore_cascade` (down to this rank) and, if there is one, `pscore_item_position`
    /// (of this rank), each with its `evaluation_policy_` twin. A slate's rows stand together.
    ///
    /// # Errors
    /// The first thing that is not as it should be.
    pub fn slates(log: &str) -> Result<Slates, TableError> {
        let mut lines = Lines::of(log)?;
        let (needed, column) = (|name| TableError::Column(name), |name| lines.column(name));
        let id = column("slate_id").ok_or_else(|| needed("slate_id"))?;
        let position = column("position").ok_or_else(|| needed("position"))?;
        let reward = column("reward").ok_or_else(|| needed("reward"))?;
        let pair = |logged, asked| {
            let logged = column(logged).ok_or_else(|| needed(logged));
            logged.and_then(|l| Ok((l, column(asked).ok_or_else(|| needed(asked))?)))
        };
        let joint = pair("pscore", "evaluation_policy_pscore")?;
        let cascade = pair("pscore_cascade", "evaluation_policy_pscore_cascade")?;
        let marginal = pair(
            "pscore_item_position",
            "evaluation_policy_pscore_item_position",
        )
        .ok();
        let mut slates = Slates::default();
        let (mut slate, mut current) = (Vec::new(), None);
        while let Some(cells) = lines.next_cells()? {
            let row = lines.row;
            if row > ROWS_MAX {
                return Err(TableError::Limit(ROWS_MAX));
            }
            if current
                .replace(cells[id])
                .is_some_and(|before| before != cells[id])
            {
                slates.push_ranks(&slate);
                slate.clear();
            }
            let weight = |(logged, asked): (usize, usize)| {
                let logged = propensity(cells[logged], row, "pscore")?;
                Ok(probability(cells[asked], row, "evaluation_policy_pscore")? / logged)
            };
            slate.push(Rank {
                position: index(
                    cells[position],
                    row,
                    "position",
                    64,
                    "a position from 0 to 63",
                )?,
                reward: number(cells[reward], row, "reward")?,
                joint: weight(joint)?,
                marginal: marginal.map(weight).transpose()?,
                cascade: weight(cascade)?,
            });
        }
        if slate.is_empty() {
            return Err(TableError::Empty);
        }
        slates.push_ranks(&slate);
        Ok(slates)
    }
}

/// Adds what the reward model says of each row's choice, and of the policy.
fn model(
    rows: &mut [Row],
    choices: &[(usize, usize)],
    answers: &str,
    odds: Option<&Distribution>,
) -> Result<(), TableError> {
    let odds = odds.ok_or(TableError::NoDistribution)?;
    let actions = odds.actions();
    let mut found = 0;
    for (line, at) in plain_lines(answers).zip(1..) {
        found = at;
        let Some((row, (action, position))) = rows.get_mut(at - 1).zip(choices.get(at - 1)) else {
            continue;
        };
        let mut cells = 0;
        for (a, cell) in line.split(',').enumerate() {
            let q = number(cell, at, "answer")?;
            row.expected += odds.odds(a, *position).unwrap_or(0.0) * q;
            if a == *action {
                row.expected_logged = q;
            }
            cells += 1;
        }
        if cells != actions {
            return Err(TableError::Width {
                row: at,
                expected: actions,
                found: cells,
            });
        }
    }
    let expected = rows.len();
    if found == expected {
        Ok(())
    } else {
        Err(TableError::Length { expected, found })
    }
}

/// The row's action and position.
fn place(
    cells: &[&str],
    row: usize,
    action: usize,
    position: Option<usize>,
    odds: &Distribution,
) -> Result<(usize, usize), TableError> {
    let action = index(cells[action], row, "action", odds.actions(), ACTION)?;
    let position = match position {
        Some(at) => index(cells[at], row, "position", odds.positions, POSITION)?,
        None => 0,
    };
    Ok((action, position))
}

/// Lines that hold anything.
fn plain_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

struct Lines<'a> {
    header: Vec<&'a str>,
    lines: std::str::Lines<'a>,
    row: usize,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Result<Lines<'a>, TableError> {
        // Excel begins its files with a byte order mark.
        let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
        let header = lines.next().ok_or(TableError::Empty)?;
        Ok(Lines {
            header: header.split(',').map(str::trim).collect(),
            lines,
            row: 0,
        })
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|h| *h == name)
    }

    fn next_cells(&mut self) -> Result<Option<Vec<&'a str>>, TableError> {
        let mut rest = self.lines.by_ref().map(str::trim);
        let Some(line) = rest.find(|line| !line.is_empty()) else {
            return Ok(None);
        };
        self.row += 1;
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let (row, expected, found) = (self.row, self.header.len(), cells.len());
        if expected == found {
            Ok(Some(cells))
        } else {
            Err(TableError::Width {
                row,
                expected,
                found,
            })
        }
    }
}

fn cell(found: &str, row: usize, column: &str, expected: &'static str) -> TableError {
    TableError::Cell {
        row,
        column: column.into(),
        expected,
        found: found.chars().take(40).collect(),
    }
}

fn number(text: &str, row: usize, column: &str) -> Result<f64, TableError> {
    let number = text.trim().parse().ok().filter(|n: &f64| n.is_finite());
    number.ok_or_else(|| cell(text, row, column, NUMBER))
}

fn probability(text: &str, row: usize, column: &str) -> Result<f64, TableError> {
    let number = text.parse().ok().filter(|p| (0.0..=1.0).contains(p));
    number.ok_or_else(|| cell(text, row, column, PROBABILITY))
}

fn propensity(text: &str, row: usize, column: &str) -> Result<f64, TableError> {
    let number = text.parse().ok().filter(|p| 0.0 < *p && *p <= 1.0);
    number.ok_or_else(|| cell(text, row, column, PROPENSITY))
}

fn index(
    text: &str,
    row: usize,
    column: &str,
    below: usize,
    expected: &'static str,
) -> Result<usize, TableError> {
    let index = text.parse().ok().filter(|i| *i < below);
    index.ok_or_else(|| cell(text, row, column, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODDS: &str = "action,pos0,pos1\n0,0.25,0.5\n1,0.75,0.5\n";

    #[test]
    fn a_log_with_a_model() {
        let odds = Distribution::parse(ODDS).unwrap();
        let log = "position,action,reward,pscore\n0,1,1,0.5\r\n1,0,0,0.25\n\n";
        let table = Table::parse(log, Some(&odds), Some("0.1,0.2\n0.3,0.5\n")).unwrap();
        let [first, second] = table.rows[..] else {
            panic!("two rows");
        };
        assert_eq!(
            (first.target, first.propensity, first.reward),
            (0.75, 0.5, 1.0)
        );
        assert!((first.expected - 0.175).abs() < 1e-15);
        assert_eq!(first.expected_logged, 0.2);
        assert_eq!((second.target, second.expected), (0.5, 0.4));
    }

    #[track_caller]
    fn check(log: &str, odds: Option<&str>, answers: Option<&str>, told: &str) {
        let odds = odds.map(|text| Distribution::parse(text).unwrap());
        let error = Table::parse(log, odds.as_ref(), answers).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        let log = "action,position,reward,pscore,pi_e\n";
        let with = |row: &str| format!("{log}{row}\n");
        check("", None, None, "no rows");
        check(log, None, None, "no rows");
        check("action,reward,pi_e\n", None, None, "no column `pscore`");
        check("reward,pscore\n1,1\n", None, None, "--action-dist");
        check(
            &with("0,0,1,0,1"),
            None,
            None,
            "row 1, pscore: expected a probability above 0",
        );
        check(&with("0,0,1,1e-400,1"), None, None, "pscore");
        check(
            &with("0,0,NaN,1,1"),
            None,
            None,
            "row 1, reward: expected a finite number",
        );
        check(&with("0,0,1,1,1.5"), None, None, "pi_e");
        check(&with("0,0,1,1"), None, None, "expected 5 cells, found 4");
        check(&with("2,0,1,1,1"), Some(ODDS), None, "row 1, action");
        check(&with("0,2,1,1,1"), Some(ODDS), None, "row 1, position");
        let fine = with("0,0,1,1,1");
        check(&fine, None, Some("1,2"), "--action-dist");
        check(&fine, Some(ODDS), Some("1"), "expected 2 cells, found 1");
        check(
            &fine,
            Some(ODDS),
            Some("1,2\n1,2"),
            "it has 2 rows, the log 1",
        );
        check(&fine, Some(ODDS), Some("1,x"), "answer");
        for wrong in ["action,pos0\n0,1.5\n", "action,pos0\n", ""] {
            assert!(Distribution::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn slates_of_a_log() {
        let log = "slate_id,position,reward,pscore,evaluation_policy_pscore,pscore_cascade,evaluation_policy_pscore_cascade\n\
                   7,0,1,0.25,0.5,0.5,0.5\n7,1,0,0.25,0.5,0.25,0.5\n8,0,0,1,1,1,1\n";
        let slates = Table::slates(log).unwrap();
        let found: Vec<Vec<(f64, f64)>> = slates
            .iter()
            .map(|slate| slate.iter().map(|r| (r.joint, r.cascade)).collect())
            .collect();
        assert_eq!(found, [vec![(2.0, 1.0), (2.0, 2.0)], vec![(1.0, 1.0)]]);
        assert!(Table::slates("slate_id,position\n").is_err());
    }
}
