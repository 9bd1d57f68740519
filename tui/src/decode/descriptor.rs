//! Who holds which end: descriptor tables and the channels behind them.
//!
//! Tables are keyed by the kernel's `files_struct`, which threads (and CLONE_FILES) share.

mod file;
mod inherit;
mod path;
mod peers;

use std::collections::BTreeMap;

use foldhash::HashMap;

use ipcscope_common::descriptor::{self as wire, change, object as kind};

use crate::event::{ChannelChange, ChannelEvent, ChannelId, ChannelType, End, Kind, PeerPid, Task};

use super::{
    Decoder,
    mqueue::Mqueues,
    names,
    object::{self, Objects},
    pipe::{Pipe, Verdict},
    socket::{self, Sockets},
};
use file::Made;
use path::Named;

/// The part of [`wire::Descriptor::object`] that is one of [`kind`].
const OBJECT: u16 = 0xff;
/// Page size of x86-64: a pipe's buffer.
const PAGE: u64 = 4096;

/// A channel by its inode: device and number.
pub type Key = (u32, u64);

/// A descriptor in a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// What it is of.
    pub key: Key,
    /// Which end.
    pub end: End,
    /// The open file, which copies share.
    pub file: u64,
}

/// A descriptor table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    users: u32,
    held: BTreeMap<i32, Held>,
    /// Its processes may move bytes in ways that are not followed.
    unseen: bool,
}

/// Everything known about channels.
#[derive(Clone, Debug, Default)]
pub struct Channels {
    tables: HashMap<u64, Table>,
    pipes: HashMap<Key, Pipe>,
    /// Named pipes whose path is known.
    paths: HashMap<Key, Named>,
    made: Made,
    /// How often named pipes have been opened for reading and for writing, by the kernel's own count.
    opened: HashMap<Key, (u32, u32)>,
    /// Sockets, by their own inodes: two of them are one channel.
    pub(super) sockets: Sockets,
    /// POSIX message queues.
    pub(super) mqueues: Mqueues,
    /// Terminals, eventfd and so on.
    pub(super) objects: Objects,
    /// How often each name was given out.
    pub(super) names: HashMap<String, u32>,
    /// Descriptors of processes outside the trace, when it began.
    outside: HashMap<Key, Vec<u32>>,
    /// What exec has left open, until the exec itself is told.
    after_exec: HashMap<u32, Vec<wire::Descriptor>>,
    /// Who holds an end of a pipe alone, as long as no descriptor of it changes.
    peers: HashMap<(Key, End), Option<PeerPid>>,
    /// Time of the data.
    pub now: u64,
    /// Records of pipes are missing until that time.
    pub(super) blind_until: u64,
    /// Pipes nobody in the trace holds any more: kernel addresses, for whoever keeps tables by them.
    gone: Vec<u64>,
}

fn end_of(record: &wire::Descriptor) -> End {
    match (record.end & wire::END_READ != 0, record.end & wire::END_WRITE != 0) {
        (true, true) => End::Rw,
        (false, true) => End::W,
        _ => End::R,
    }
}

/// That name, or with `#2` and so on if it was given out before.
pub(super) fn new_name(names: &mut HashMap<String, u32>, base: String) -> ChannelId {
    let count = names.entry(base.clone()).or_default();
    *count += 1;
    let name = if *count > 1 { format!("{base}#{count}") } else { base };
    ChannelId(name.into())
}

fn key_of(record: &wire::Descriptor) -> Key {
    (record.dev, record.ino)
}

impl Channels {
    /// One more thread uses that table.
    pub fn use_table(&mut self, files: u64) {
        self.peers.clear();
        self.tables.entry(files).or_default().users += 1;
    }

    /// The pipe with that inode.
    pub fn pipe(&mut self, key: Key) -> Option<&mut Pipe> {
        self.pipes.get_mut(&key)
    }

    /// All pipes.
    pub fn pipes(&mut self) -> impl Iterator<Item = (&Key, &mut Pipe)> {
        self.pipes.iter_mut()
    }

    /// What the channel with that inode is called, known or not.
    pub fn name(&self, dev: u32, ino: u64) -> ChannelId {
        let known = self.known((dev, ino)).map(|(id, _)| id.clone());
        known.unwrap_or_else(|| ChannelId(format!("pipe:[{ino}]").into()))
    }

    /// The channel with that inode and its mechanism, if it is known.
    pub(super) fn known(&self, key: Key) -> Option<(&ChannelId, ChannelType)> {
        let pipe = self.pipes.get(&key).map(|pipe| (&pipe.id, pipe.mechanism));
        let socket = || self.sockets.get(key).map(|socket| (&socket.id, socket.mechanism));
        let queue = || self.mqueues.get(key).map(|queue| (&queue.id, ChannelType::PosixMq));
        let other = || self.objects.get(key).map(|object| (&object.id, object.mechanism));
        pipe.or_else(socket).or_else(queue).or_else(other)
    }

    /// Somebody outside the trace held it when the trace began.
    pub fn is_outside(&self, key: Key) -> bool {
        self.outside.get(&key).is_some_and(|holders| !holders.is_empty())
    }

    /// The kernel needs no table entry for that address any more.
    pub fn forget(&mut self, address: u64) {
        self.gone.push(address);
    }

    /// Makes sure that the channel of a descriptor is known; false: it is none that is followed.
    fn ensure_of(&mut self, record: &wire::Descriptor, created: bool) -> bool {
        let key = key_of(record);
        if kind::is_other(record.object & OBJECT) {
            return self.objects.ensure(key, &mut self.names).is_some();
        }
        if record.object == kind::MQUEUE {
            self.mqueues.ensure(key, self.now, &mut self.names);
            return true;
        }
        if record.object & OBJECT != kind::SOCKET {
            self.ensure(key, record.object, record.slots, record.address, created);
            return true;
        }
        let Some(mechanism) = socket::mechanism_of(record.object) else { return false };
        let outside = self.is_outside(key);
        self.sockets.ensure(key, mechanism, record.slots.into(), outside);
        true
    }

    /// The pipe with that inode, made up if a loss has hidden its beginning. `created`: from its very beginning.
    pub fn ensure(&mut self, key: Key, object: u16, slots: u32, address: u64, created: bool) -> &mut Pipe {
        let reused = created && self.pipes.contains_key(&key);
        if reused {
            self.pipes.remove(&key);
        }
        let outside = self.is_outside(key);
        let (now, blind_until) = (self.now, self.blind_until);
        let (paths, names) = (&self.paths, &mut self.names);
        self.pipes.entry(key).or_insert_with(|| {
            let (id, mechanism) = match paths.get(&key) {
                Some(named) if object == kind::FIFO => (named.id.clone(), ChannelType::Fifo),
                _ if object == kind::FIFO => (new_name(names, format!("fifo:[{}]", key.1)), ChannelType::Fifo),
                _ => (new_name(names, format!("pipe:[{}]", key.1)), ChannelType::Pipe),
            };
            let mut pipe = Pipe::new(id, mechanism, slots, address, created, outside);
            if now < blind_until {
                // What was moved through it since may be missing.
                pipe.lose(now, blind_until);
            }
            pipe
        })
    }

    /// About how many bytes a copy takes, by what there may be many of; see [`Decoder::weight`].
    pub fn weight(&self, changed: usize) -> usize {
        let held: usize = self.tables.values().map(|table| table.held.len()).sum();
        self.sockets.weight(changed)
            + self.pipes.len() * 1000
            + self.objects.len() * 300
            + (held + self.names.len()) * 100
    }

    /// Kernel addresses of pipes that are gone, since the last call.
    pub fn take_gone(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.gone)
    }

    /// A descriptor of that channel came or went.
    fn forget_peers(&mut self, key: Key) {
        for end in [End::R, End::W] {
            self.peers.remove(&(key, end));
        }
    }

    pub(super) fn put(&mut self, files: u64, fd: i32, held: Held) {
        self.forget_peers(held.key);
        let table = self.tables.entry(files).or_default();
        let old = table.held.insert(fd, held);
        if let Some(pipe) = self.pipes.get_mut(&held.key) {
            pipe.holders += 1;
            pipe.unseen |= table.unseen;
            pipe.openers.take(held.file, held.end);
        } else if let Some(socket) = self.sockets.get_mut(held.key) {
            socket.holders += 1;
            socket.unseen |= table.unseen;
        } else if let Some(queue) = self.mqueues.get_mut(held.key) {
            queue.holders += 1;
        } else if let Some(object) = self.objects.get_mut(held.key) {
            object.holders += 1;
        }
        if let Some(old) = old {
            self.release(old);
        }
    }

    fn take(&mut self, files: u64, fd: i32) -> Option<Held> {
        let held = self.tables.get_mut(&files)?.held.remove(&fd)?;
        self.release(held);
        Some(held)
    }

    fn release(&mut self, held: Held) {
        self.forget_peers(held.key);
        if let Some(pipe) = self.pipes.get_mut(&held.key) {
            pipe.holders = pipe.holders.saturating_sub(1);
            pipe.openers.release(held.file, self.now);
        } else if let Some(socket) = self.sockets.get_mut(held.key) {
            socket.holders = socket.holders.saturating_sub(1);
        } else if let Some(queue) = self.mqueues.get_mut(held.key) {
            queue.holders = queue.holders.saturating_sub(1);
        } else if let Some(object) = self.objects.get_mut(held.key) {
            object.holders = object.holders.saturating_sub(1);
        }
    }

    /// The processes that use this table may move bytes in ways that are not followed: through any end they hold.
    pub fn move_unseen(&mut self, files: u64) {
        let table = self.tables.entry(files).or_default();
        table.unseen = true;
        for held in table.held.values() {
            if let Some(pipe) = self.pipes.get_mut(&held.key) {
                pipe.unseen = true;
            } else if let Some(socket) = self.sockets.get_mut(held.key) {
                socket.unseen = true;
            }
        }
    }

    fn moves_unseen(&self, files: u64) -> bool {
        self.tables.get(&files).is_some_and(|table| table.unseen)
    }
}

impl Decoder {
    fn channel_event(&self, held: Held, fd: i32, event: ChannelChange) -> Option<ChannelEvent> {
        let (id, mechanism) = self.channels.known(held.key)?;
        Some(ChannelEvent { fd: Some(fd), end: Some(held.end), ..ChannelEvent::new(id.clone(), mechanism, event) })
    }

    fn tell(&mut self, time: u64, task: Task, held: Held, fd: i32, event: ChannelChange) {
        if let Some(event) = self.channel_event(held, fd, event) {
            self.push(time, task, Kind::Channel(Box::new(event)));
        }
    }

    /// Pipes that nobody in the trace holds any more are forgotten, once their last receives are told.
    fn sweep(&mut self, key: Key) {
        self.sweep_socket(key);
        self.channels.mqueues.sweep(key);
        self.channels.objects.sweep(key);
        let Some(pipe) = self.channels.pipes.get(&key) else { return };
        // Where the kernel counts one open more than was told, that one is about to be.
        let awaited = pipe.mechanism == ChannelType::Fifo && pipe.openers.verdict(self.channels.now) == Verdict::Open;
        if pipe.holders > 0 || awaited {
            return;
        }
        self.forget_pipe(key);
    }

    fn forget_pipe(&mut self, key: Key) {
        self.resolve_pipe(key, true);
        if let Some(pipe) = self.channels.pipes.remove(&key) {
            self.channels.gone.push(pipe.address);
        }
    }

    /// Kernel addresses of pipes that are gone, since the last call.
    pub fn take_gone(&mut self) -> Vec<u64> {
        self.channels.take_gone()
    }

    pub(super) fn descriptor(&mut self, record: &wire::Descriptor) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let thread = self.tasks.ensure(task.tid, task.pid);
        thread.files = record.files;
        let (key, end) = (key_of(record), end_of(record));
        let held = Held { key, end, file: record.file };
        // A FIFO's pipe begins with its first open; if that was not ours, the kernel's count tells.
        let opened = self.channels.opened.get(&key).copied().filter(|_| record.change == change::OPENED);
        if let (Some(opened), Some(pipe)) = (opened, self.channels.pipes.get(&key))
            && pipe.holders == 0
            && (pipe.address != record.address || pipe.openers.has_seen_more_than(opened))
        {
            // Nobody was left, and the kernel has dropped it meanwhile.
            self.forget_pipe(key);
        }
        let first = opened.is_some() && record.object == kind::FIFO && !self.channels.pipes.contains_key(&key);
        let creating = first || record.change == change::CREATED && end == End::R;
        if !self.channels.ensure_of(record, creating) {
            // A socket's last close returns after its end (fput_close_sync in close(2), since 6.6): what it was is known.
            if record.change == change::CLOSED
                && let Some(held) = self.channels.take(record.files, record.fd)
            {
                self.tell_call(record, task, held, ChannelChange::Closed);
                self.sweep(held.key);
            }
            return;
        }
        if record.change == change::CLOSED {
            let held = self.channels.take(record.files, record.fd).unwrap_or(held);
            self.tell_call(record, task, held, ChannelChange::Closed);
            self.sweep(held.key);
            return;
        }
        if record.change == change::CHANGED {
            self.tell_call(record, task, held, ChannelChange::Changed);
            return;
        }
        if record.change == change::RESIZED {
            self.resized(record, task, held);
            return;
        }
        if record.change == change::SENT {
            self.sent(record, task, held);
            return;
        }
        if record.change == change::PASSED
            && let Some(pipe) = self.channels.pipes.get_mut(&key)
        {
            pipe.on_the_way = pipe.on_the_way.saturating_sub(1);
        }
        if record.change == change::PASSED {
            self.socket_passed(key);
        }
        self.channels.put(record.files, record.fd, held);
        if let (Some((to_read, to_write)), Some(pipe)) = (opened, self.channels.pipes.get_mut(&key)) {
            pipe.openers.see_opens(to_read, to_write, header.time);
        }
        match record.change {
            // Its other end follows in the next record; one event tells of both.
            change::CREATED if end != End::R && record.object != kind::MQUEUE => {}
            change::CREATED => self.tell_call(record, task, held, ChannelChange::Created),
            change::DUPLICATED => self.tell_call(record, task, held, ChannelChange::Duplicated),
            change::PASSED => self.tell_call(record, task, held, ChannelChange::Passed),
            _ => self.tell_call(record, task, held, ChannelChange::Opened),
        }
    }

    fn tell_call(&mut self, record: &wire::Descriptor, task: Task, held: Held, event: ChannelChange) {
        let call = self.plain_call(task, record.nr, (record.entered, record.header.time));
        let is_other = object::mechanism_of(held.key).is_some();
        let event = if is_other { self.object_change(record, event) } else { event };
        let Some(mut told) = self.channel_event(held, record.fd, event) else { return };
        match event {
            ChannelChange::Created | ChannelChange::Opened if is_other => {
                self.describe_object(record, &mut told);
            }
            ChannelChange::Created | ChannelChange::Opened if record.object == kind::MQUEUE => {
                self.describe_mqueue(record, &mut told);
            }
            ChannelChange::Created => {
                told.fd = None;
                told.end = Some(End::Rw);
                told.fds = Some([record.fd, record.other]);
                told.slots = Some(record.slots);
                told.capacity = Some(u64::from(record.slots) * PAGE);
            }
            ChannelChange::Duplicated => told.of_fd = (record.other >= 0).then_some(record.other),
            ChannelChange::Opened => {
                if let Some(named) = self.channels.paths.get(&held.key) {
                    named.describe(&mut told);
                }
            }
            _ => {}
        }
        told.call = Some(call);
        self.push(record.header.time, task, Kind::Channel(Box::new(told)));
    }

    /// A message takes a copy of an end along. Until somebody in the trace gets it, it may be anybody's.
    fn sent(&mut self, record: &wire::Descriptor, task: Task, held: Held) {
        self.channels.forget_peers(held.key);
        let pipe = self.channels.pipes.get_mut(&held.key).map(|pipe| &mut pipe.on_the_way);
        let socket = self.channels.sockets.get_mut(held.key).map(|socket| &mut socket.on_the_way);
        let Some(on_the_way) = pipe.or(socket) else {
            // Who else has a queue does not matter: its messages tell whose they are.
            if record.ret > 0 {
                self.tell_call(record, task, held, ChannelChange::Passed);
            }
            return;
        };
        match record.ret {
            0 => *on_the_way += 1,
            1.. => self.tell_call(record, task, held, ChannelChange::Passed),
            _ => *on_the_way = on_the_way.saturating_sub(1),
        }
    }

    fn resized(&mut self, record: &wire::Descriptor, task: Task, held: Held) {
        let call = self.plain_call(task, record.nr, (record.entered, record.header.time));
        let Some(mut told) = self.channel_event(held, record.fd, ChannelChange::Resized) else { return };
        told.slots = Some(record.slots);
        told.capacity = Some(u64::from(record.slots) * PAGE);
        told.call = Some(call);
        if record.ret < 0 {
            told.error = Some(names::errno(record.ret));
        } else if let Some(pipe) = self.channels.pipes.get_mut(&held.key) {
            pipe.resize(record.slots);
        }
        self.push(record.header.time, task, Kind::Channel(Box::new(told)));
    }

    pub(super) fn close_range(&mut self, record: &wire::CloseRange) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let first = i32::try_from(record.first).unwrap_or(i32::MAX);
        let last = i32::try_from(record.last).unwrap_or(i32::MAX);
        let Some(table) = self.channels.tables.get(&record.files) else { return };
        let fds: Vec<i32> =
            if first <= last { table.held.range(first..=last).map(|(fd, _)| *fd).collect() } else { Vec::new() };
        self.close_all(header.time, task, record.files, &fds);
    }

    fn close_all(&mut self, time: u64, task: Task, files: u64, fds: &[i32]) {
        for fd in fds {
            if let Some(held) = self.channels.take(files, *fd) {
                self.tell(time, task, held, *fd, ChannelChange::Closed);
                self.sweep(held.key);
            }
        }
    }

    pub(super) fn found_held(&mut self, record: &wire::Descriptor) {
        let header = &record.header;
        let (key, end) = (key_of(record), end_of(record));
        if !self.tasks.has_process(header.tgid) {
            self.channels.outside.entry(key).or_default().push(header.tgid);
            if let Some(pipe) = self.channels.pipes.get_mut(&key) {
                pipe.outside = true;
            }
            if let Some(socket) = self.channels.sockets.get_mut(key) {
                socket.outside = true;
            }
            return;
        }
        let held = Held { key, end, file: record.file };
        let task = Task { pid: header.tgid, tid: header.tid };
        let is_held = self.tasks.get(task.tid).is_some_and(|thread| thread.held);
        if !self.channels.ensure_of(record, false) {
            return;
        }
        self.channels.put(record.files, record.fd, held);
        if !is_held {
            self.attached(header.time, task, record, held);
        }
    }

    fn attached(&mut self, time: u64, task: Task, row: &wire::Descriptor, held: Held) {
        if let Some(mut event) = self.channel_event(held, row.fd, ChannelChange::Attached) {
            match row.object & OBJECT {
                other if kind::is_other(other) => self.describe_object(row, &mut event),
                kind::MQUEUE => self.describe_mqueue(row, &mut event),
                kind::SOCKET => {}
                _ => {
                    event.slots = Some(row.slots);
                    event.capacity = Some(u64::from(row.slots) * PAGE);
                }
            }
            self.push(time, task, Kind::Channel(Box::new(event)));
        }
    }
}
