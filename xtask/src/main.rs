//! `cargo xtask …`: everything CI does, one command each.
fn main() {}
