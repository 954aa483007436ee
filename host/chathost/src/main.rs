//! The program: parse the command line and call.
fn main() {}
