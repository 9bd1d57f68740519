//! From what the kernel side recorded to what happened.
//!
//! Invariants: nothing here opens a file or makes a system call; arbitrary input never panics. Each module carries
//! its own tests.

pub mod pipe_order;
