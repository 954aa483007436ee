//! The body of a handshake package.
//!
//! The checks are in the library, where the stable tests of pomelo-protocol run them over the stored corpus too.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pomelo_protocol_fuzz::handshake(data));
