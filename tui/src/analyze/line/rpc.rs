//! The words for remote procedure calls.

use crate::{
    analyze::span::{Role, Spans, duration},
    event::{Role as What, Rpc},
};

/// `HTTP call GET / → tcp:…`, `HTTP reply 200 OK → tcp:… to GET / after 1.2 ms`.
pub(super) fn rpc(rpc: &Rpc, out: &mut Spans) {
    out.plain(format!("{} ", rpc.protocol.title()));
    out.add(if rpc.role == What::Error { Role::Error } else { Role::Call }, rpc.role.name());
    let unknown = if rpc.cut { "…" } else { "" };
    let what = match rpc.role {
        What::Call | What::Signal => rpc.method.as_deref().unwrap_or(unknown),
        What::Reply | What::Error => rpc.status.as_deref().unwrap_or_default(),
    };
    if !what.is_empty() {
        out.plain(" ").add(Role::Payload, what);
    }
    out.plain(" → ").add(Role::Channel, &*rpc.channel.0);
    if rpc.role.is_answer() {
        match (&rpc.method, rpc.call) {
            (Some(method), _) => {
                out.plain(" to ").add(Role::Payload, method.as_str());
            }
            (None, Some(_)) => {}
            (None, None) => {
                out.dim(" to a call that was not seen");
            }
        }
    }
    if let Some(id) = rpc.id {
        out.dim(format!(" #{id}"));
    }
    if let Some(ns) = rpc.latency_ns {
        out.dim(format!(" after {}", duration(ns)));
    }
    if rpc.cut {
        out.dim(" (cut)");
    }
}
