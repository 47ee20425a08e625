//! A batch's transaction, reply by reply: what may be said next, and what became of the batch.
//!
//! ```text
//! guard   SADD offerd:streams key         a number    (where the key may not be in the set yet)
//!         WATCH key                       OK
//!         XINFO STREAM key                the top, which must be the expected one
//!         MULTI                           OK
//! load    XSETID key expected             QUEUED      (not where there is no stream yet)
//!         XADD key id field value …       QUEUED      for each entry
//!         EXEC                            OK and the ids; nil; or EXECABORT
//! ```
//!
//! The load is sent only once all answers of the guard are the right ones; otherwise `DISCARD`
//! or `UNWATCH` is. `wire` says why nothing can go wrong then. The next batch's guard may follow the
//! load without waiting, since whatever becomes of an `EXEC`, the transaction is over after it; and
//! if it were not, the next `MULTI` would not answer OK.
//!
//! Nothing here waits or sends: `lane` does, and the simulation.

use super::error::ErrorCode;
use super::resp::Reply;
use super::wire::{self, Failure};
use crate::journal::Position;

/// What a dialogue must know of a batch.
pub trait Batch {
    /// The top that it may be taken onto.
    fn expected(&self) -> Position;
    /// How many commands its load has before `EXEC`.
    fn commands(&self) -> usize;
    /// Whether its guard enters the stream's key into the set of streams first.
    fn registers(&self) -> bool;
}

/// What comes of a reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn<B> {
    /// There are more to come.
    Wait,
    /// Send the present batch's load.
    Load,
    /// Send `DISCARD`: the guard does not hold, and the transaction is open.
    Discard,
    /// Send `UNWATCH`: the guard does not hold, and no transaction is open.
    Unwatch,
    /// That became of the batch.
    Done(B, Result<(), Failure>),
}

#[derive(Debug)]
enum Stage {
    /// The guard is sent; its replies so far.
    Guard(Vec<Reply>),
    /// The load is sent; replies still to come, and the first refusal among them.
    Load(usize, Option<Failure>),
    /// The guard did not hold.
    Leave(Failure),
}

/// One connection's transactions, one after the other.
#[derive(Debug)]
pub struct Dialogue<B> {
    present: Option<(B, Stage)>,
    /// Its guard is sent behind the present batch's last command.
    next: Option<B>,
}

impl<B: Batch> Dialogue<B> {
    /// A dialogue that has not begun.
    #[must_use]
    pub fn new() -> Dialogue<B> {
        Dialogue {
            present: None,
            next: None,
        }
    }

    /// Whether no transaction is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.present.is_none()
    }

    /// Whether a guard may be sent now: no other's is unanswered, and no load waits to be sent.
    #[must_use]
    pub fn may_guard(&self) -> bool {
        match &self.present {
            None => true,
            Some((_, Stage::Guard(_))) => false,
            Some(_) => self.next.is_none(),
        }
    }

    /// The batch's guard is sent, which [`Dialogue::may_guard`] allowed.
    pub fn guard(&mut self, batch: B) {
        if self.present.is_none() {
            self.present = Some((batch, Stage::Guard(Vec::new())));
        } else {
            self.next = Some(batch);
        }
    }

    /// The batch whose turn it is.
    #[must_use]
    pub fn present(&self) -> Option<&B> {
        self.present.as_ref().map(|(batch, _)| batch)
    }

    /// The next reply has arrived.
    pub fn hear(&mut self, reply: Reply) -> Turn<B> {
        let Some((batch, stage)) = &mut self.present else {
            return Turn::Wait;
        };
        let outcome = match stage {
            Stage::Guard(heard) => {
                heard.push(reply);
                if heard.len() < 3 + usize::from(batch.registers()) {
                    return Turn::Wait;
                }
                let Err(failure) = holds(heard, batch.expected()) else {
                    *stage = Stage::Load(batch.commands() + 1, None);
                    return Turn::Load;
                };
                let open = heard.last() == Some(&Reply::Ok);
                *stage = Stage::Leave(failure);
                return if open { Turn::Discard } else { Turn::Unwatch };
            }
            Stage::Load(left @ 2.., refused) => {
                *left -= 1;
                if reply != Reply::Queued && refused.is_none() {
                    *refused = Some(Failure::of(&reply));
                }
                return Turn::Wait;
            }
            Stage::Load(_, refused) => taken(&reply, refused.take(), batch.commands()),
            // Who cannot leave does not know where they are.
            Stage::Leave(_) if reply != Reply::Ok => Err(Failure::new(
                ErrorCode::Protocol,
                &format!("the transaction cannot be left: {reply:?}"),
            )),
            Stage::Leave(failure) => Err(failure.clone()),
        };
        let next = self
            .next
            .take()
            .map(|next| (next, Stage::Guard(Vec::new())));
        let done = std::mem::replace(&mut self.present, next);
        let (batch, _) = done.expect("a batch was present above");
        Turn::Done(batch, outcome)
    }
}

/// Whether the load may be sent.
fn holds(guard: &[Reply], expected: Position) -> Result<(), Failure> {
    let [register @ .., watch, top, multi] = guard else {
        return Err(Failure::new(ErrorCode::Protocol, "a guard of three"));
    };
    // Who reads the streams finds them in the set: a stream that is not in it is shipped to nobody.
    register.iter().try_for_each(wire::entered)?;
    if *watch != Reply::Ok {
        return Err(Failure::of(watch));
    }
    let top = wire::top(top)?;
    if top != expected {
        let detail = format!("the stream's top is {top}, not where the batch begins");
        return Err(Failure::new(ErrorCode::Moved, &detail));
    }
    match multi {
        Reply::Ok => Ok(()),
        other => Err(Failure::of(other)),
    }
}

/// What the reply to `EXEC` says of a load of so many commands, of which the first that was not
/// queued was `refused`.
fn taken(exec: &Reply, refused: Option<Failure>, commands: usize) -> Result<(), Failure> {
    match exec {
        Reply::Array(parts) if parts.len() == commands && refused.is_none() => {
            let mut errors = parts.iter().filter(|part| !is_success(part));
            errors
                .next()
                .map_or(Ok(()), |error| Err(Failure::of(error)))
        }
        Reply::Nil => Err(Failure::new(
            ErrorCode::Moved,
            "the stream was changed by somebody else",
        )),
        // The transaction as a whole says only that there were errors.
        Reply::Error(_) => Err(refused.unwrap_or_else(|| Failure::of(exec))),
        other => Err(Failure::unexpected(other)),
    }
}

/// `XADD` answers the id, `XSETID` OK.
fn is_success(part: &Reply) -> bool {
    matches!(part, Reply::Ok | Reply::Bulk(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: Position = Position { ms: 5, seq: 1 };

    struct Three {
        registers: bool,
    }

    impl Batch for Three {
        fn expected(&self) -> Position {
            TOP
        }

        fn commands(&self) -> usize {
            3
        }

        fn registers(&self) -> bool {
            self.registers
        }
    }

    fn info(top: &str) -> Reply {
        let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        Reply::Array(vec![
            bulk("length"),
            Reply::Int(4),
            bulk("last-generated-id"),
            bulk(top),
        ])
    }

    fn error(text: &str) -> Reply {
        Reply::Error(text.to_owned())
    }

    /// What is to be sent after the guard's replies, and what became of the batch after `then`.
    fn play(
        guard: impl Into<Vec<Reply>>,
        then: Vec<Reply>,
    ) -> (&'static str, Option<Result<(), ErrorCode>>) {
        let guard = guard.into();
        let mut dialogue = Dialogue::new();
        let registers = guard.len() > 3;
        dialogue.guard(Three { registers });
        let mut said = "";
        let mut became = None;
        for reply in guard.into_iter().chain(then) {
            assert_eq!(became, None, "nothing follows the end");
            match dialogue.hear(reply) {
                Turn::Wait => {}
                Turn::Load => said = "load",
                Turn::Discard => said = "discard",
                Turn::Unwatch => said = "unwatch",
                Turn::Done(_, outcome) => became = Some(outcome.map_err(|failure| failure.code)),
            }
        }
        assert_eq!(dialogue.is_idle(), became.is_some());
        (said, became)
    }

    #[test]
    fn a_load_is_sent_only_behind_a_guard_that_holds() {
        let denied = || error("NOPERM this user has no permissions");
        let cases = [
            ([Reply::Ok, info("5-1"), Reply::Ok], "load"),
            ([Reply::Ok, info("5-2"), Reply::Ok], "discard"),
            ([Reply::Ok, info("4-9"), Reply::Ok], "discard"),
            ([Reply::Ok, info("x"), Reply::Ok], "discard"),
            ([Reply::Ok, error("ERR no such key"), Reply::Ok], "discard"),
            ([Reply::Ok, denied(), Reply::Ok], "discard"),
            ([denied(), info("5-1"), Reply::Ok], "discard"),
            ([Reply::Ok, info("5-1"), denied()], "unwatch"),
            // Still within the last one.
            ([denied(), Reply::Queued, denied()], "unwatch"),
            ([Reply::Queued, Reply::Queued, Reply::Queued], "unwatch"),
        ];
        for (guard, expected) in cases {
            let told = format!("{guard:?}");
            assert_eq!(play(guard, Vec::new()), (expected, None), "{told}");
        }
    }

    #[test]
    fn a_stream_is_entered_into_the_set_first() {
        let rest = || [Reply::Ok, info("5-1"), Reply::Ok];
        let cases = [
            (Reply::Int(1), "load"),
            (Reply::Int(0), "load"),
            (error("OOM no"), "discard"),
            (Reply::Ok, "discard"),
        ];
        for (entered, expected) in cases {
            let guard: Vec<Reply> = [entered].into_iter().chain(rest()).collect();
            assert_eq!(play(guard, Vec::new()), (expected, None));
        }
    }

    #[test]
    fn who_cannot_leave_gives_the_connection_up() {
        let cases = [
            (Reply::Ok, ErrorCode::Moved),
            (error("NOPERM no"), ErrorCode::Protocol),
            (Reply::Queued, ErrorCode::Protocol),
        ];
        for (reply, code) in cases {
            let guard = [Reply::Ok, info("6-1"), Reply::Ok];
            assert_eq!(play(guard, vec![reply]), ("discard", Some(Err(code))));
        }
    }

    #[test]
    fn only_the_whole_batch_is_taken() {
        let id = || Reply::Bulk(b"5-2".to_vec());
        let queued = || [Reply::Queued, Reply::Queued, Reply::Queued];
        let denied = [Reply::Queued, error("NOPERM no"), error("OOM no")];
        let all = || Reply::Array(vec![Reply::Ok, id(), id()]);
        let cases = [
            (queued(), all(), Ok(())),
            (queued(), Reply::Nil, Err(ErrorCode::Moved)),
            (
                queued(),
                Reply::Array(vec![Reply::Ok, error("NOPERM no"), id()]),
                Err(ErrorCode::NoPerm),
            ),
            (
                queued(),
                Reply::Array(vec![Reply::Ok, id()]),
                Err(ErrorCode::Protocol),
            ),
            (
                queued(),
                error("EXECABORT Transaction discarded because of: READONLY You can't write"),
                Err(ErrorCode::Readonly),
            ),
            (
                denied.clone(),
                error("EXECABORT Transaction discarded because of previous errors."),
                Err(ErrorCode::NoPerm),
            ),
            // It cannot be.
            (denied, all(), Err(ErrorCode::Protocol)),
            (queued(), Reply::Ok, Err(ErrorCode::Protocol)),
        ];
        for (replies, exec, expected) in cases {
            let guard = [Reply::Ok, info("5-1"), Reply::Ok];
            let told = format!("{replies:?} {exec:?}");
            let then = replies.into_iter().chain([exec]).collect();
            assert_eq!(play(guard, then), ("load", Some(expected)), "{told}");
        }
    }
}
