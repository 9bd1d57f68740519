//! The application without a terminal: screens as text files, keys and what they show, random keys and sizes.
//!
//! Review changed screens with `cargo insta review`, or run with `INSTA_UPDATE=always` and look at the difference.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
#![allow(unreachable_pub, missing_docs, reason = "nobody uses a test")]

mod keys;
mod playback;
mod random;
mod screens;
mod stage;
