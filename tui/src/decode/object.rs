//! Descriptors of other things: terminals, eventfd, signalfd, timerfd, pidfd, files in memory.
//!
//! What is behind such a descriptor stands for its inode ([`ipcscope_common::object`]). A terminal changes what goes
//! through it (termios(3): line editing, echo, signals), so only that something came is known of a read, not whose it was.
//! What an eventfd counts came from certain writes: [`counter`].
//!
//! Invariants: an object keeps its name as long as somebody in the trace can reach it; an origin is exact or absent.
//! Tests: counter.rs, and programs that know the truth (tui/tests/live_objects.rs).

mod counter;
mod transfer;

use foldhash::HashMap;

use ipcscope_common::{
    descriptor::{Descriptor, object},
    object::{KIND, ObjectFacts, state},
};
use syscalls::Sysno;

use super::{
    Decoder,
    descriptor::{Key, new_name},
    names,
};
use crate::event::{ChannelChange, ChannelEvent, ChannelId, ChannelType, Kind, PeerPid, Task, text};
use counter::Counter;

/// Bits of `i_mode` that are permissions.
const PERMISSIONS: u32 = 0o7777;
/// Objects whose end is not seen are forgotten beyond so many.
const MOST: usize = 1 << 16;

/// One of them.
#[derive(Clone, Debug)]
pub struct Object {
    /// What it is called.
    pub id: ChannelId,
    /// Its mechanism.
    pub mechanism: ChannelType,
    /// Descriptors in the trace.
    pub holders: u32,
    facts: Option<Facts>,
    /// Its name was unlinked.
    removed: bool,
    /// Of an eventfd.
    counter: Counter,
}

/// What the kernel says of it.
#[derive(Clone, Debug, PartialEq)]
struct Facts {
    number: u64,
    value: u64,
    mode: u32,
    owner: u32,
    state: u32,
    /// Escaped.
    name: String,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    by_key: HashMap<Key, Object>,
    /// How many there may be before those that nobody holds are dropped.
    room: usize,
    /// Given to those that have no number of their own.
    numbers: HashMap<ChannelType, u32>,
}

/// The mechanism of what stands for an inode.
pub fn mechanism_of(key: Key) -> Option<ChannelType> {
    if key.0 != 0 {
        return None;
    }
    match (key.1 >> KIND) as u16 {
        object::TERMINAL => Some(ChannelType::Pty),
        object::EVENTFD => Some(ChannelType::Eventfd),
        object::SIGNALFD => Some(ChannelType::Signalfd),
        object::TIMERFD => Some(ChannelType::Timerfd),
        object::PIDFD => Some(ChannelType::Pidfd),
        object::MEMFD => Some(ChannelType::Memfd),
        object::MEMORY => Some(ChannelType::Shm),
        _ => None,
    }
}

impl Objects {
    /// The object with that key.
    pub fn get(&self, key: Key) -> Option<&Object> {
        self.by_key.get(&key)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut Object> {
        self.by_key.get_mut(&key)
    }

    /// The object with that key, called by a number of its own if nothing else is known; `None`: it is none of these.
    pub fn ensure(&mut self, key: Key, names: &mut HashMap<String, u32>) -> Option<&mut Object> {
        let mechanism = mechanism_of(key)?;
        if !self.by_key.contains_key(&key) {
            let number = self.numbers.entry(mechanism).or_default();
            *number += 1;
            let id = match mechanism {
                ChannelType::Timerfd | ChannelType::Signalfd => format!("{}:{number}", mechanism.name()),
                _ => format!("{}:?{number}", mechanism.name()),
            };
            self.insert(key, new_name(names, id), mechanism, None);
        }
        self.by_key.get_mut(&key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    fn insert(&mut self, key: Key, id: ChannelId, mechanism: ChannelType, facts: Option<Facts>) {
        if self.by_key.len() >= self.room.max(MOST) {
            self.by_key.retain(|_, object| object.holders > 0);
            // If all stay, looking again soon is of no use.
            self.room = self.by_key.len().saturating_mul(2);
        }
        let before = facts.as_ref().map_or(0, |facts| facts.value);
        let counter = if mechanism == ChannelType::Eventfd { Counter::new(before) } else { Counter::default() };
        self.by_key.insert(key, Object { id, mechanism, holders: 0, facts, removed: false, counter });
    }

    /// What is behind a key: the same as before, or something new.
    fn see(&mut self, key: Key, facts: Facts, names: &mut HashMap<String, u32>) {
        let Some(mechanism) = mechanism_of(key) else { return };
        if let Some(known) = self.by_key.get_mut(&key) {
            let is_same = known.facts.as_ref().is_none_or(|before| before.number == facts.number);
            if is_same || known.holders > 0 {
                known.facts = Some(facts);
                return;
            }
        }
        let name = mechanism.name();
        let base = match mechanism {
            ChannelType::Pty | ChannelType::Eventfd | ChannelType::Pidfd => format!("{name}:{}", facts.number),
            ChannelType::Memfd => format!("memfd:[{}]", facts.number),
            ChannelType::Shm => format!("shm:/{}", facts.name),
            _ => {
                self.ensure(key, names);
                return;
            }
        };
        self.insert(key, new_name(names, base), mechanism, Some(facts));
    }

    /// Nobody in the trace has a descriptor of it any more. Of a name or a process the same can be opened again.
    pub fn sweep(&mut self, key: Key) {
        let is_gone = |object: &Object| {
            object.holders == 0
                && (object.removed || !matches!(object.mechanism, ChannelType::Shm | ChannelType::Pidfd))
        };
        if self.by_key.get(&key).is_some_and(is_gone) {
            self.by_key.remove(&key);
        }
    }

    /// The file of that name in /dev/shm, which was unlinked.
    pub fn unlink(&mut self, name: &str) -> Option<ChannelId> {
        let is_it = |object: &&mut Object| {
            object.mechanism == ChannelType::Shm
                && !object.removed
                && object.facts.as_ref().is_some_and(|facts| facts.name == name)
        };
        let object = self.by_key.values_mut().find(is_it)?;
        object.removed = true;
        Some(object.id.clone())
    }

    /// Records are missing.
    pub fn lost(&mut self) {
        for object in self.by_key.values_mut() {
            object.counter.lost();
        }
    }
}

impl Decoder {
    /// What is behind the next descriptor.
    pub(super) fn object_facts(&mut self, record: &ObjectFacts) {
        // Of whoever is outside the trace nothing is told.
        if !self.tasks.has_process(record.header.tgid) {
            return;
        }
        let facts = Facts {
            number: record.number,
            value: record.value,
            mode: record.mode,
            owner: record.owner,
            state: record.state,
            name: text::escape(record.name.split(|byte| *byte == 0).next().unwrap_or_default()),
        };
        self.channels.objects.see((0, record.ino), facts, &mut self.channels.names);
    }

    /// What opening that descriptor was: eventfd(2) and so on make what they return a descriptor of.
    pub(super) fn object_change(&self, record: &Descriptor, event: ChannelChange) -> ChannelChange {
        let known = self.channels.objects.get((record.dev, record.ino));
        let is_master = known
            .and_then(|known| known.facts.as_ref())
            .is_some_and(|facts| record.object & 0xff == object::TERMINAL && facts.state & state::MASTER != 0);
        if event != ChannelChange::Opened {
            return event;
        }
        match names::sysno(record.nr) {
            Some(Sysno::eventfd | Sysno::eventfd2 | Sysno::timerfd_create | Sysno::memfd_create) => {
                ChannelChange::Created
            }
            // With a descriptor given, its mask is changed.
            Some(Sysno::signalfd | Sysno::signalfd4) if known.is_some_and(|known| known.holders > 1) => {
                ChannelChange::Changed
            }
            Some(Sysno::signalfd | Sysno::signalfd4) => ChannelChange::Created,
            _ if is_master => ChannelChange::Created,
            _ => event,
        }
    }

    /// Adds what is known of the object behind a descriptor.
    pub(super) fn describe_object(&self, record: &Descriptor, event: &mut ChannelEvent) {
        let known = self.channels.objects.get((record.dev, record.ino));
        let Some((known, facts)) = known.and_then(|known| Some((known, known.facts.as_ref()?))) else { return };
        match known.mechanism {
            ChannelType::Pty => {
                let is_master = record.object & object::MASTER != 0;
                event.name =
                    Some(if is_master { "/dev/ptmx".to_owned() } else { format!("/dev/pts/{}", facts.number) });
                event.owner = Some(facts.owner);
                event.mode = Some(format!("{:o}", facts.mode & PERMISSIONS));
            }
            ChannelType::Eventfd => event.value = i64::try_from(facts.value).ok(),
            ChannelType::Pidfd => event.peer = u32::try_from(facts.number).ok().map(|pid| PeerPid { pid }),
            ChannelType::Memfd | ChannelType::Shm => {
                let name = facts.name.strip_prefix("memfd:").unwrap_or(&facts.name);
                event.name = Some(name.to_owned());
                event.owner = Some(facts.owner);
                event.mode = Some(format!("{:o}", facts.mode & PERMISSIONS));
                event.capacity = Some(facts.value);
            }
            _ => {}
        }
    }

    /// What an object is called, whatever is known of it.
    pub(super) fn object_id(&mut self, key: Key) -> Option<(ChannelId, ChannelType)> {
        let channels = &mut self.channels;
        channels.objects.ensure(key, &mut channels.names).map(|object| (object.id.clone(), object.mechanism))
    }

    /// A name in /dev/shm was unlinked, or not.
    pub(super) fn memory_removed(&mut self, record: &ipcscope_common::memory::MemoryName) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let op = self.call_returned(task, record.nr, record.entered);
        let name = text::escape(record.name.split(|byte| *byte == 0).next().unwrap_or_default());
        let known = if record.ret == 0 { self.channels.objects.unlink(&name) } else { None };
        let id = known.unwrap_or_else(|| match record.ret {
            // Nobody in the trace had it open: this is all there is of it.
            0 => new_name(&mut self.channels.names, format!("shm:/{name}")),
            _ => ChannelId(format!("shm:/{name}").into()),
        });
        let call = self.call(task, op, record.nr, (record.entered, header.time));
        let event = ChannelEvent {
            name: Some(name),
            error: super::sysv::error(record.ret),
            call: Some(call),
            ..ChannelEvent::new(id, ChannelType::Shm, ChannelChange::Removed)
        };
        self.push(header.time, task, Kind::Channel(Box::new(event)));
    }
}
