//! What a process does about signals, and which of them a thread blocks.
//!
//! These are *quiet* ([`super::Kind::is_quiet`]): they exist for the model and the views. They have no line of their own, no
//! place in the numbering, and count for nothing.

use serde::Serialize;

use super::{Action, SignalSet};

/// The disposition of one signal of the process changed (sigaction(2)).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Disposition {
    /// Its number.
    pub signo: i32,
    /// What is done about it from now on.
    pub action: Action,
    /// The handler's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// `SA_*` names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    /// What is blocked besides while the handler runs.
    #[serde(skip_serializing_if = "SignalSet::is_empty_ref")]
    pub mask: SignalSet,
}

/// All dispositions of the process at once: after an exec, or found when the trace began. What is in neither set has its
/// default action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dispositions {
    /// SIG_IGN.
    pub ignored: SignalSet,
    /// Some handler.
    pub caught: SignalSet,
}

/// Which signals the thread blocks from now on (sigprocmask(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Mask {
    /// These.
    pub blocked: SignalSet,
}
