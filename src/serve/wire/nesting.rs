//! How deep a body nests, told without reading it: before it is read, as reading is what deep nesting is
//! meant to make dear.

/// Whether brackets nest deeper than `max`. What is not JSON may be told wrongly; the reader refuses it anyway.
pub(super) fn nests_deeper(body: &[u8], max: usize) -> bool {
    let mut nesting = Nesting::default();
    let (pieces, rest) = body.as_chunks::<32>();
    for piece in pieces {
        // Most pieces have no bracket and no escape: their quotes only have to be counted, all at once.
        // Written without branches, this becomes a few instructions on all of a piece's bytes.
        let (mut odd, mut quotes) = (false, false);
        for &byte in piece {
            odd |= (byte | 0x20 == b'{') | (byte | 0x20 == b'}') | (byte == b'\\');
            quotes ^= byte == b'"';
        }
        if odd | nesting.escaped {
            piece.iter().for_each(|b| nesting.step(*b));
        } else {
            nesting.in_string ^= quotes;
        }
        if nesting.deepest > max {
            return true;
        }
    }
    rest.iter().for_each(|b| nesting.step(*b));
    nesting.deepest > max
}

/// How deep brackets nest up to a place in a body.
#[derive(Default)]
struct Nesting {
    depth: usize,
    deepest: usize,
    in_string: bool,
    escaped: bool,
}

impl Nesting {
    fn step(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = self.in_string,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' | b'[' => {
                self.depth += 1;
                self.deepest = self.deepest.max(self.depth);
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_do_not_nest() {
        assert!(!nests_deeper(br#"{"a": "[[[[\"[[[["}"#, 1));
        // Strings that end, and escapes, wherever they fall in a piece of the body.
        for shift in 0..40 {
            let text = "x".repeat(shift);
            for (body, depth) in [
                (format!(r#"{{"{text}": "[[\"[[\\", "b": [1]}}"#), 2),
                (
                    format!(r#"{{"{text}": "\\\\", "b": [[]], "c": "]]]]"}}"#),
                    3,
                ),
            ] {
                assert!(nests_deeper(body.as_bytes(), depth - 1), "{body}");
                assert!(!nests_deeper(body.as_bytes(), depth), "{body}");
            }
        }
    }
}
