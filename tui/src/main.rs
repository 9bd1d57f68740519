//! The `ipcscope` binary.

/// Decoding is a stream of small, short-lived allocations: the C library's allocator took a third of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    ipcscope::cli::run().pass_on();
}
