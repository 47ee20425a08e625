//! What is spoken on one connection: HTTP/2 or HTTP/1.1 with hyper, or a refusal from the doorstep.
//!
//! Through hyper, a refusal has its head made into a map, a future boxed for it and an answer written line by line, and
//! each by itself; where there is much too much, that is what the time goes into. So, while the application turns requests away, a connection of
//! HTTP/1.1 waits in front of hyper between its requests. Whoever is let in, and everything that is not plain,
//! goes on to hyper, byte for byte; when hyper has answered and nothing is left with it, the connection comes
//! back. hyper itself hands over what it has read and not used, so that nobody guesses where a request begins.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::Answers;
use super::activity::Watched;
use super::connection::PerConnection;
use super::doorstep::{Doorstep, Next};

type Io = TokioIo<Watched<TcpStream>>;

/// hyper's builders for both protocols, with every limit set.
pub(super) struct Protocols {
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
}

/// One connection from its first byte to its last.
pub(super) struct Conversation<S: Answers> {
    stage: Stage<S>,
    protocols: Arc<Protocols>,
    service: PerConnection<S>,
    closing: bool,
}

enum Stage<S: Answers> {
    Doorstep(Box<Doorstep>),
    Http1(Box<Http1<S>>),
    Http2(Box<http2::Connection<Io, PerConnection<S>, TokioExecutor>>),
    Over,
}

/// A connection that hyper has.
struct Http1<S: Answers> {
    connection: http1::Connection<Io, PerConnection<S>>,
    /// What came behind the one request that hyper was given; None where it reads by itself.
    behind: Option<BytesMut>,
    /// Requests that had been answered on this connection before.
    answered: u64,
}

impl<S: Answers> Conversation<S> {
    pub fn new(
        io: Watched<TcpStream>,
        protocols: Arc<Protocols>,
        service: PerConnection<S>,
    ) -> Conversation<S> {
        let doorstep = Doorstep::new(io, BytesMut::new(), false);
        Conversation {
            stage: Stage::Doorstep(Box::new(doorstep)),
            protocols,
            service,
            closing: false,
        }
    }

    /// Finishes what is in flight and takes nothing new.
    pub fn graceful_shutdown(&mut self) {
        self.closing = true;
        match &mut self.stage {
            Stage::Doorstep(doorstep) => doorstep.close(),
            Stage::Http1(http1) => Pin::new(&mut http1.connection).graceful_shutdown(),
            Stage::Http2(connection) => Pin::new(&mut **connection).graceful_shutdown(),
            Stage::Over => {}
        }
    }

    /// Ready when the connection is over, for whatever reason.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.stage {
                Stage::Doorstep(doorstep) => {
                    let next = ready!(doorstep.poll(cx, &self.service));
                    self.go_on(next);
                }
                Stage::Http1(http1) => {
                    if Pin::new(&mut http1.connection).poll(cx).is_ready() {
                        self.stage = Stage::Over;
                    } else if self.closing || !http1.may_come_back(&self.service) {
                        return Poll::Pending;
                    } else {
                        self.come_back();
                    }
                }
                Stage::Http2(connection) => return Pin::new(&mut **connection).poll(cx).map(drop),
                Stage::Over => return Poll::Ready(()),
            }
        }
    }

    /// Leaves the doorstep.
    fn go_on(&mut self, next: Next) {
        let Stage::Doorstep(doorstep) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        let (mut io, mut buffer) = doorstep.into_parts();
        let behind = match next {
            Next::Over => return,
            Next::One(bytes) => Some(buffer.split_off(bytes)),
            Next::All | Next::Http2 => None,
        };
        io.put_back(buffer.freeze(), behind.is_some());
        let (io, service) = (TokioIo::new(io), self.service.clone());
        self.stage = if next == Next::Http2 {
            let connection = self.protocols.http2.serve_connection(io, service);
            Stage::Http2(Box::new(connection))
        } else {
            Stage::Http1(Box::new(Http1 {
                connection: self.protocols.http1.serve_connection(io, service),
                behind,
                answered: self.service.activity.answered(),
            }))
        };
    }

    /// Takes the connection from hyper, which has answered all that it was given.
    fn come_back(&mut self) {
        let Stage::Http1(http1) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        let parts = http1.connection.into_parts();
        let mut io = parts.io.into_inner();
        let put_back = io.take_back();
        let buffer = match http1.behind {
            // What it has not used is the end of that one request's body: nobody has asked for it.
            Some(behind) => behind,
            None => joined(parts.read_buf, &put_back),
        };
        self.stage = Stage::Doorstep(Box::new(Doorstep::new(io, buffer, true)));
    }
}

impl<S: Answers> Http1<S> {
    /// Whether hyper, which has nothing to do at this moment, has nothing left of a request either.
    fn may_come_back(&self, service: &PerConnection<S>) -> bool {
        let activity = &service.activity;
        if !activity.is_quiet() || activity.answered() == self.answered {
            return false;
        }
        self.behind.is_some() || (service.inner.turns_away() && !activity.has_unread_body())
    }
}

fn joined(first: Bytes, second: &[u8]) -> BytesMut {
    let mut both = BytesMut::from(first);
    both.extend_from_slice(second);
    both
}
