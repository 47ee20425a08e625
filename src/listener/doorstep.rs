//! In front of hyper: which protocol, and who is turned away unread.
//!
//! Only a plain request is turned away here: HTTP/1.1, whole, with a length and without anything that would
//! change what the length or the next request means. hyper's own parser reads its head. The rest is hyper's.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

use super::activity::{H2_PREFACE, Watched};
use super::connection::PerConnection;
use super::{Answers, Head};

/// Bytes that are read at once.
const READ_BYTES: usize = 8 * 1_024;

/// Header lines of a plain request.
const HEADERS_MAX: usize = 64;

/// A connection between two requests, or before its first.
pub(super) struct Doorstep {
    io: Watched<TcpStream>,
    buffer: BytesMut,
    /// Answers that are not sent yet.
    out: BytesMut,
    /// How long they are held back.
    hold: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// It is known not to be HTTP/2.
    is_http1: bool,
    closing: bool,
}

/// How a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// hyper has all that came, and reads on by itself.
    All,
    /// hyper has one whole request of so many bytes, and no more until it is answered.
    One(usize),
    /// hyper has it as HTTP/2.
    Http2,
    /// Nobody is there any more, or nobody is to be.
    Over,
}

/// What the first bytes of the buffer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found<'a> {
    /// Not yet clear.
    Part,
    /// A plain request of so many bytes.
    Plain(usize, Head<'a>),
    /// Anything else.
    Other,
}

impl Doorstep {
    pub fn new(io: Watched<TcpStream>, buffer: BytesMut, is_http1: bool) -> Doorstep {
        Doorstep {
            io,
            buffer,
            out: BytesMut::new(),
            hold: None,
            is_http1,
            closing: false,
        }
    }

    /// Takes no further request.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// The socket, and what came and has not been answered.
    pub fn into_parts(self) -> (Watched<TcpStream>, BytesMut) {
        (self.io, self.buffer)
    }

    /// Turns away who is to be turned away, until the connection goes on otherwise.
    pub fn poll<S: Answers>(
        &mut self,
        cx: &mut Context<'_>,
        service: &PerConnection<S>,
    ) -> Poll<Next> {
        loop {
            let next = match self.hold {
                None if !self.closing => self.turn_away(service),
                _ => None,
            };
            // What was asked before is answered before.
            if ready!(self.poll_sent(cx)).is_err() {
                return Poll::Ready(Next::Over);
            }
            if self.closing {
                // Whatever comes of it: nothing else is to be said.
                return Pin::new(&mut self.io).poll_shutdown(cx).map(|_| Next::Over);
            }
            if let Some(next) = next {
                return Poll::Ready(next);
            }
            self.buffer.reserve(READ_BYTES);
            let read = pin!(self.io.read_buf(&mut self.buffer)).poll(cx);
            match ready!(read) {
                Ok(0) | Err(_) => return Poll::Ready(Next::Over),
                Ok(_) => {}
            }
        }
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        if let Some(hold) = &mut self.hold {
            ready!(hold.as_mut().poll(cx));
            self.hold = None;
        }
        while !self.out.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.out)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(())),
                Ok(written) => self.out.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Answers requests at the buffer's front as long as they are turned away. None: more is to be read.
    fn turn_away<S: Answers>(&mut self, service: &PerConnection<S>) -> Option<Next> {
        while !self.buffer.is_empty() {
            if !self.is_http1 {
                if self.buffer.starts_with(H2_PREFACE) {
                    return Some(Next::Http2);
                }
                if H2_PREFACE.starts_with(&self.buffer) {
                    return None;
                }
                self.is_http1 = true;
            }
            if !service.inner.turns_away() {
                return Some(Next::All);
            }
            let (bytes, head) = match find(&self.buffer, service.config.h1_buffer_bytes) {
                Found::Part => return None,
                Found::Other => return Some(Next::All),
                Found::Plain(bytes, head) => (bytes, head),
            };
            let Some(away) = service.inner.turn_away(&head) else {
                return Some(Next::One(bytes));
            };
            service.turned_away();
            self.buffer.advance(bytes);
            self.out.extend_from_slice(&away.answer);
            if away.hold.is_some() {
                self.hold = away.hold;
                return None;
            }
        }
        None
    }
}

/// Looks at the request that begins there.
fn find(buffer: &[u8], bytes_max: usize) -> Found<'_> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(buffer) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if buffer.len() < bytes_max => return Found::Part,
        _ => return Found::Other,
    };
    let (Some(1), Some(method), Some(target)) = (request.version, request.method, request.path)
    else {
        return Found::Other;
    };
    let (mut length, mut origin) = (None, None);
    for header in request.headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            if length.is_some() {
                return Found::Other;
            }
            length = number(header.value);
            if length.is_none() {
                return Found::Other;
            }
        } else if is("origin") {
            origin = Some(header.value);
        } else if is("connection") {
            if !header.value.eq_ignore_ascii_case(b"keep-alive") {
                return Found::Other;
            }
        } else if ["transfer-encoding", "expect", "upgrade", "te", "trailer"]
            .into_iter()
            .any(is)
        {
            return Found::Other;
        }
    }
    let bytes = head + length.unwrap_or(0);
    if bytes > bytes_max {
        return Found::Other;
    }
    if buffer.len() < bytes {
        return Found::Part;
    }
    let head = Head {
        method,
        target,
        origin,
    };
    Found::Plain(bytes, head)
}

/// A length of up to six digits and nothing else: longer bodies are hyper's.
fn number(digits: &[u8]) -> Option<usize> {
    let plain = !digits.is_empty() && digits.len() <= 6 && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1_024;

    #[track_caller]
    fn check(text: &str, expected: Found<'_>) {
        assert_eq!(find(text.as_bytes(), MAX), expected, "{text:?}");
    }

    fn plain(text: &str, target: &'static str) -> Found<'static> {
        let head = Head {
            method: "POST",
            target,
            origin: None,
        };
        Found::Plain(text.len(), head)
    }

    #[test]
    fn a_plain_request_is_told_from_its_first_byte_to_its_last() {
        let text = "POST /a HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\ncontent-length: 4\r\n\r\nabcd";
        check(text, plain(text, "/a"));
        for end in 1..text.len() {
            check(&text[..end], Found::Part);
        }
        let two = format!("{text}POST /b HTTP/1.1\r\n\r\n");
        assert_eq!(find(two.as_bytes(), MAX), plain(text, "/a"));
        let bare = "POST /b HTTP/1.1\r\n\r\n";
        check(bare, plain(bare, "/b"));
    }

    #[test]
    fn what_is_not_plain_is_left_to_hyper() {
        for header in [
            "content-length: 4\r\ncontent-length: 4",
            "content-length: +4",
            "content-length: 4, 4",
            "content-length:",
            "content-length: 9999999",
            "content-length: 2000",
            "transfer-encoding: chunked",
            "Transfer-Encoding : chunked",
            "expect: 100-continue",
            "connection: close",
            "connection: keep-alive, x",
            "upgrade: h2c",
            " folded: x",
            "no colon",
        ] {
            check(
                &format!("POST / HTTP/1.1\r\n{header}\r\n\r\nabcd"),
                Found::Other,
            );
        }
        check("POST / HTTP/1.0\r\n\r\n", Found::Other);
        check("GET\0/ HTTP/1.1\r\n\r\n", Found::Other);
        let long = format!("POST / HTTP/1.1\r\nx: {}", "y".repeat(MAX));
        check(&long, Found::Other);
    }
}
