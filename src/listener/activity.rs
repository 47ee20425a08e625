//! What a connection is doing, so that one timer can tell when it has waited too long.
//!
//! hyper's own header timer also runs while a kept-alive connection is idle, and nothing of hyper's
//! watches a first byte or a slow reader. So the socket, the requests and the answers leave marks
//! here, and the connection's task looks at them whenever it runs.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{ListenerConfig, Timeout};

/// An instant in milliseconds since the connection began, plus one; zero is "not now".
///
/// Relaxed is enough: marks are written by the connection's task, or by a request's task that wakes
/// it, and a mark seen late only delays a timeout until the next look.
#[derive(Debug, Default)]
struct Mark(AtomicU64);

impl Mark {
    fn set(&self, now: u64) {
        self.0.store(now + 1, Relaxed);
    }

    fn set_if_unset(&self, now: u64) {
        let _ = self.0.compare_exchange(0, now + 1, Relaxed, Relaxed);
    }

    fn clear(&self) {
        self.0.store(0, Relaxed);
    }

    fn get(&self) -> Option<u64> {
        self.0.load(Relaxed).checked_sub(1)
    }
}

/// The marks of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    /// When this connection is old, in milliseconds since `start`.
    age: u64,
    /// Requests whose answer is not yet handed over.
    in_flight: AtomicU32,
    /// Answers that wait for their reader rather than for their handler.
    unread: AtomicU32,
    /// Since when no request is in flight; set once the first byte has come.
    quiet: Mark,
    /// Since when a header is being read.
    header: Mark,
    /// Since when the socket takes nothing.
    blocked: Mark,
    /// When a reader last took something.
    progress: Mark,
    /// Requests answered so far.
    answered: AtomicU64,
    /// The latest request's body was dropped before its end.
    unread_body: AtomicBool,
}

impl Activity {
    pub(super) fn new(start: Instant, age: u64) -> Activity {
        Activity {
            start,
            age,
            in_flight: AtomicU32::new(0),
            unread: AtomicU32::new(0),
            quiet: Mark::default(),
            header: Mark::default(),
            blocked: Mark::default(),
            progress: Mark::default(),
            answered: AtomicU64::new(0),
            unread_body: AtomicBool::new(false),
        }
    }

    /// Requests answered so far.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// Whether every answer is handed over and the socket has taken what it was given.
    pub(super) fn is_quiet(&self) -> bool {
        self.in_flight.load(Relaxed) == 0 && self.blocked.get().is_none()
    }

    /// A request's body was dropped before its end.
    pub(super) fn leave_body(&self) {
        self.unread_body.store(true, Relaxed);
    }

    /// Whether the latest request's body was dropped before its end.
    pub(super) fn has_unread_body(&self) -> bool {
        self.unread_body.load(Relaxed)
    }

    /// A request was answered without having been in flight.
    pub(super) fn turned_away(&self) {
        self.header.clear();
        self.quiet.set(self.now());
    }

    /// Milliseconds since the connection began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The instant `ms` after the connection began.
    pub(super) fn instant(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// When to look again, or the timer that has run out. A connection that is `closing` is no
    /// longer asked whether it is idle or old.
    pub(super) fn check(
        &self,
        now: u64,
        closing: bool,
        limits: &ListenerConfig,
    ) -> Result<u64, Timeout> {
        let busy = self.in_flight.load(Relaxed) > 0;
        let unread = self.unread.load(Relaxed) > 0;
        let never = (self.quiet.get().is_none() && !busy && !closing).then_some(0);
        let timers = [
            (
                self.blocked.get(),
                limits.write_stall_ms,
                Timeout::WriteStall,
            ),
            (
                self.progress.get().filter(|_| unread),
                limits.write_stall_ms,
                Timeout::WriteStall,
            ),
            (
                self.header.get().filter(|_| !busy),
                limits.header_ms,
                Timeout::Header,
            ),
            (
                never.filter(|_| self.header.get().is_none()),
                limits.first_byte_ms,
                Timeout::FirstByte,
            ),
            (
                self.quiet.get().filter(|_| !busy && !closing),
                limits.idle_ms,
                Timeout::Idle,
            ),
            (Some(0).filter(|_| !closing), self.age, Timeout::Age),
        ];
        // A request's own task may finish it just after this look without waking us, so a busy
        // connection is looked at every now and then.
        let recheck = limits.write_stall_ms.min(limits.idle_ms);
        let mut next = now.saturating_add(recheck);
        for (since, limit, kind) in timers {
            let Some(since) = since else { continue };
            let due = since.saturating_add(limit);
            if now >= due {
                return Err(kind);
            }
            next = next.min(due);
        }
        Ok(next)
    }
}

/// One request from its header until its answer is handed over.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    unread: bool,
}

impl InFlight {
    pub(super) fn begin(activity: Arc<Activity>) -> InFlight {
        activity.in_flight.fetch_add(1, Relaxed);
        activity.header.clear();
        activity.unread_body.store(false, Relaxed);
        InFlight {
            activity,
            unread: false,
        }
    }

    /// The answer's next bytes are there for the taking.
    pub(super) fn waits_for_reader(&mut self) {
        self.activity.progress.set(self.activity.now());
        if !self.unread {
            self.unread = true;
            self.activity.unread.fetch_add(1, Relaxed);
        }
    }

    /// The reader has taken all there is.
    pub(super) fn waits_for_handler(&mut self) {
        if self.unread {
            self.unread = false;
            self.activity.unread.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.waits_for_handler();
        self.activity.quiet.set(self.activity.now());
        self.activity.answered.fetch_add(1, Relaxed);
        self.activity.in_flight.fetch_sub(1, Relaxed);
    }
}

/// The first bytes of an HTTP/2 connection; no HTTP/1 request begins like this.
pub(super) const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket that marks what passes through it.
#[derive(Debug)]
pub(super) struct Watched<T> {
    inner: T,
    activity: Arc<Activity>,
    /// How many bytes of the preface have come; `None` once the client is known to speak HTTP/1.
    preface: Option<usize>,
    /// What came earlier and is read before anything else.
    put_back: Bytes,
    /// Nothing is read beyond it.
    stops: bool,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, activity: Arc<Activity>) -> Watched<T> {
        Watched {
            inner,
            activity,
            preface: Some(0),
            put_back: Bytes::new(),
            stops: false,
        }
    }

    /// Has these bytes read again, before all others or, where it `stops` there, and no others.
    pub(super) fn put_back(&mut self, bytes: Bytes, stops: bool) {
        (self.put_back, self.stops) = (bytes, stops);
    }

    /// What was put back and not read; the socket is read again from here on.
    pub(super) fn take_back(&mut self) -> Bytes {
        self.stops = false;
        std::mem::take(&mut self.put_back)
    }

    /// Bytes have come: on HTTP/1 with nothing in flight a header has begun. On HTTP/2 that holds
    /// for the preface only, since pings and windows may come at any time.
    fn received(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.preface == Some(H2_PREFACE.len()) {
            return;
        }
        if let Some(seen) = self.preface {
            let n = bytes.len().min(H2_PREFACE.len() - seen);
            self.preface = (bytes[..n] == H2_PREFACE[seen..seen + n]).then_some(seen + n);
        }
        let activity = &self.activity;
        let now = activity.now();
        if self.preface == Some(H2_PREFACE.len()) {
            activity.header.clear();
            activity.quiet.set(now);
        } else if activity.in_flight.load(Relaxed) == 0 {
            activity.header.set_if_unset(now);
        }
    }

    /// What came of a write.
    fn sent(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Pending => self.activity.blocked.set_if_unset(self.activity.now()),
            Poll::Ready(Ok(n)) if *n > 0 => {
                self.activity.blocked.clear();
                self.activity.progress.set(self.activity.now());
            }
            Poll::Ready(_) => {}
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.put_back.is_empty() {
            let n = self.put_back.len().min(buf.remaining());
            buf.put_slice(&self.put_back[..n]);
            self.put_back.advance(n);
            return Poll::Ready(Ok(()));
        }
        if self.stops {
            // Whoever reads has a request to answer, and is polled again with its answer.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = result {
            self.received(&buf.filled()[before..]);
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.sent(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.sent(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ListenerConfig {
        ListenerConfig {
            first_byte_ms: 10,
            header_ms: 20,
            idle_ms: 100,
            write_stall_ms: 50,
            ..ListenerConfig::default()
        }
    }

    #[track_caller]
    fn check(activity: &Activity, now: u64, expected: Result<u64, Timeout>) {
        assert_eq!(activity.check(now, false, &limits()), expected, "at {now}");
    }

    /// Marks made in a test are all made at 0: the connection begins in an hour.
    fn activity(age: u64) -> Arc<Activity> {
        let start = Instant::now() + Duration::from_secs(3_600);
        Arc::new(Activity::new(start, age))
    }

    fn connection() -> Watched<()> {
        Watched::new((), activity(1_000_000))
    }

    #[test]
    fn silence_ends_after_the_first_byte_timer() {
        let connection = connection();
        check(&connection.activity, 9, Ok(10));
        check(&connection.activity, 10, Err(Timeout::FirstByte));
    }

    #[test]
    fn a_header_is_timed_from_its_first_byte() {
        let mut connection = connection();
        connection.received(b"GET / HT");
        connection.received(b"TP/1.1");
        check(&connection.activity, 19, Ok(20));
        check(&connection.activity, 25, Err(Timeout::Header));
        let request = InFlight::begin(connection.activity.clone());
        check(&connection.activity, 25, Ok(75));
        drop(request);
        check(&connection.activity, 25, Ok(75));
        check(&connection.activity, 120, Err(Timeout::Idle));
    }

    #[test]
    fn a_preface_in_pieces_is_still_http2() {
        let mut connection = connection();
        connection.received(&H2_PREFACE[..3]);
        check(&connection.activity, 21, Err(Timeout::Header));
        connection.received(&H2_PREFACE[3..]);
        connection.received(b"a ping, say");
        check(&connection.activity, 21, Ok(71));
        check(&connection.activity, 120, Err(Timeout::Idle));
    }

    #[test]
    fn an_answer_nobody_reads_is_a_stall_and_one_nobody_writes_is_not() {
        let connection = connection();
        let mut request = InFlight::begin(connection.activity.clone());
        check(&connection.activity, 500, Ok(550));
        request.waits_for_reader();
        check(&connection.activity, 60, Err(Timeout::WriteStall));
        request.waits_for_handler();
        check(&connection.activity, 60, Ok(110));
    }

    #[test]
    fn a_blocked_socket_is_a_stall_until_it_takes_something() {
        let connection = connection();
        let _request = InFlight::begin(connection.activity.clone());
        connection.sent(&Poll::Pending);
        check(&connection.activity, 51, Err(Timeout::WriteStall));
        connection.sent(&Poll::Ready(Ok(1)));
        check(&connection.activity, 51, Ok(101));
    }

    #[test]
    fn age_counts_for_busy_connections_too() {
        let activity = activity(30);
        let _request = InFlight::begin(activity.clone());
        check(&activity, 29, Ok(30));
        check(&activity, 30, Err(Timeout::Age));
        assert_eq!(activity.check(30, true, &limits()), Ok(80));
    }
}
