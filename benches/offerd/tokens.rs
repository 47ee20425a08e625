//! Signing and reading event tokens. The floor is the one HMAC that each of them needs.

use std::hint::black_box;

use criterion::Criterion;
use offerd::serve::keys::Keys;
use offerd::serve::token::TOKEN_CHARS;
use ring::hmac;

use crate::example::token;

/// Bytes of a token that are signed.
const SIGNED_BYTES: usize = 66;

pub fn bench(c: &mut Criterion) {
    let keys = Keys::generate().expect("the system has random numbers");
    let token = token();
    let text = keys.sign(&token);
    assert_eq!(keys.read(text.as_str()), Ok(token));
    c.bench_function(&format!("tokens/sign/{TOKEN_CHARS}"), |b| {
        b.iter(|| keys.sign(black_box(&token)));
    });
    c.bench_function(&format!("tokens/read/{TOKEN_CHARS}"), |b| {
        b.iter(|| keys.read(black_box(text.as_str())));
    });
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    c.bench_function(&format!("tokens/floor-hmac/{SIGNED_BYTES}"), |b| {
        b.iter(|| hmac::sign(&key, black_box(&[1; SIGNED_BYTES])));
    });
}
