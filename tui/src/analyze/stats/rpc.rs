//! Per method: calls, what became of them, and how long it took.

use serde::Serialize;

use super::Latency;
use crate::event::{Protocol, Role, Rpc};

/// A row. Answers to calls that were not seen are in a row without a method.
#[derive(Clone, Debug, Serialize)]
pub struct RpcStats {
    /// Of which protocol.
    pub protocol: Protocol,
    /// What was called or told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// How often.
    pub calls: u64,
    /// Answers without an error.
    pub replies: u64,
    /// Answers that are errors.
    pub errors: u64,
    /// D-Bus signals.
    pub signals: u64,
    /// From when the send of the call was entered until the send of the answer returned.
    pub latency: Latency,
}

/// Rows; a server may have very many paths.
const ROWS: usize = 1 << 14;

#[derive(Clone, Debug, Default)]
pub(super) struct Rpcs {
    places: std::collections::HashMap<(Protocol, Option<String>), usize>,
    rows: Vec<RpcStats>,
}

impl Rpcs {
    pub(super) fn apply(&mut self, rpc: &Rpc) {
        let mut key = (rpc.protocol, rpc.method.clone());
        if self.rows.len() >= ROWS && !self.places.contains_key(&key) {
            key.1 = None;
        }
        let Self { places, rows } = self;
        let place = *places.entry(key).or_insert_with_key(|(protocol, method)| {
            rows.push(RpcStats {
                protocol: *protocol,
                method: method.clone(),
                calls: 0,
                replies: 0,
                errors: 0,
                signals: 0,
                latency: Latency::default(),
            });
            rows.len() - 1
        });
        let Some(row) = rows.get_mut(place) else { return };
        match rpc.role {
            Role::Call => row.calls += 1,
            Role::Reply => row.replies += 1,
            Role::Error => row.errors += 1,
            Role::Signal => row.signals += 1,
        }
        if let Some(ns) = rpc.latency_ns {
            row.latency.record(ns);
        }
    }

    pub(super) fn table(&self) -> Vec<RpcStats> {
        self.rows.clone()
    }
}
