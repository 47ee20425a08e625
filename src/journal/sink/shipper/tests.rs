//! The table of the module's documentation, row by row.

use super::*;

fn at(seq: u64) -> Position {
    Position {
        ms: seq as i64 * 10,
        seq,
    }
}

fn shipper(acked: u64) -> Shipper {
    let backoff = Backoff {
        min_ms: 1,
        max_ms: 1,
    };
    Shipper::new(at(acked), &[at(acked)], 100, backoff, 1)
}

fn tell(shipper: &mut Shipper, top: Position, proven: bool) -> Option<Position> {
    let [question] = shipper.questions(u64::MAX)[..] else {
        panic!("one question: {shipper:?}");
    };
    shipper.answered(question, Ok(Answer { top, proven }), 0);
    question.proof
}

/// Reads a journal of entries `1..=end` and answers what would be sent.
fn read(shipper: &mut Shipper, end: u64) -> Vec<u64> {
    let mut sent = Vec::new();
    let mut next = 1;
    // As often as the shipper wants to go back.
    while shipper.is_rewound() || next <= end {
        if let Some(position) = shipper.take_rewind() {
            next = position.seq + 1;
        }
        for seq in next..=end {
            if let Fate::Join(_) = shipper.offer(at(seq), Some(0)) {
                sent.push(seq);
            }
        }
        next = end + 1;
        shipper.settle(Some(at(end)), 0);
    }
    sent
}

#[track_caller]
fn check(acked: u64, end: u64, top: Position, sent: &[u64], why: Option<Blocked>) {
    let mut shipper = shipper(acked);
    assert_eq!(tell(&mut shipper, top, false), None);
    assert_eq!(read(&mut shipper, end), sent);
    assert_eq!(shipper.blocked().map(|(_, why)| why).next(), why);
}

#[test]
fn it_goes_on_from_the_top_that_redis_tells() {
    check(0, 3, at(0), &[1, 2, 3], None);
    check(2, 5, at(2), &[3, 4, 5], None);
    // A lost suffix, an empty Redis.
    check(4, 5, at(2), &[3, 4, 5], None);
    check(4, 5, at(0), &[1, 2, 3, 4, 5], None);
    // A reply that was lost, a checkpoint that was.
    check(2, 5, at(4), &[5], None);
    check(0, 5, at(5), &[], None);
}

#[test]
fn a_foreign_top_below_everything_of_ours_is_continued() {
    let below = Position { ms: 5, seq: 9 };
    check(0, 2, below, &[1, 2], None);
    let between = Position { ms: 25, seq: 1 };
    check(2, 4, between, &[3, 4], None);
}

#[test]
fn a_stream_beyond_the_journal_is_refused() {
    check(2, 4, at(9), &[], Some(Blocked::Ahead { top: at(9) }));
}

#[test]
fn a_foreign_top_above_an_entry_of_ours_needs_proof() {
    let top = Position { ms: 35, seq: 1 };
    for proven in [true, false] {
        let mut shipper = shipper(1);
        tell(&mut shipper, top, false);
        assert_eq!(read(&mut shipper, 5), [] as [u64; 0]);
        assert_eq!(tell(&mut shipper, top, proven), Some(at(3)));
        let blocked = shipper.blocked().next().map(|(_, why)| why);
        if proven {
            assert_eq!((blocked, shipper.adopted()), (None, 1));
            assert_eq!(read(&mut shipper, 5), [4, 5]);
        } else {
            let missing = at(3);
            assert_eq!(blocked, Some(Blocked::Overtaken { top, missing }));
            assert!(shipper.shipped() < at(2), "{}", shipper.shipped());
            // Somebody has removed the foreign stream.
            tell(&mut shipper, at(1), false);
            assert_eq!(read(&mut shipper, 5), [2, 3, 4, 5]);
        }
    }
}

#[test]
fn what_is_shipped_waits_for_the_reply() {
    let mut shipper = shipper(0);
    tell(&mut shipper, at(0), false);
    read(&mut shipper, 3);
    let round = shipper.take_round();
    // A stream is made with a single entry.
    let spans: Vec<_> = round
        .iter()
        .map(|b| (b.expected, b.first, b.last))
        .collect();
    assert_eq!(spans, [(at(0), at(1), at(1)), (at(1), at(2), at(3))]);
    assert_eq!(shipper.shipped(), before(at(1)));
    shipper.replied(&round[0], Ok(()), 0);
    assert_eq!(shipper.shipped(), before(at(2)));
    shipper.replied(&round[1], Ok(()), 0);
    assert_eq!(shipper.shipped(), at(3));
}

#[test]
fn waits_double_up_to_the_bound_and_are_never_zero() {
    let backoff = Backoff {
        min_ms: 50,
        max_ms: 5_000,
    };
    for (failures, bound) in [(1, 50), (2, 100), (7, 3_200), (8, 5_000), (u32::MAX, 5_000)] {
        assert_eq!(backoff.wait_ms(failures, bound - 1), bound, "{failures}");
        assert_eq!(backoff.wait_ms(failures, bound), 1, "{failures}");
    }
}
