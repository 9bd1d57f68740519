//! The slowest stage of a pipeline: who the others wait for.
//!
//! Reported only where it decided how long everything took: whoever feeds it was BLOCKED for most of the time on its full
//! input, it hardly ever waited for its own output, and all that lasted a second at least.

use super::{
    Finding, Found,
    leftover::{Leftover, busy},
    telling::{list, name_of},
};
use crate::{
    analyze::duration,
    event::Nanos,
    model::{Channel, ProcessKey, Side, World},
};

/// A pipeline that is done sooner has no stage worth naming.
const LONG: u64 = 1_000_000_000;
/// Less has not put a load on anybody.
const BYTES: u64 = 1 << 20;

pub(super) fn now(sends: &Leftover, world: &World, now: Nanos, found: &mut Found) {
    for channel in world.channels.values() {
        let (began, ended) = busy(channel);
        let lasted = ended.since(began);
        let sent = channel.senders.values().map(|hold| hold.bytes).fold(0_u64, u64::saturating_add);
        let waited = world.blocked(channel, Side::Send, now);
        if lasted < LONG || sent < BYTES || waited < lasted / 2 || channel.receivers.len() != 1 {
            continue;
        }
        let Some(stage) = channel.receivers.keys().next().copied() else { continue };
        if waits_for_output(world, stage, channel, lasted, now) {
            continue;
        }
        let writers = list(channel.senders.keys().map(|key| name_of(world, *key)).collect());
        found.report(stage.0.to_string(), || Finding {
            rule: "slowest-stage",
            t: ended,
            what: format!(
                "{} is the slowest stage of its pipeline: {writers} waited {} of {} ({} %) for it on the full {}.",
                name_of(world, stage),
                duration(waited),
                duration(lasted),
                u128::from(waited) * 100 / u128::from(lasted.max(1)),
                channel.id
            ),
            advice: "Everything else is fast enough: only a faster (or a second) process there makes it faster."
                .to_owned(),
            evidence: sends.last_send(&channel.id).into_iter().collect(),
        });
    }
}

/// What keeps the stage is further down.
fn waits_for_output(world: &World, stage: ProcessKey, input: &Channel, lasted: u64, now: Nanos) -> bool {
    let outputs = world.channels.values().filter(|other| other.id != input.id && other.senders.contains_key(&stage));
    let waited = outputs.map(|other| world.blocked(other, Side::Send, now)).fold(0_u64, u64::saturating_add);
    waited > lasted / 10
}
