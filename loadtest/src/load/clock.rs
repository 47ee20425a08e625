//! Time in nanoseconds, and an alarm that is exact to microseconds.
//!
//! The timers of tokio have steps of a millisecond, which at 5,000 requests per second would send five at
//! a time; waiting in a loop for the next moment would be exact and is stopped by the kernel for 50 ms
//! of every second under a real-time priority. A timerfd is as exact and sleeps.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

const SECOND_NS: u64 = 1_000_000_000;

/// Nanoseconds of the monotonic clock.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * SECOND_NS + now.tv_nsec as u64
}

/// Wakes its task at given moments.
#[derive(Debug)]
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// An alarm of the current runtime.
    #[expect(
        deprecated,
        reason = "its successor is unsafe; an OwnedFd, which is all that is given to it, stays the same"
    )]
    pub fn new() -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Alarm(AsyncFd::new(timer)?))
    }

    /// Returns at that moment of the monotonic clock, at once if it has passed.
    pub async fn until(&self, at_ns: u64) -> io::Result<()> {
        if at_ns <= now_ns() {
            return Ok(());
        }
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let at = Timespec {
            tv_sec: (at_ns / SECOND_NS) as i64,
            tv_nsec: (at_ns % SECOND_NS) as i64,
        };
        let once = Itimerspec {
            it_interval: zero,
            it_value: at,
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut expirations = [0; 8];
            match rustix::io::read(self.0.get_ref(), &mut expirations) {
                Ok(_) => return Ok(()),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_rings_after_its_moment_and_never_before() {
        let alarm = Alarm::new().unwrap();
        for wait_us in [0, 50, 130, 700, 2_300] {
            let at = now_ns() + wait_us * 1_000;
            alarm.until(at).await.unwrap();
            assert!(now_ns() >= at, "{wait_us} us");
        }
    }

    #[tokio::test]
    async fn it_is_finer_than_a_millisecond() {
        let alarm = Alarm::new().unwrap();
        // The machine may be busy; the best of many is the timer's own.
        let mut best = u64::MAX;
        for _ in 0..200 {
            let at = now_ns() + 100_000;
            alarm.until(at).await.unwrap();
            best = best.min(now_ns() - at);
        }
        assert!(best < 500_000, "{best} ns late at best");
    }
}
