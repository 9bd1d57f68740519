//! The `ipcscope` binary.
fn main() {}
