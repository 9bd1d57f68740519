//! What every event of a system call tells about the call itself.

use serde::Serialize;

use super::{OpId, SignalId};

/// A system call that returned, or never did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// Its number, given at the call's entry.
    pub op: OpId,
    /// Its name, as in the manual (section 2).
    pub syscall: &'static str,
    /// From entry to return, ns, restarts included.
    pub took_ns: u64,
    /// How much of that its thread was BLOCKED, ns; absent while the scheduler is not captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_ns: Option<u64>,
    /// How often the kernel started it again after a signal.
    #[serde(skip_serializing_if = "is_zero")]
    pub restarts: u32,
    /// The signals that interrupted it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interrupted_by: Vec<SignalId>,
    /// Not by the ordinary system call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// It had not returned when its thread or the trace ended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
pub(super) fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// How an operation reached the kernel, if not by an ordinary system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// io_uring(7).
    IoUring,
    /// The 32-bit interface of a 64-bit kernel.
    Compat,
}
