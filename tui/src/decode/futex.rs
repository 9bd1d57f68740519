//! Futexes: who waits on which word, who lets whom go on, and who has the lock that is waited for.
//!
//! A word is called by the process and the address it was first used at; where it lies in shared memory, that name stands
//! for it in all processes. Who is woken was let go by the call of the thread that woke it, if that is a call on the same
//! word; only that is claimed. Locks that are free are taken without any call, so nothing is seen of those.
//!
//! Who has a lock the kernel knows only of those with priority inheritance. Of a plain one of glibc (nptl,
//! `struct __pthread_mutex_s`: the owner stands 8 bytes behind the word, which is 2 while others wait) it is taken to be the
//! owner written there, if that is a thread of the same process.
//!
//! Invariant: an origin is a call on the same word, in progress at the moment of the wake-up. Tests: tui/tests/live_objects.rs.

use foldhash::HashMap;

use ipcscope_common::futex::{FutexBegin, FutexCall};

use super::{Decoder, call::On, space::Spaces, sysv};
use crate::event::{Blocked, Call, ChannelId, ChannelType, Kind, Lock, OpId, Origin, Task, Transfer};

/// Operations of futex(2) without their flags.
const COMMAND: u32 = 0x7f;
const WAIT: u32 = 0;
const WAIT_BITSET: u32 = 9;
const WAIT_REQUEUE_PI: u32 = 11;
const LOCK_PI: u32 = 6;
const TRYLOCK_PI: u32 = 8;
const LOCK_PI2: u32 = 13;
const REQUEUES: [u32; 3] = [3, 4, 12];
/// `FUTEX_PRIVATE_FLAG`: no other process uses the word.
const PRIVATE: u32 = 128;
/// `FUTEX_TID_MASK`.
const TID: u32 = 0x3fff_ffff;
/// What glibc writes into the word of a lock that others wait for.
const CONTENDED: u32 = 2;
/// Words whose waiters were moved to another one are forgotten beyond so many.
const MOST_MOVED: usize = 1 << 12;

/// A word: where it was first seen, by process and address.
type Word = (u32, u64);

/// All words, and the calls on them.
#[derive(Clone, Debug, Default)]
pub struct Futexes {
    /// Words in shared memory, by that and the place in it.
    shared: HashMap<(ChannelId, u64), Word>,
    /// Calls in progress, by thread.
    open: HashMap<u32, Open>,
    /// Waiters of the first word were moved to the second (FUTEX_REQUEUE).
    moved: HashMap<Word, Word>,
}

#[derive(Clone, Debug)]
struct Open {
    word: Word,
    op: OpId,
    pid: u32,
    timed: bool,
    /// The thread that has the lock.
    owner: Option<Task>,
    /// Whose call let this one go on.
    by: Option<Origin>,
}

fn is_wait(operation: u32) -> bool {
    matches!(operation & COMMAND, WAIT | WAIT_BITSET | WAIT_REQUEUE_PI | LOCK_PI | TRYLOCK_PI | LOCK_PI2)
}

fn id((pid, address): Word) -> ChannelId {
    ChannelId(format!("futex:{pid}:{address:#x}").into())
}

impl Futexes {
    fn word(&mut self, spaces: &Spaces, pid: u32, address: u64, operation: u32) -> Word {
        if operation & PRIVATE != 0 {
            return (pid, address);
        }
        match spaces.at(pid, address) {
            Some((mapping, place)) => *self.shared.entry((mapping.id.clone(), place)).or_insert((pid, address)),
            None => (pid, address),
        }
    }

    /// What the word at an address is called.
    pub fn name_of(&self, spaces: &Spaces, pid: u32, address: u64) -> ChannelId {
        let shared = spaces.at(pid, address).and_then(|(mapping, place)| self.shared.get(&(mapping.id.clone(), place)));
        id(shared.copied().unwrap_or((pid, address)))
    }

    /// A thread was woken by another.
    pub fn woken(&mut self, tid: u32, waker: u32) {
        let Some(by) = self.open.get(&waker) else { return };
        let (word, origin) = (by.word, Origin { op: by.op, pid: by.pid, bytes: 0, host: None });
        let moved = self.open.get(&tid).is_some_and(|open| self.moved.get(&open.word) == Some(&word));
        if let Some(open) = self.open.get_mut(&tid).filter(|open| (moved || open.word == word) && tid != waker) {
            open.by = Some(origin);
        }
    }

    /// Records are missing: who woke whom counts no more.
    pub fn lost(&mut self) {
        self.open.clear();
        self.moved.clear();
    }
}

impl Decoder {
    /// A call on a futex begins.
    pub(super) fn futex_begin(&mut self, record: &FutexBegin) {
        let header = &record.header;
        self.tasks.resume(header.tid, header.time, |interrupted| interrupted.is_again(record.nr));
        let op = self.tasks.op(header.tid, header.tgid, header.time);
        let word = self.futexes.word(&self.spaces, header.tgid, record.address, record.operation);
        if REQUEUES.contains(&(record.operation & COMMAND)) {
            let to = self.futexes.word(&self.spaces, header.tgid, record.second, record.operation);
            if self.futexes.moved.len() >= MOST_MOVED {
                self.futexes.moved.clear();
            }
            self.futexes.moved.insert(word, to);
        }
        let owner = self.lock_owner(record);
        let timed = is_wait(record.operation) && record.timed != 0;
        self.futexes.open.insert(header.tid, Open { word, op, pid: header.tgid, timed, owner, by: None });
    }

    /// The thread that has the lock which a call is going to wait for, if that is known.
    fn lock_owner(&self, record: &FutexBegin) -> Option<Task> {
        let pid = record.header.tgid;
        let tid = match record.operation & COMMAND {
            LOCK_PI | LOCK_PI2 => record.word & TID,
            WAIT | WAIT_BITSET if record.value == CONTENDED && record.word == CONTENDED => record.owner,
            _ => return None,
        };
        let thread = self.tasks.get(tid).filter(|thread| !thread.ended && thread.ns_pid.is_none())?;
        let may_be_another_s = record.operation & PRIVATE == 0;
        (thread.task.pid == pid || may_be_another_s).then_some(thread.task)
    }

    /// What a thread waits for that is BLOCKED in such a call.
    pub(super) fn futex_wait(&self, tid: u32, on: &mut Blocked) {
        let Some(open) = self.futexes.open.get(&tid) else { return };
        if on.channel.is_none() {
            return;
        }
        on.channel = Some(id(open.word));
        on.timed = open.timed;
        on.owner = open.owner;
        if open.owner.is_some() {
            on.lock = Some(Lock::Word(()));
        }
    }

    /// It returned.
    pub(super) fn futex_call(&mut self, record: &FutexCall) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let op = self.call_returned(task, record.nr, record.entered);
        let open = self.futexes.open.remove(&task.tid).filter(|open| open.op == op);
        if (-516..=-512).contains(&record.ret) {
            // It is not known yet whether the call fails or goes on.
            let on = On::Futex(Box::new(*record));
            self.call_interrupted(task.tid, op, record.entered, (record.nr, record.ret), on);
            return;
        }
        let times = (record.entered, header.time);
        let call = self.call_after_signals(task, op, record.nr, times, |on| matches!(on, On::Futex(_)));
        self.futex_told(header.time, task, record, call, open.and_then(|open| open.by));
    }

    /// A wait that a signal interrupted, and the kernel went on with by restart_syscall(2), is over.
    pub(super) fn futex_restarted(&mut self, time: u64, task: Task, record: &FutexCall, (ret, call): (i64, Call)) {
        self.futex_told(time, task, &FutexCall { ret, ..*record }, call, None);
    }

    fn futex_told(&mut self, time: u64, task: Task, record: &FutexCall, call: Call, by: Option<Origin>) {
        if record.ret == 0 && !is_wait(record.operation) {
            // Nobody waited: nothing has happened between any two.
            return;
        }
        let mut transfer = self.futex_blank(record, call);
        transfer.error = sysv::error(record.ret);
        transfer.bytes = (record.ret >= 0).then_some(0);
        if is_wait(record.operation) {
            transfer.from = (record.ret >= 0).then_some(by).flatten().map(|origin| vec![origin]);
            self.push(time, task, Kind::Recv(Box::new(transfer)));
        } else {
            transfer.value = u64::try_from(record.ret).ok();
            self.push(time, task, Kind::Send(Box::new(transfer)));
        }
    }

    /// What is known before it is known how the call ended.
    pub(super) fn futex_blank(&mut self, record: &FutexCall, call: Call) -> Transfer {
        let word = self.futexes.word(&self.spaces, record.header.tgid, record.address, record.operation);
        Transfer::new(id(word), ChannelType::Futex, None, call)
    }
}
