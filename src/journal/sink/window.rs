//! How much of what is shipped the journal must keep, because Redis may lose it again.

use std::collections::VecDeque;

use crate::journal::Position;

/// Samples kept of the shipped position: the floor is at most this fraction of the window too low.
const SAMPLES: i64 = 32;

/// The position that was shipped a given time before the newest one, in the journal's own time.
#[derive(Debug)]
pub struct Window {
    width_ms: i64,
    samples: VecDeque<Position>,
}

impl Window {
    /// A window of `width_ms`.
    #[must_use]
    pub fn new(width_ms: u64) -> Window {
        Window {
            width_ms: i64::try_from(width_ms).unwrap_or(i64::MAX),
            samples: VecDeque::new(),
        }
    }

    /// Takes note of what is shipped. The answer is what the journal may let go; `None` while
    /// nothing is old enough.
    pub fn floor(&mut self, shipped: Position) -> Option<Position> {
        while self.samples.back().is_some_and(|last| *last > shipped) {
            self.samples.pop_back();
        }
        let step = self.width_ms / SAMPLES;
        if self
            .samples
            .back()
            .is_none_or(|last| shipped.ms - last.ms >= step)
        {
            self.samples.push_back(shipped);
        }
        let limit = shipped.ms.saturating_sub(self.width_ms);
        while self.samples.get(1).is_some_and(|next| next.ms <= limit) {
            self.samples.pop_front();
        }
        self.samples
            .front()
            .copied()
            .filter(|first| first.ms <= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_follows_at_a_distance() {
        let at = |n: i64| Position {
            ms: n * 100,
            seq: n as u64,
        };
        let mut window = Window::new(3_200);
        assert_eq!(window.floor(at(1)), None);
        assert_eq!(window.floor(at(20)), None);
        assert_eq!(window.floor(at(33)), Some(at(1)));
        assert_eq!(window.floor(at(53)), Some(at(20)));
        assert_eq!(window.floor(at(10)), None, "what was lost in redis is kept");
        assert_eq!(Window::new(0).floor(at(7)), Some(at(7)));
    }
}
