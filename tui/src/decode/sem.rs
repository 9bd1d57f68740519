//! System V semaphores: what was done to which of a set, and who let whom go on.
//!
//! A semaphore's units are all alike, so nobody can say whose a unit was that is taken at once. But who has to wait is let
//! go by a certain call: that of the thread that woke it (ipc/sem.c: `do_smart_update` does what the sleeper waits for,
//! `wake_up_sem_queue_do` wakes it). Only that is claimed.
//!
//! Invariant: an origin is a call on the same set, in progress at the moment of the wake-up. Tests: tui/tests/live_shared.rs.

use foldhash::HashMap;

use ipcscope_common::sem::{self as wire, OPERATIONS, TIMED, state};
use syscalls::Sysno;

use super::{
    Decoder, names,
    sysv::{self, IPC_RMID, Key, Lookup, Objects},
};
use crate::event::{
    Call, ChannelChange, ChannelEvent, ChannelId, ChannelType, Kind, OpId, Origin, SemOperation, Task, Transfer,
};

/// A command of semctl(2).
const SETVAL: i32 = 16;
/// Flags of an operation.
const IPC_NOWAIT: u16 = 0o4000;
const SEM_UNDO: u16 = 0x1000;

/// All sets, and the calls on them.
#[derive(Clone, Debug)]
pub struct Semaphores {
    known: Objects,
    /// Calls in progress, by thread.
    open: HashMap<u32, Open>,
}

impl Default for Semaphores {
    fn default() -> Self {
        Self { known: Objects::new("sysv-sem"), open: HashMap::default() }
    }
}

#[derive(Clone, Debug)]
struct Open {
    key: Key,
    op: OpId,
    pid: u32,
    /// It ends by itself.
    timed: bool,
    /// Whose call let this one go on.
    by: Option<Origin>,
}

impl Decoder {
    /// A call on semaphores begins.
    pub(super) fn sem_begin(&mut self, record: &wire::SemBegin) {
        let header = &record.header;
        self.tasks.resume(header.tid, header.time, |interrupted| interrupted.is_again(record.nr));
        let op = self.tasks.op(header.tid, header.tgid, header.time);
        let open =
            Open { key: (record.namespace, record.id), op, pid: header.tgid, timed: record.command == TIMED, by: None };
        self.sems.open.insert(header.tid, open);
    }

    /// A thread was woken by another.
    pub(super) fn sem_woken(&mut self, tid: u32, waker: u32) {
        let Some(by) = self.sems.open.get(&waker) else { return };
        let (key, origin) = (by.key, Origin { op: by.op, pid: by.pid, host: None, bytes: 0 });
        if let Some(open) = self.sems.open.get_mut(&tid).filter(|open| open.key == key && tid != waker) {
            open.by = Some(origin);
        }
    }

    /// The set of a call in which a thread waits, and whether that ends by itself.
    pub(super) fn sem_wait(&mut self, tid: u32, namespace: u32, id: i32) -> (ChannelId, bool) {
        let timed = self.sems.open.get(&tid).is_some_and(|open| open.timed);
        (self.sem_set((namespace, id)), timed)
    }

    /// A call on semaphores returned.
    pub(super) fn sem_call(&mut self, record: &wire::SemCall) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        self.tasks.resume(task.tid, record.entered, |interrupted| interrupted.is_again(record.nr));
        if let Some(thread) = self.tasks.get_mut(task.tid) {
            thread.last_entered = record.entered;
        }
        let op = self.tasks.op(task.tid, task.pid, record.entered);
        let call = self.call(task, op, record.nr, (record.entered, header.time));
        if record.state & state::FOUND != 0 {
            self.sems.known.appear((record.namespace, record.id), false);
        }
        let open = self.sems.open.remove(&task.tid).filter(|open| open.op == op);
        match names::sysno(record.nr) {
            Some(Sysno::semget) => self.sem_found(record, task, call),
            Some(Sysno::semctl) => self.sem_controlled(record, task, call),
            _ => self.sem_operated(record, task, call, open.and_then(|open| open.by)),
        }
    }

    fn sem_set(&mut self, key: Key) -> ChannelId {
        self.sems.known.ensure(key, &mut self.channels.names).0
    }

    fn sem_found(&mut self, record: &wire::SemCall, task: Task, call: Call) {
        let event = if record.ret < 0 {
            let event = sem_event(record, self.sems.known.refused(record.key), ChannelChange::Refused);
            ChannelEvent { key: Some(sysv::hexadecimal(record.key)), ..event }
        } else {
            let key = (record.namespace, record.id);
            let by = Lookup { key: record.key, flags: record.flags, fresh: record.state & state::FRESH != 0 };
            let made = self.sems.known.made(key, &by);
            self.sems.known.appear(key, made);
            sem_event(record, self.sem_set(key), if made { ChannelChange::Created } else { ChannelChange::Opened })
        };
        self.push(record.header.time, task, Kind::Channel(Box::new(ChannelEvent { call: Some(call), ..event })));
    }

    /// semctl(2): what changes something.
    fn sem_controlled(&mut self, record: &wire::SemCall, task: Task, call: Call) {
        let key = (record.namespace, record.id);
        let id = self.sem_set(key);
        let command = record.flags & 0xff;
        if command == IPC_RMID && record.ret == 0 {
            self.sems.known.remove(key);
        }
        let change = if command == IPC_RMID { ChannelChange::Removed } else { ChannelChange::Changed };
        let mut event = ChannelEvent { call: Some(call), ..sem_event(record, id, change) };
        if command == SETVAL
            && let Some(operation) = record.operations.first()
        {
            event.semaphore = Some(operation.number);
            event.value = Some(operation.change.into());
        }
        self.push(record.header.time, task, Kind::Channel(Box::new(event)));
    }

    /// semop(2): what takes or waits is a receive, what gives a send; a call can be both.
    fn sem_operated(&mut self, record: &wire::SemCall, task: Task, call: Call, by: Option<Origin>) {
        let id = self.sem_set((record.namespace, record.id));
        let told = (record.count as usize).min(OPERATIONS);
        let operations = record.operations.iter().zip(&record.values).take(told);
        let (gives, takes): (Vec<_>, Vec<_>) = operations
            .map(|(operation, value)| SemOperation {
                semaphore: operation.number,
                change: operation.change,
                value: (record.state & state::FOUND != 0).then_some(*value),
                undo: operation.flags & SEM_UNDO != 0,
            })
            .partition(|operation| operation.change > 0);
        let nonblocking = record.operations.iter().take(told).any(|operation| operation.flags & IPC_NOWAIT != 0);
        let transfer = |operations: Vec<SemOperation>, call: Call| Transfer {
            nonblocking,
            bytes: (record.ret == 0).then_some(0),
            error: sysv::error(record.ret),
            operations: Some(operations),
            ..Transfer::new(id.clone(), ChannelType::SysvSem, None, call)
        };
        let from = (record.ret == 0).then_some(by).flatten().map(|origin| vec![origin]);
        if !takes.is_empty() || gives.is_empty() {
            let receive = Transfer { from, ..transfer(takes, call.clone()) };
            self.push(record.header.time, task, Kind::Recv(Box::new(receive)));
        }
        if !gives.is_empty() {
            self.push(record.header.time, task, Kind::Send(Box::new(transfer(gives, call))));
        }
    }

    /// Records are missing: who woke whom counts no more.
    pub(super) fn sems_lost(&mut self) {
        self.sems.open.clear();
    }
}

fn sem_event(record: &wire::SemCall, id: ChannelId, event: ChannelChange) -> ChannelEvent {
    let mut told = ChannelEvent::new(id, ChannelType::SysvSem, event);
    if record.state & state::FOUND != 0 {
        sysv::describe(&mut told, record.key, record.uid, record.mode);
        told.slots = Some(record.semaphores);
    }
    told.error = sysv::error(record.ret);
    told
}
