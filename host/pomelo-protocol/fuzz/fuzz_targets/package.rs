//! See [`pomelo_protocol_fuzz::package`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pomelo_protocol_fuzz::package(data));
