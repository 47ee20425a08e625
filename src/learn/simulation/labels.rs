//! When a learner is told of what.
//!
//! A failure is known when a showing is seen and a success, if at all, minutes to days later. Learning the
//! failure at once and flipping it when a success comes is right at every moment but for what is still on
//! its way. Learning successes as they come and failures when the window closes looks just as careful, and
//! makes everything look better than it is for as long as the window: that is the naive way, here to be measured.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;

use super::visits::{DAY_MS, MINUTE_MS, exponential};
use crate::learn::Dice;

/// When a learner is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// The failure once seen, taken back when a success comes: what the server does.
    Flip,
    /// Success or failure at once, as nobody can know: what delay costs is measured against it.
    AtOnce,
    /// Successes as they come, failures when the window has closed.
    Naive,
}

impl Labels {
    const ALL: [(Labels, &str); 3] = [
        (Labels::Flip, "flip"),
        (Labels::AtOnce, "at-once"),
        (Labels::Naive, "naive"),
    ];
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Labels::ALL.iter().find(|(labels, _)| labels == self);
        f.write_str(named.expect("every scheme has a name").1)
    }
}

impl FromStr for Labels {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Labels, &'static str> {
        let named = Labels::ALL.iter().find(|(_, name)| *name == word);
        named
            .map(|(labels, _)| *labels)
            .ok_or("expected one of flip, at-once, naive")
    }
}

/// What a learner is told of a showing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lesson {
    /// It failed, so far or for good.
    Failure,
    /// It succeeded, and nothing else was ever said of it.
    Success,
    /// It succeeded after all.
    Flip,
}

/// From the showing until it counts as seen.
pub const HOLD_MS: u64 = MINUTE_MS;
/// A success that comes later is nobody's.
pub const WINDOW_MS: u64 = 3 * DAY_MS;
/// How conversions come late: with what share, and after how many minutes in the mean.
pub const DELAYS: [(f64, f64); 3] = [(0.6, 10.0), (0.3, 288.0), (0.1, 1_728.0)];

/// How long after it was seen a showing converts.
pub fn delay_ms(dice: &mut Dice) -> u64 {
    let kind = dice.pick(&DELAYS.map(|(share, _)| share));
    (exponential(dice) * DELAYS[kind].1 * MINUTE_MS as f64) as u64
}

/// Lessons that are on their way, by when they come.
#[derive(Debug, Default)]
pub struct Post {
    queue: BinaryHeap<Reverse<(u64, u32, Lesson)>>,
}

impl Post {
    /// Sends the lessons of a showing that was seen, and that converts after `delay_ms` if at all.
    pub fn send(&mut self, labels: Labels, at_ms: u64, showing: u32, delay_ms: Option<u64>) {
        let delay = delay_ms.filter(|delay| *delay < WINDOW_MS);
        let came = delay.map(|delay| at_ms + HOLD_MS + delay);
        let mut put = |at, lesson| self.queue.push(Reverse((at, showing, lesson)));
        match (labels, came) {
            (Labels::Flip, came) => {
                put(at_ms + HOLD_MS, Lesson::Failure);
                came.into_iter().for_each(|at| put(at, Lesson::Flip));
            }
            (Labels::AtOnce, Some(_)) => put(at_ms + HOLD_MS, Lesson::Success),
            (Labels::AtOnce, None) => put(at_ms + HOLD_MS, Lesson::Failure),
            (Labels::Naive, Some(at)) => put(at, Lesson::Success),
            (Labels::Naive, None) => put(at_ms + HOLD_MS + WINDOW_MS, Lesson::Failure),
        }
    }

    /// The next lesson that has come by then, and of which showing.
    pub fn next(&mut self, now_ms: u64) -> Option<(u32, Lesson)> {
        let Reverse((at, showing, lesson)) = *self.queue.peek()?;
        (at <= now_ms).then(|| {
            self.queue.pop();
            (showing, lesson)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(labels: Labels, delay_ms: Option<u64>, expected: &[(u64, Lesson)]) {
        let mut post = Post::default();
        post.send(labels, 1_000, 7, delay_ms);
        for &(at, lesson) in expected {
            assert_eq!(post.next(at - 1), None, "{labels}, {delay_ms:?}");
            assert_eq!(post.next(at), Some((7, lesson)), "{labels}, {delay_ms:?}");
        }
        assert_eq!(post.next(u64::MAX), None, "{labels}, {delay_ms:?}");
    }

    #[test]
    fn lessons_come_when_they_are_known() {
        let (seen, late) = (1_000 + HOLD_MS, WINDOW_MS);
        check(Labels::Flip, None, &[(seen, Lesson::Failure)]);
        check(Labels::Flip, Some(late), &[(seen, Lesson::Failure)]);
        check(
            Labels::Flip,
            Some(50),
            &[(seen, Lesson::Failure), (seen + 50, Lesson::Flip)],
        );
        check(Labels::AtOnce, Some(50), &[(seen, Lesson::Success)]);
        check(Labels::AtOnce, Some(late), &[(seen, Lesson::Failure)]);
        check(Labels::Naive, Some(50), &[(seen + 50, Lesson::Success)]);
        check(Labels::Naive, None, &[(seen + WINDOW_MS, Lesson::Failure)]);
    }

    #[test]
    fn delays_go_from_minutes_to_days() {
        let mut dice = Dice::new(1);
        let mut delays: Vec<u64> = (0..10_000).map(|_| delay_ms(&mut dice)).collect();
        delays.sort_unstable();
        let minutes = |share: usize| delays[share * 100] / MINUTE_MS;
        assert!((8..25).contains(&minutes(50)), "{}", minutes(50));
        assert!((1_000..3_000).contains(&minutes(95)), "{}", minutes(95));
    }
}
