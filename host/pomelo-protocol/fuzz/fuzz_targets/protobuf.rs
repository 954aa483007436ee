//! See [`pomelo_protocol_fuzz::protobuf`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pomelo_protocol_fuzz::protobuf(data));
