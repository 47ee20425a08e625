//! A body that somebody has looked into before it goes on to whoever reads it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::RequestBody;

/// A request's body of which what had come is known. Read as a body it gives all there is, as if nobody had looked.
#[derive(Debug)]
pub struct Peeked {
    first: Option<Bytes>,
    next: Option<Result<Frame<Bytes>, BoxError>>,
    ended: bool,
    rest: RequestBody,
}

impl Peeked {
    /// Looks at what is there already, up to a second piece. Waits for nothing.
    pub async fn look(rest: RequestBody) -> Peeked {
        let mut peeked = Peeked {
            first: None,
            next: None,
            ended: false,
            rest,
        };
        poll_fn(|cx| {
            while !peeked.ended && peeked.next.is_none() {
                match Pin::new(&mut peeked.rest).poll_frame(cx) {
                    Poll::Ready(Some(frame)) => peeked.keep(frame),
                    Poll::Ready(None) => peeked.ended = true,
                    // Whoever reads on is woken for it.
                    Poll::Pending => break,
                }
            }
            Poll::Ready(())
        })
        .await;
        peeked
    }

    fn keep(&mut self, frame: Result<Frame<Bytes>, BoxError>) {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) if self.first.is_none() => self.first = Some(data),
            // The end of a stream may come as an empty piece of its own.
            Ok(Ok(data)) if data.is_empty() => {}
            Ok(Ok(data)) => self.next = Some(Ok(Frame::data(data))),
            Ok(Err(other)) => self.next = Some(Ok(other)),
            Err(error) => self.next = Some(Err(error)),
        }
    }

    /// The whole body, where it is all there in one piece.
    #[must_use]
    pub fn whole(&self) -> Option<&Bytes> {
        self.first.as_ref().filter(|_| self.ended)
    }
}

impl HttpBody for Peeked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(next));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.next.is_none() && (self.ended || self.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        // What was taken from the rest is no longer in its hint, and nobody who reads this needs one.
        SizeHint::default()
    }
}
