#![no_main]

libfuzzer_sys::fuzz_target!(|artifact: &[u8]| offerd_fuzz::load_and_score("xgboost", artifact));
