//! The calls of one pipe that are open, or ended but not yet worked off.
//!
//! Invariants: a slot is reused only after its call was removed; at most [`MOST_OPEN`] calls are open.

use super::{CallId, Method, Side, ring::PAGE};

/// Open calls of one pipe; beyond this, the oldest is taken for one whose exit was lost.
const MOST_OPEN: usize = 4096;

/// A call and how far it is known to be.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) task: u64,
    pub(super) side: Side,
    pub(super) method: Method,
    pub(super) requested: Option<u64>,
    pub(super) entered: u64,
    /// What it returned, known as soon as its exit was given.
    pub(super) ret: Option<i64>,
    /// Its entry has been worked off.
    pub(super) live: bool,
    /// It waits inside the pipe code, mutex free.
    pub(super) asleep: bool,
    /// The pipe's head at its last step, if nobody had the mutex then.
    pub(super) stood: Option<u32>,
    /// Number of its last step, if that was a switch-out.
    pub(super) left_at: Option<u64>,
}

impl Call {
    pub(super) fn new(id: CallId, task: u64, side: Side, method: Method, requested: Option<u64>, entered: u64) -> Self {
        Self {
            id,
            task,
            side,
            method,
            requested,
            entered,
            ret: None,
            live: false,
            asleep: false,
            stood: None,
            left_at: None,
        }
    }

    /// The bytes it returned, once known; errors count as none.
    pub(super) fn returned(&self) -> Option<u64> {
        self.ret.map(|ret| u64::try_from(ret).unwrap_or(0))
    }

    /// Its sections can be predicted; none is known of a call that moved nothing, whatever it was.
    pub(super) fn is_modelled(&self) -> bool {
        match self.method {
            _ if !self.has_effect() => true,
            Method::Plain => self.requested.is_some(),
            Method::Packet => self.requested.is_some() && self.side == Side::Write,
            Method::Opaque => false,
            Method::Peek => true,
        }
    }

    /// One section of it can both add to the newest buffer and use a new one.
    pub(super) fn may_merge_and_go_on(&self) -> bool {
        self.side == Side::Write
            && self.has_effect()
            && self.requested.is_none_or(|requested| requested > u64::from(PAGE))
    }

    /// Whether its sections change the pipe at all, as far as is known.
    pub(super) fn has_effect(&self) -> bool {
        self.method != Method::Peek && self.returned() != Some(0)
    }
}

/// The table.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    slots: Vec<Option<Call>>,
    free: Vec<u32>,
    /// Calls whose exit has not been given.
    open: Vec<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    id: CallId,
    task: u64,
    slot: u32,
}

impl Calls {
    /// The slot of an open call.
    pub(super) fn find(&self, id: CallId) -> Option<u32> {
        self.open.iter().rev().find(|open| open.id == id).map(|open| open.slot)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Call> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Call> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Adds a call.
    pub(super) fn open(&mut self, call: Call) -> u32 {
        let (id, task) = (call.id, call.task);
        let slot = if let Some(slot) = self.free.pop() {
            slot
        } else {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(call);
        }
        self.open.push(Open { id, task, slot });
        slot
    }

    /// Closes a call that must have ended unseen when this one begins: the same id, the same task, or one too many.
    /// Its record stays until [`Calls::remove`].
    pub(super) fn close_stale(&mut self, id: CallId, task: u64) -> Option<u32> {
        let full = self.open.len() >= MOST_OPEN;
        let at = self.open.iter().position(|open| full || open.id == id || open.task == task)?;
        Some(self.open.remove(at).slot)
    }

    /// The call's exit was given; its record stays until [`Calls::remove`].
    pub(super) fn close(&mut self, id: CallId, ret: i64) -> Option<u32> {
        let at = self.open.iter().rposition(|open| open.id == id)?;
        let slot = self.open.swap_remove(at).slot;
        if let Some(call) = self.get_mut(slot) {
            call.ret = Some(ret);
        }
        Some(slot)
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Call> {
        let call = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(call)
    }

    /// No call is open.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Calls whose exit has not been given.
    pub(super) fn opened(&self) -> impl Iterator<Item = &Call> {
        self.open.iter().filter_map(|open| self.get(open.slot))
    }

    /// The solo mode ends: what is open is in flight.
    pub(super) fn start(&mut self) {
        for call in self.slots.iter_mut().flatten() {
            call.live = true;
        }
    }

    /// Every live call may be on a CPU, whatever was told: after a loss, and where sampling begins, since nothing tells
    /// when a call wakes up that was entered before. Gives their slots.
    pub(super) fn set_all_acting(&mut self) -> Vec<u32> {
        let live = self.slots.iter_mut().enumerate().filter_map(|(slot, call)| {
            let call = call.as_mut().filter(|call| call.live)?;
            call.asleep = false;
            Some(slot as u32)
        });
        live.collect()
    }

    /// Calls whose entry has been worked off and whose exit has not.
    pub(super) fn live(&self) -> impl Iterator<Item = (u32, &Call)> {
        self.slots.iter().enumerate().filter_map(|(slot, call)| {
            let call = call.as_ref()?;
            call.live.then_some((slot as u32, call))
        })
    }
}
