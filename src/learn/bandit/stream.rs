//! Reading a bandit stream: one JSON object a line, and what its actions are beside it.

use serde::Deserialize;

use crate::model::online::{FULL_MAX, Feature};

/// A stream in memory.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its file's name without the ending.
    pub name: String,
    /// What a success of each action is worth.
    pub values: Vec<f64>,
    /// Numbers of a context, and the 1 that comes first.
    pub width: usize,
    /// Whether every seed plays it in the file's order.
    pub in_date_order: bool,
    /// Line by line.
    pub lines: Vec<StreamLine>,
}

/// A line.
#[derive(Clone, Debug)]
pub struct StreamLine {
    /// The context: a 1, then its numbers that are not 0.
    pub x: Vec<Feature>,
    /// What each action would earn.
    pub rewards: Vec<f64>,
}

/// Why a stream cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The file beside it.
    #[error("its .meta.json: {0}")]
    Meta(String),
    /// A line.
    #[error("line {line}: {problem}")]
    Line {
        /// Which, the first being 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// There is nothing to play.
    #[error("expected at least one line, found none")]
    Empty,
}

#[derive(Deserialize)]
struct Meta {
    actions: Vec<String>,
    values: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Written {
    x: Vec<f64>,
    r: Vec<f64>,
}

/// Actions of a stream at most: more than any placement has offers.
const ACTIONS_MAX: usize = 1_000;

impl Stream {
    /// Reads a stream and its `.meta.json`.
    ///
    /// # Errors
    /// Where a line is not what the contract says, with its number.
    pub fn parse(name: &str, text: &str, meta: &str) -> Result<Stream, StreamError> {
        let meta: Meta =
            serde_json::from_str(meta).map_err(|error| StreamError::Meta(error.to_string()))?;
        let actions = meta.actions.len();
        if !(1..=ACTIONS_MAX).contains(&actions) {
            let problem = format!("expected 1 to {ACTIONS_MAX} actions, found {actions}");
            return Err(StreamError::Meta(problem));
        }
        let values = meta.values.unwrap_or_else(|| vec![1.0; actions]);
        if values.len() != actions || !values.iter().all(|v| v.is_finite() && *v > 0.0) {
            let problem = format!("expected {actions} values, finite and above 0");
            return Err(StreamError::Meta(problem));
        }
        let mut stream = Stream {
            name: name.to_owned(),
            values,
            width: 0,
            in_date_order: name.ends_with("_chrono"),
            lines: Vec::new(),
        };
        for (i, text) in text.lines().enumerate() {
            stream.add(text).map_err(|problem| StreamError::Line {
                line: i + 1,
                problem,
            })?;
        }
        match stream.lines.is_empty() {
            true => Err(StreamError::Empty),
            false => Ok(stream),
        }
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let Written { x, r } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let width = x.len() + 1;
        if self.lines.is_empty() {
            self.width = width;
        }
        if width != self.width || width > FULL_MAX {
            let (expected, most) = (self.width - 1, FULL_MAX - 1);
            return Err(format!(
                "expected {expected} numbers in x as in the first line, and at most {most}; found {}",
                x.len()
            ));
        }
        if r.len() != self.values.len() {
            let (expected, found) = (self.values.len(), r.len());
            return Err(format!("expected {expected} rewards in r, found {found}"));
        }
        if !x.iter().chain(&r).all(|number| number.is_finite()) {
            return Err("expected finite numbers".to_owned());
        }
        let numbers = (1_u16..).zip(x).filter(|(_, value)| *value != 0.0);
        self.lines.push(StreamLine {
            x: std::iter::once((0, 1.0)).chain(numbers).collect(),
            rewards: r,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: &str = r#"{"actions":["a","b"],"values":[5,10]}"#;

    #[test]
    fn reads_lines_without_their_zeros() {
        let stream = Stream::parse("s", r#"{"t":0,"x":[0,2.5],"r":[0,10]}"#, META).unwrap();
        assert_eq!(stream.lines[0].x, [(0, 1.0), (2, 2.5)]);
        assert_eq!((stream.width, &*stream.values), (3, &[5.0, 10.0][..]));
    }

    #[track_caller]
    fn check_refused(text: &str, meta: &str, told: &str) {
        let error = Stream::parse("s", text, meta).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let good = r#"{"x":[1],"r":[0,1]}"#;
        check_refused("", META, "at least one line");
        check_refused(good, r#"{"actions":[]}"#, "1 to 1000 actions");
        check_refused(good, r#"{"actions":["a","b"],"values":[1,0]}"#, "above 0");
        check_refused(&format!("{good}\n{{}}"), META, "line 2: missing field");
        check_refused(
            &format!("{good}\n{}", good.replace("[1]", "[1,2]")),
            META,
            "expected 1 numbers",
        );
        check_refused(
            &good.replace("[0,1]", "[0]"),
            META,
            "line 1: expected 2 rewards",
        );
    }
}
