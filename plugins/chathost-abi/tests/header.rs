//! The committed C header is what the Rust declarations say.

use std::{env, fs, path::Path};

/// `CHATHOST_WRITE_HEADER=1 cargo test -p chathost-abi` writes it anew.
#[test]
fn the_header_is_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = root.join("include/chathost.h");
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new()
        .with_src(root.join("src/lib.rs"))
        .with_config(config)
        .generate()
        .unwrap();
    let mut fresh = Vec::new();
    bindings.write(&mut fresh);
    // Constants in capitals, and no links that C knows nothing of.
    let fresh = String::from_utf8(fresh).unwrap();
    let fresh = fresh
        .replace("#define chathost_", "#define CHATHOST_")
        .replace("[`", "`")
        .replace("`]", "`");
    if env::var_os("CHATHOST_WRITE_HEADER").is_some() {
        fs::write(&header, &fresh).unwrap();
    }
    let committed = fs::read_to_string(&header).unwrap_or_default();
    assert!(
        committed == fresh,
        "include/chathost.h is stale: CHATHOST_WRITE_HEADER=1 cargo test -p chathost-abi"
    );
}
