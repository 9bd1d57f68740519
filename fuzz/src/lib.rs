//! What the fuzz targets share: how an input stands for records ([`frames`]), how it is mutated ([`mutate`]), how
//! checksums are made right again ([`file`](mod@file)), all that is made of events ([`told`]), and the limit on allocations.
//!
//! A target is a file in `targets/`; `cargo xtask fuzz` builds them with the compiler's coverage counters, which needs no
//! nightly. Invariants, of every input: no panic and no overflow (debug assertions are on), no more than ten seconds and
//! a GiB in all (xtask sets these limits) or 256 MiB at once, no control character in a line. What was found is a fixture of
//! `tui/tests/damage.rs` or a test next to the code. `cargo test` here tests what is pure.
#![expect(missing_docs, reason = "nobody depends on it")]

pub mod file;
pub mod frames;
pub mod mutate;
mod room;
pub mod sends;
pub mod told;
