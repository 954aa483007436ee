//! The token: who can read the file may ask.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The file of the host with this admin port.
pub(super) fn path(base: &Path, port: u16) -> PathBuf {
    base.join("logs").join(format!("admin-{port}.token"))
}

/// Makes a token and writes it where only this user can read it.
pub(super) fn create(path: &Path) -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // A file that is there may be readable for others, or lead elsewhere.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(token.as_bytes())?;
    Ok(token)
}

/// The token of the host that runs.
pub(super) fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map(|token| token.trim().to_owned())
}

/// Compares in a time that does not say how much was right.
pub(super) fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .fold(0, |differ, (a, b)| differ | (a ^ b))
            == 0
}
