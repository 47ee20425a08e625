//! One connection from accept to close: HTTP/1.1 or h2c, under every timer at once.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::activity::{Activity, InFlight, Watched};
use super::body::{AnswerBody, RequestBody};
use super::conversation::{Conversation, Protocols};
use super::{Answers, ListenerConfig, ListenerStats, Timeout};

/// Both protocols, with every limit set and none left at hyper's "no limit".
pub(super) fn protocols(config: &ListenerConfig) -> Protocols {
    let mut http1 = http1::Builder::new();
    http1
        .timer(TokioTimer::new())
        // Ours, see `activity`: hyper's would also cut connections that are merely idle.
        .header_read_timeout(None)
        .max_buf_size(config.h1_buffer_bytes)
        .max_headers(config.h1_headers_max);
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.h2_streams_max)
        .initial_stream_window_size(config.h2_stream_window_bytes)
        .initial_connection_window_size(config.h2_connection_window_bytes)
        .max_header_list_size(config.h2_header_list_bytes)
        .max_pending_accept_reset_streams(config.h2_pending_resets_max)
        .max_local_error_reset_streams(config.h2_error_resets_max)
        // What we may hold for a slow reader of one stream; hyper's default is 400 KiB.
        .max_send_buf_size(config.h2_stream_window_bytes as usize)
        .keep_alive_interval(Duration::from_millis(config.h2_ping_ms))
        .keep_alive_timeout(Duration::from_millis(config.h2_ping_timeout_ms));
    Protocols { http1, http2 }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was closed in order, or a timer cut it.
    Closed,
    /// A drain ran out of time and cut it in the middle of something.
    Aborted,
}

/// Serves one connection until it closes, a timer cuts it, or `shutdown` has drained it.
pub(super) async fn serve<S: Answers>(
    stream: TcpStream,
    service: PerConnection<S>,
    protocols: Arc<Protocols>,
    mut shutdown: watch::Receiver<()>,
    draining: Arc<AtomicBool>,
) -> End {
    let activity = service.activity.clone();
    let (config, stats) = (service.config.clone(), service.stats.clone());
    let io = Watched::new(stream, activity.clone());
    let mut connection = Conversation::new(io, protocols, service);
    // Borrowed, not moved: while this receiver lives, the drain waits for this connection. It is polled
    // once, to have this task woken; then a look at the flag is enough, and spares every request a lock.
    let mut shutdown = pin!(shutdown.changed());
    let mut listening = false;
    let mut timer = pin!(sleep_until(activity.instant(config.first_byte_ms)));
    let mut timer_set = false;
    // When the connection is cut, once it has been asked to close.
    let mut closing: Option<(u64, Timeout)> = None;

    poll_fn(|cx| {
        loop {
            if connection.poll(cx).is_ready() {
                return Poll::Ready(End::Closed);
            }
            let now = activity.now();
            let heard = !listening && shutdown.as_mut().poll(cx).is_ready();
            listening = true;
            if closing.is_none() && (heard || draining.load(Relaxed)) {
                closing = Some((now.saturating_add(config.drain_ms_max), Timeout::Drain));
                connection.graceful_shutdown();
                continue;
            }
            let next = match (activity.check(now, closing.is_some(), &config), closing) {
                (_, Some((cut, why))) if now >= cut => {
                    if why != Timeout::Drain {
                        return Poll::Ready(End::Closed);
                    }
                    stats.timed_out(Timeout::Drain);
                    return Poll::Ready(End::Aborted);
                }
                (Ok(next), Some((cut, _))) => next.min(cut),
                (Ok(next), None) => next,
                // Nothing is lost by these: what is in flight may finish.
                (Err(kind @ (Timeout::Idle | Timeout::Age)), _) => {
                    stats.timed_out(kind);
                    let grace = match kind {
                        Timeout::Idle => config.write_stall_ms,
                        _ => config.drain_ms_max,
                    };
                    closing = Some((now.saturating_add(grace), kind));
                    connection.graceful_shutdown();
                    continue;
                }
                (Err(kind), _) => {
                    stats.timed_out(kind);
                    return Poll::Ready(End::Closed);
                }
            };
            // A timer that fires early only looks again. Moving it on every request would cost more.
            let next = activity.instant(next);
            if next < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(next);
                timer_set = false;
            }
            // Once polled it wakes this task at its deadline, and not before.
            let due = activity.instant(now) >= timer.deadline();
            if timer_set && !due {
                return Poll::Pending;
            }
            timer_set = true;
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// What every request of one connection goes through before it reaches the application.
#[derive(Clone)]
pub(super) struct PerConnection<S> {
    pub(super) inner: S,
    pub(super) config: Arc<ListenerConfig>,
    pub(super) stats: Arc<ListenerStats>,
    pub(super) activity: Arc<Activity>,
}

impl<S> PerConnection<S> {
    /// Counts a request that was answered without anybody having read it.
    pub(super) fn turned_away(&self) {
        self.stats.requests.fetch_add(1, Relaxed);
        self.activity.turned_away();
    }
}

type Answer<B> = Result<Response<AnswerBody<B>>, Infallible>;

impl<S: Answers> hyper::service::Service<Request<Incoming>> for PerConnection<S> {
    type Response = Response<AnswerBody<S::Body>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer<S::Body>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.stats.requests.fetch_add(1, Relaxed);
        let in_flight = InFlight::begin(self.activity.clone());
        let (head, body) = request.into_parts();
        let (stats, activity) = (self.stats.clone(), self.activity.clone());
        let body = RequestBody::new(body, &head.headers, &self.config, stats, activity);
        let request = Request::from_parts(head, body);
        let inner = self.inner.clone();
        let stats = self.stats.clone();
        Box::pin(async move {
            Ok(match unless_panics(inner.answer(request)).await {
                Some(answer) => answer.map(|body| AnswerBody::new(body, in_flight)),
                None => {
                    stats.panics.fetch_add(1, Relaxed);
                    broken().map(|body| AnswerBody::broken(body, in_flight))
                }
            })
        })
    }
}

/// What `future` gives, or `None` if it panics: a panic costs one request, not its connection.
async fn unless_panics<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        },
    )
    .await
}

/// The answer of a handler that panicked.
fn broken() -> Response<Full<Bytes>> {
    const PROBLEM: &str = r#"{"type":"about:blank","title":"internal error","status":500,"detail":"the request met a bug in the server"}"#;
    let mut answer = Response::new(Full::from(PROBLEM));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    answer
}
