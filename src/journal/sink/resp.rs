//! Redis' protocol (RESP2) as far as the sink speaks it: commands into a buffer, replies out of one.
//!
//! A transaction has a command and two replies for every entry. Here an entry becomes bytes once and
//! a `QUEUED` becomes nothing at all; a client library makes arguments, a command and a value of
//! them, which costs more processor time than Redis needs for the entry.

use super::error::ErrorCode;
use super::wire::Failure;

/// Longest string of a reply, 64 MiB: `XINFO` and `XRANGE` answer an entry of 1 MiB at most, `INFO`
/// some kilobytes.
const STRING_BYTES_MAX: usize = 64 << 20;
/// Most parts of an array: an `EXEC` answers one for each entry of a batch.
const ARRAY_PARTS_MAX: usize = 1 << 20;
/// Arrays within arrays: `XINFO` has three.
const DEPTH_MAX: usize = 8;

/// Commands, encoded one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    bytes: Vec<u8>,
    number: usize,
}

impl Commands {
    /// Starts a command of so many words; as many calls of [`Commands::word`] must follow.
    pub fn begin(&mut self, words: usize) {
        self.number += 1;
        self.head(b'*', words);
    }

    /// Puts a word at the end of the command.
    pub fn word(&mut self, word: impl AsRef<[u8]>) {
        let word = word.as_ref();
        self.head(b'$', word.len());
        self.bytes.extend_from_slice(word);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Puts words at the end of the command that are encoded already.
    pub fn encoded(&mut self, words: &[u8]) {
        self.bytes.extend_from_slice(words);
    }

    /// A whole command.
    pub fn push(&mut self, words: &[&str]) {
        self.begin(words.len());
        for word in words {
            self.word(word);
        }
    }

    /// How many commands there are.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// What is sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn head(&mut self, kind: u8, number: usize) {
        self.bytes.push(kind);
        let mut digits = itoa::Buffer::new();
        self.bytes
            .extend_from_slice(digits.format(number).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// What Redis answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `OK`.
    Ok,
    /// `QUEUED`: the command waits for `EXEC`.
    Queued,
    /// Any other status.
    Status(String),
    /// An error, its code first.
    Error(String),
    /// A number.
    Int(i64),
    /// A string.
    Bulk(Vec<u8>),
    /// No string or no array.
    Nil,
    /// An array.
    Array(Vec<Reply>),
}

/// The first reply in `bytes` and its length; `None` where it is not there to its end.
///
/// # Errors
/// What is there is no reply.
pub fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, Failure> {
    let mut rest = bytes;
    let reply = take(&mut rest, 0)?;
    Ok(reply.map(|reply| (reply, bytes.len() - rest.len())))
}

fn take(rest: &mut &[u8], depth: usize) -> Result<Option<Reply>, Failure> {
    const QUEUED: &[u8] = b"+QUEUED\r\n";
    if let Some(after) = rest.strip_prefix(QUEUED) {
        *rest = after;
        return Ok(Some(Reply::Queued));
    }
    let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
        return Ok(None);
    };
    let line = &rest[..end];
    let stripped = line.strip_suffix(b"\r").and_then(<[u8]>::split_first);
    let (&kind, text) = stripped.ok_or_else(|| malformed(line))?;
    let text = String::from_utf8_lossy(text);
    let mut after = &rest[end + 1..];
    let reply = match kind {
        b'+' if text == "OK" => Reply::Ok,
        b'+' => Reply::Status(text.into_owned()),
        b'-' => Reply::Error(text.into_owned()),
        b':' => Reply::Int(text.parse().map_err(|_| malformed(line))?),
        b'$' | b'*' if text == "-1" => Reply::Nil,
        b'$' => {
            let length = number(&text, STRING_BYTES_MAX).ok_or_else(|| malformed(line))?;
            if after.len() < length + 2 {
                return Ok(None);
            }
            if &after[length..length + 2] != b"\r\n" {
                return Err(malformed(line));
            }
            let string = after[..length].to_vec();
            after = &after[length + 2..];
            Reply::Bulk(string)
        }
        b'*' if depth < DEPTH_MAX => {
            let parts = number(&text, ARRAY_PARTS_MAX).ok_or_else(|| malformed(line))?;
            let mut array = Vec::new();
            for _ in 0..parts {
                match take(&mut after, depth + 1)? {
                    Some(part) => array.push(part),
                    None => return Ok(None),
                }
            }
            Reply::Array(array)
        }
        _ => return Err(malformed(line)),
    };
    *rest = after;
    Ok(Some(reply))
}

fn number(text: &str, max: usize) -> Option<usize> {
    text.parse().ok().filter(|number| *number <= max)
}

fn malformed(line: &[u8]) -> Failure {
    let line = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
    Failure::new(ErrorCode::Protocol, &format!("not a reply: {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_strings() {
        let mut commands = Commands::default();
        commands.push(&["SADD", "a b", ""]);
        commands.begin(1);
        commands.encoded(b"$4\r\nEXEC\r\n");
        let expected = b"*3\r\n$4\r\nSADD\r\n$3\r\na b\r\n$0\r\n\r\n*1\r\n$4\r\nEXEC\r\n";
        assert_eq!((commands.bytes(), commands.number()), (&expected[..], 2));
    }

    #[test]
    fn a_reply_is_taken_when_it_is_there_to_its_end() {
        let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        let cases = [
            ("+OK\r\n", Reply::Ok),
            ("+QUEUED\r\n", Reply::Queued),
            ("+PONG\r\n", Reply::Status("PONG".to_owned())),
            ("-OOM no\r\n", Reply::Error("OOM no".to_owned())),
            (":-7\r\n", Reply::Int(-7)),
            ("$-1\r\n", Reply::Nil),
            ("*-1\r\n", Reply::Nil),
            ("$0\r\n\r\n", bulk("")),
            ("$4\r\na\r\nb\r\n", bulk("a\r\nb")),
            ("*0\r\n", Reply::Array(Vec::new())),
            (
                "*3\r\n$1\r\na\r\n*1\r\n:1\r\n-ERR x\r\n",
                Reply::Array(vec![
                    bulk("a"),
                    Reply::Array(vec![Reply::Int(1)]),
                    Reply::Error("ERR x".to_owned()),
                ]),
            ),
        ];
        for (text, expected) in cases {
            for cut in 0..text.len() {
                assert_eq!(
                    parse(&text.as_bytes()[..cut]),
                    Ok(None),
                    "{text:?} to {cut}"
                );
            }
            let more = format!("{text}+OK\r\n");
            assert_eq!(parse(more.as_bytes()), Ok(Some((expected, text.len()))));
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let deep = "*1\r\n".repeat(DEPTH_MAX + 1);
        let cases = [
            "\r\n",
            "\n",
            "+\n",
            "HTTP/1.1 400\r\n",
            ":x\r\n",
            "$-2\r\n",
            "$99999999999\r\n",
            "*99999999\r\n",
            "$1\r\nabcd",
            "%1\r\n",
            &deep,
        ];
        for text in cases {
            let refused = parse(text.as_bytes()).unwrap_err();
            assert_eq!(refused.code, ErrorCode::Protocol, "{text:?}");
        }
    }
}
