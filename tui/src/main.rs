//! The `ipcscope` binary.

fn main() {
    ipcscope::cli::run().pass_on();
}
