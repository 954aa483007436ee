//! The fuzz targets' checks over the stored corpus, without a fuzzer and on a stable compiler.
//!
//! `fuzz/corpus/<target>/` was made from the vectors; what a fuzzer finds is added there and is a test from then on.

// A check may fail as a test may, and then says which file it was.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub
)]

#[path = "../fuzz/src/lib.rs"]
mod checks;

use std::{fs, path::Path};

fn check(target: &str, function: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        println!("{}", path.display());
        function(&data);
        // And every beginning of it: what a peer sends before its connection breaks.
        for end in 0..data.len() {
            function(&data[..end]);
        }
        files += 1;
    }
    assert!(files >= 5, "the corpus of {target} is gone");
}

#[test]
fn packages() {
    check("packages", checks::packages);
}

#[test]
fn message() {
    check("message", checks::message);
}

#[test]
fn protobuf() {
    check("protobuf", checks::protobuf);
}

#[test]
fn schema() {
    check("schema", checks::schema);
}

#[test]
fn handshake() {
    check("handshake", checks::handshake);
}

#[test]
fn text() {
    check("text", checks::text);
}
