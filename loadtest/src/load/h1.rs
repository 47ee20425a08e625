//! One HTTP/1.1 connection, read and written by hand.
//!
//! A request is written from the task that its moment wakes, without a detour over another task, and an
//! answer costs a search for its length. A general client would cost more than a fast server, and what
//! was measured would be the client.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use super::clock::now_ns;
use super::engine::{Engine, Slot};
use super::wire::{Job, Outcome};

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// The largest head of one.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A connection; requests in flight are answered in their order.
#[derive(Default)]
pub struct Lane {
    state: RefCell<State>,
    /// There is something to write, or the connection is to be given up.
    changed: Notify,
}

#[derive(Default)]
struct State {
    writer: Option<Rc<OwnedWriteHalf>>,
    /// What the kernel did not take at once.
    unsent: BytesMut,
    flight: VecDeque<(Job, Slot)>,
    given_up: bool,
}

impl Lane {
    /// Writes a request, or puts it to those that [`Lane::send`] writes together. If writing fails, the reading
    /// end hears of it too and settles the request.
    pub fn submit(&self, mut job: Job, slot: Slot, together: bool) {
        let mut state = self.state.borrow_mut();
        job.sent_ns = now_ns();
        if together {
            state.unsent.extend_from_slice(&job.prepared.bytes);
            state.flight.push_back((job, slot));
            return;
        }
        let bytes = &job.prepared.bytes;
        let written = match &state.writer {
            Some(writer) if state.unsent.is_empty() => writer.try_write(bytes).unwrap_or(0),
            _ => 0,
        };
        let rest = bytes.slice(written..);
        if !rest.is_empty() {
            state.unsent.extend_from_slice(&rest);
            self.changed.notify_one();
        }
        state.flight.push_back((job, slot));
    }

    /// Writes what was put together.
    pub fn send(&self) {
        // What cannot be written now is when the socket says so; an error is the reading end's to find.
        let _ = self.flush();
        if !self.state.borrow().unsent.is_empty() {
            self.changed.notify_one();
        }
    }

    /// Gives the connection up if its oldest request was sent before that moment.
    pub fn give_up_before(&self, sent_ns: u64) {
        let mut state = self.state.borrow_mut();
        if state
            .flight
            .front()
            .is_some_and(|(job, _)| job.sent_ns < sent_ns)
        {
            state.given_up = true;
            self.changed.notify_one();
        }
    }

    /// Reads until the connection ends, then settles what was in flight.
    pub async fn serve(&self, engine: &Rc<Engine>, stream: TcpStream, up: impl FnOnce()) {
        let (mut reader, writer) = stream.into_split();
        *self.state.borrow_mut() = State {
            writer: Some(Rc::new(writer)),
            ..State::default()
        };
        up();
        let ended = self.read(engine, &mut reader).await;
        let state = std::mem::take(&mut *self.state.borrow_mut());
        let outcome = match &ended {
            _ if state.given_up => Outcome::Failed("timeout".into(), String::new()),
            Ok(()) => Outcome::Failed("connection closed".into(), String::new()),
            Err(error) => Outcome::Failed("connection broken".into(), error.to_string()),
        };
        for (job, _) in state.flight {
            engine.settle(job, outcome.clone());
        }
    }

    async fn read(
        &self,
        engine: &Rc<Engine>,
        reader: &mut tokio::net::tcp::OwnedReadHalf,
    ) -> io::Result<()> {
        let mut buffer = BytesMut::with_capacity(64 << 10);
        loop {
            let unsent = {
                let state = self.state.borrow();
                if state.given_up {
                    return Ok(());
                }
                (!state.unsent.is_empty()).then(|| state.writer.clone())
            };
            let writable = async {
                match &unsent {
                    Some(Some(writer)) => writer.writable().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                read = reader.read_buf(&mut buffer) => if read? == 0 {
                    return Ok(());
                },
                ready = writable => {
                    ready?;
                    self.flush()?;
                    continue;
                }
                () = self.changed.notified() => continue,
            }
            while let Some(answer) = engine
                .heads()
                .parse(&mut buffer)
                .map_err(io::Error::other)?
            {
                let front = self.state.borrow_mut().flight.pop_front();
                let Some((job, slot)) = front else {
                    return Err(io::Error::other("an answer that nobody asked for"));
                };
                engine.settle(job, Outcome::of_status(answer.status, answer.body));
                if answer.last {
                    return Ok(());
                }
                engine.vacant(slot);
            }
        }
    }

    fn flush(&self) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let Some(writer) = state.writer.clone() else {
            return Ok(());
        };
        match writer.try_write(&state.unsent) {
            Ok(written) => state.unsent.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// An answer that is all there.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    body: Bytes,
    /// The server will close the connection.
    last: bool,
}

/// Heads of refusals are remembered, up to so many.
const HEADS_MAX: usize = 16;

/// Heads that came before. Refusals have few, and where most answers are refusals, reading each of them anew is most
/// of what they cost the generator.
#[derive(Default)]
pub struct Heads(RefCell<Vec<Known>>);

/// A head's bytes, its status, and how long a body follows it.
type Known = (Box<[u8]>, u16, usize);

impl Heads {
    /// Takes a whole answer off the front of the buffer.
    fn parse(&self, buffer: &mut BytesMut) -> Result<Option<Answer>, &'static str> {
        let mut heads = self.0.borrow_mut();
        if let Some((head, status, length)) = heads.iter().find(|h| buffer.starts_with(&h.0)) {
            if buffer.len() < head.len() + length {
                return Ok(None);
            }
            buffer.advance(head.len() + length);
            return Ok(Some(Answer {
                status: *status,
                body: Bytes::new(),
                last: false,
            }));
        }
        let may_be_one = heads.len() < HEADS_MAX && buffer.starts_with(b"HTTP/1.1 503");
        let before = may_be_one.then(|| buffer.clone());
        let answer = parse(buffer)?;
        if let (Some(before), Some(answer)) = (before, &answer)
            && !answer.last
        {
            let (length, all) = (answer.body.len(), before.len() - buffer.len());
            heads.push((before[..all - length].into(), answer.status, length));
        }
        Ok(answer)
    }
}

/// Takes a whole answer off the front of the buffer.
fn parse(buffer: &mut BytesMut) -> Result<Option<Answer>, &'static str> {
    let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return match buffer.len() > HEAD_BYTES_MAX {
            true => Err("the head of an answer is too long"),
            false => Ok(None),
        };
    };
    let text = std::str::from_utf8(&buffer[..head]).map_err(|_| "a head that is no text")?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or("not an answer of HTTP/1.1")?;
    let (mut length, mut last) = (None, false);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            last = value.trim().eq_ignore_ascii_case("close");
        }
    }
    let length: usize = length.ok_or("an answer without its length")?;
    if length > ANSWER_BYTES_MAX {
        return Err("an answer is too long");
    }
    let body = head + 4;
    if buffer.len() < body + length {
        return Ok(None);
    }
    buffer.advance(body);
    let body = buffer.split_to(length).freeze();
    Ok(Some(Answer { status, body, last }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_and_in_order() {
        let one = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
        let two = "HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\ncontent-length:0\r\n\r\n";
        let all = format!("{one}{two}");
        let mut buffer = BytesMut::new();
        let mut answers = Vec::new();
        for byte in all.bytes() {
            buffer.extend_from_slice(&[byte]);
            answers.extend(parse(&mut buffer).unwrap());
        }
        let answer = |status, body: &'static str, last| Answer {
            status,
            body: Bytes::from_static(body.as_bytes()),
            last,
        };
        assert_eq!(answers, [answer(200, "ab", false), answer(429, "", true)]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn refusals_are_read_the_same_when_their_heads_are_known() {
        let heads = Heads::default();
        for n in 0..3 {
            let text = "HTTP/1.1 503 Busy\r\nretry-after: 2\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
            let mut buffer = BytesMut::new();
            let mut answers = Vec::new();
            for byte in text.bytes() {
                buffer.extend_from_slice(&[byte]);
                answers.extend(heads.parse(&mut buffer).unwrap());
            }
            let found: Vec<_> = answers.iter().map(|a| (a.status, a.last)).collect();
            assert_eq!(found, [(503, false), (200, false)], "{n}");
            assert_eq!(&answers[1].body[..], b"x");
            assert!(buffer.is_empty());
        }
        assert_eq!(heads.0.borrow().len(), 1);
    }

    #[test]
    fn what_is_no_answer_is_told_so() {
        for text in [
            "SMTP ready\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n",
        ] {
            assert!(parse(&mut BytesMut::from(text)).is_err(), "{text}");
        }
        let long = "x".repeat(HEAD_BYTES_MAX + 1);
        assert!(parse(&mut BytesMut::from(long.as_str())).is_err());
    }
}
