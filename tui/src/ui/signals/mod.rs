//! What became of each signal: a table of instances, the life of the selected one, and what its target does about signals.
//!
//! [`Instances`] joins the events of each instance; `table`, `life` and `process` put them into words, `view` draws,
//! `keys` move. Invariant: every line is a real event; while the past is looked at, nothing later is shown.

mod instance;
mod keys;
mod latency;
mod life;
mod process;
mod table;
mod view;

pub(super) use self::{instance::Instances, view::draw};
use crate::event::SignalId;

/// What of it is looked at.
#[derive(Debug, Default)]
pub(super) struct Signals {
    pub instances: Instances,
    /// The instance selected; `None`: the newest.
    selected: Option<SignalId>,
    /// Only signals from or to that process.
    of: Option<u32>,
    /// Where there is no room for both: the process instead of the life.
    process: bool,
    height: usize,
}
