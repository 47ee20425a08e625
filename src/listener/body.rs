//! Bodies under a deadline: requests that trickle in, answers that nobody reads.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::activity::{Activity, InFlight};
use super::{ListenerConfig, ListenerStats, Timeout};

/// A request's body did not arrive within `body_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's body did not arrive in time")]
struct Late;

/// Why a request's body could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is longer than the route takes: 413.
    #[error("the body is larger than the limit")]
    TooLarge,
    /// It did not arrive in time: 408.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The client went away or broke the protocol in the middle: 400, for whoever still listens.
    #[error("the body broke off")]
    Aborted,
}

/// The whole of `body`, at most `bytes_max` bytes of it, by `deadline`.
///
/// A body that says it is longer is refused before a byte of it is read.
///
/// # Errors
///
/// See [`BodyError`]. Whatever had arrived is dropped.
pub async fn read_body<B>(body: B, bytes_max: usize, deadline: Instant) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut collecting = pin!(collect(body, bytes_max));
    // Most bodies come with their header: then no timer is made.
    let there = poll_fn(|cx| Poll::Ready(collecting.as_mut().poll(cx))).await;
    if let Poll::Ready(read) = there {
        return read;
    }
    timeout_at(deadline, collecting)
        .await
        .unwrap_or(Err(BodyError::TooSlow))
}

async fn collect<B>(mut body: B, bytes_max: usize) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| BodyError::of(&*e.into()))?;
        // Trailers carry nothing we use.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let had = if rest.is_empty() {
            first.len()
        } else {
            rest.len()
        };
        if data.len() > bytes_max - had {
            return Err(BodyError::TooLarge);
        }
        // Most bodies come in one piece, which is then handed on without copying it.
        if had == 0 {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

impl BodyError {
    fn of(error: &(dyn Error + 'static)) -> BodyError {
        let mut next = Some(error);
        while let Some(error) = next {
            if error.is::<Late>() {
                return BodyError::TooSlow;
            }
            next = error.source();
        }
        BodyError::Aborted
    }
}

/// What a request's body has to keep up with.
#[derive(Debug)]
enum Pace {
    /// All of it by then.
    Whole(Instant),
    /// Each gRPC message in `body_ms`, the next one within `idle_ms`.
    Messages {
        framing: Framing,
        begun: Instant,
        body: Duration,
        idle: Duration,
    },
}

impl Pace {
    fn new(headers: &HeaderMap, now: Instant, limits: &ListenerConfig) -> Pace {
        let body = Duration::from_millis(limits.body_ms);
        let grpc = headers
            .get(CONTENT_TYPE)
            .is_some_and(|v| v.as_bytes().starts_with(b"application/grpc"));
        if grpc {
            Pace::Messages {
                framing: Framing::default(),
                begun: now,
                body,
                idle: Duration::from_millis(limits.idle_ms),
            }
        } else {
            Pace::Whole(now + body)
        }
    }

    fn deadline(&self) -> Instant {
        match self {
            Pace::Whole(deadline) => *deadline,
            Pace::Messages {
                framing,
                begun,
                body,
                idle,
            } => *begun + if framing.inside() { *body } else { *idle },
        }
    }

    fn received(&mut self, data: &[u8]) {
        if let Pace::Messages { framing, begun, .. } = self
            && framing.advance(data)
        {
            *begun = Instant::now();
        }
    }
}

/// Where in a stream of gRPC messages we are: each has a prefix of one flag and four bytes of
/// length, big endian.
#[derive(Debug, Default)]
struct Framing {
    prefix: [u8; 5],
    prefix_seen: usize,
    payload_left: usize,
}

impl Framing {
    /// Whether a message has begun and not ended.
    fn inside(&self) -> bool {
        self.prefix_seen > 0
    }

    /// Goes on by `data`; true if a message began or ended in it.
    fn advance(&mut self, mut data: &[u8]) -> bool {
        let mut turned = !self.inside() && !data.is_empty();
        while !data.is_empty() {
            if self.prefix_seen < self.prefix.len() {
                self.prefix[self.prefix_seen] = data[0];
                self.prefix_seen += 1;
                data = &data[1..];
                let [_, length @ ..] = self.prefix;
                self.payload_left = u32::from_be_bytes(length) as usize;
            } else {
                let n = data.len().min(self.payload_left);
                self.payload_left -= n;
                data = &data[n..];
            }
            if self.prefix_seen == self.prefix.len() && self.payload_left == 0 {
                self.prefix_seen = 0;
                turned = true;
            }
        }
        turned
    }
}

/// A request's body that must keep its pace.
#[derive(Debug)]
pub struct RequestBody {
    inner: Incoming,
    received: Instant,
    pace: Pace,
    /// Made when the body first has to be waited for: most come with their header.
    timer: Option<Pin<Box<Sleep>>>,
    stats: Arc<ListenerStats>,
    activity: Arc<Activity>,
}

impl RequestBody {
    pub(super) fn new(
        inner: Incoming,
        headers: &HeaderMap,
        limits: &ListenerConfig,
        stats: Arc<ListenerStats>,
        activity: Arc<Activity>,
    ) -> RequestBody {
        let received = Instant::now();
        RequestBody {
            inner,
            received,
            pace: Pace::new(headers, received, limits),
            timer: None,
            stats,
            activity,
        }
    }

    /// When the request's header had been read: it may have waited for its turn since.
    #[must_use]
    pub fn received(&self) -> std::time::Instant {
        self.received.into_std()
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.pace.deadline();
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !self.inner.is_end_stream() {
            self.activity.leave_body();
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.pace.received(data);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if self.poll_late(cx).is_ready() => {
                self.stats.timed_out(Timeout::Body);
                Poll::Ready(Some(Err(Late.into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body; the request counts as in flight until hyper has taken the last of it.
#[derive(Debug)]
pub(super) struct AnswerBody<B> {
    inner: Inner<B>,
    request: InFlight,
}

/// The application's body, or ours where it panicked.
#[derive(Debug)]
enum Inner<B> {
    Answer(B),
    Broken(Full<Bytes>),
}

impl<B> AnswerBody<B> {
    pub(super) fn new(body: B, request: InFlight) -> AnswerBody<B> {
        AnswerBody::of(Inner::Answer(body), request)
    }

    pub(super) fn broken(body: Full<Bytes>, request: InFlight) -> AnswerBody<B> {
        AnswerBody::of(Inner::Broken(body), request)
    }

    fn of(inner: Inner<B>, mut request: InFlight) -> AnswerBody<B> {
        request.waits_for_reader();
        AnswerBody { inner, request }
    }
}

impl<B> HttpBody for AnswerBody<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match &mut self.inner {
            Inner::Answer(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            Inner::Broken(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
        };
        match frame {
            Poll::Ready(_) => self.request.waits_for_reader(),
            Poll::Pending => self.request.waits_for_handler(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Answer(body) => body.is_end_stream(),
            Inner::Broken(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Answer(body) => body.size_hint(),
            Inner::Broken(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    /// A body of several frames.
    fn pieces(pieces: &'static [&'static str]) -> Body {
        Body::from_stream(tokio_stream::iter(
            pieces
                .iter()
                .map(|p| Ok::<_, std::io::Error>(Bytes::from_static(p.as_bytes()))),
        ))
    }

    #[track_caller]
    fn check(bytes_max: usize, body: Body, expected: Result<&str, BodyError>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let found = runtime.block_on(read_body(
            body,
            bytes_max,
            Instant::now() + Duration::from_secs(60),
        ));
        assert_eq!(found, expected.map(|text| Bytes::from(text.to_owned())));
    }

    #[test]
    fn a_body_may_be_as_long_as_the_limit() {
        check(5, Body::from("hello"), Ok("hello"));
        check(4, Body::from("hello"), Err(BodyError::TooLarge));
        check(5, pieces(&["he", "", "l", "lo"]), Ok("hello"));
        check(4, pieces(&["he", "", "l", "lo"]), Err(BodyError::TooLarge));
        check(0, pieces(&["", ""]), Ok(""));
        check(0, Body::empty(), Ok(""));
    }

    #[test]
    fn grpc_messages_are_told_apart_wherever_they_are_cut() {
        let stream: Vec<u8> = [
            &[0, 0, 0, 0, 2, 7, 7][..],
            &[0, 0, 0, 0, 0],
            &[1, 0, 0, 1, 0],
            &[9; 256],
        ]
        .concat();
        let ends = [7, 12, stream.len()];
        for size in 1..stream.len() {
            let mut framing = Framing::default();
            let mut at = 0;
            for piece in stream.chunks(size) {
                framing.advance(piece);
                at += piece.len();
                assert_eq!(framing.inside(), !ends.contains(&at), "{at} by {size}");
            }
        }
    }

    #[test]
    fn a_trickled_message_does_not_put_off_its_deadline() {
        let mut framing = Framing::default();
        assert!(framing.advance(&[0]), "it begins");
        assert!(!framing.advance(&[0, 0, 0, 2]), "it goes on");
        assert!(!framing.advance(&[7]), "it goes on");
        assert!(framing.advance(&[7]), "it ends");
    }
}
