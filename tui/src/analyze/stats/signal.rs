//! Per signal: what became of its instances, and how long they were under way.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Latency;
use crate::event::{Phase, SignalEvent, Verdict};

/// A row: instances by phase reached; the last phases add up to those whose end was seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SignalStats {
    /// Its name.
    pub signal: String,
    /// Its number.
    pub signo: i32,
    /// How many instances took each step.
    pub phases: BTreeMap<&'static str, u64>,
    /// What became of the calls they interrupted.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// From generation to delivery.
    pub latency: Latency,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Signals {
    rows: BTreeMap<i32, SignalStats>,
}

impl Signals {
    pub(super) fn apply(&mut self, step: &SignalEvent) {
        let row = self.rows.entry(step.signo).or_insert_with(|| SignalStats {
            signal: step.signal.clone(),
            signo: step.signo,
            ..SignalStats::default()
        });
        *row.phases.entry(step.phase.name()).or_default() += 1;
        if let Some(verdict) = step.delivery.verdict.filter(|verdict| *verdict != Verdict::None) {
            *row.verdicts.entry(verdict.name()).or_default() += 1;
        }
        if let Some(ns) = step.delivery.pending_ns.filter(|_| step.phase == Phase::Delivered) {
            row.latency.record(ns);
        }
    }

    pub(super) fn table(&self) -> Vec<SignalStats> {
        self.rows.values().cloned().collect()
    }
}
