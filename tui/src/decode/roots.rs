//! What later records rest on, of records that are not kept: who lives, who holds which end, who is blocked in what.
//!
//! [`Roots`] takes the records that are dropped and gives a few that stand for them, as if tracing had begun at that moment
//! with these processes: those that the iterators give at a start, and the last [`sched::Block`] of everyone asleep. After
//! them the decoder is to be told that more is missing ([`super::Decoder::not_kept`]), so that nothing is claimed which
//! rests on what was dropped.
//!
//! Invariants: memory is bounded by what lives, and by the channels whose ends went out of sight; a thread that has ended
//! stands for nothing, a zombie included. A call that a signal interrupted begins anew where its handler ran at that moment. An end that somebody outside the trace may have stays one.

mod tables;

use std::{
    collections::{BTreeMap, HashMap},
    mem::offset_of,
};

use ipcscope_common::{
    Header,
    call::{CallBegin, CallEnd},
    mark,
    mqueue::MqueueCall,
    pipe::PipeCall,
    process::{self, Found},
    queue::QueueCall,
    sched::{self, Block},
    signal::{Deliver, Mask, Sigaction},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::record::{self, Record};
use tables::Tables;

/// `SIG_DFL`, `SIG_IGN`.
const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;
const EINTR: i64 = -4;

/// A thread that lives.
#[derive(Clone, Debug)]
struct Thread {
    found: Found,
    /// What it sleeps in.
    block: Option<Block>,
    /// The call that a signal has interrupted, as long as nobody was delivered and nothing else was called.
    interrupted: Option<Interrupted>,
}

/// A call that came back with a restart code.
#[derive(Clone, Debug)]
struct Interrupted {
    record: Vec<u8>,
    /// The first time, if it was made again since.
    entered: u64,
    nr: i32,
}

/// Stands for the records it has taken.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    start: Option<mark::Start>,
    time: u64,
    records: u64,
    threads: HashMap<u32, Thread>,
    tables: Tables,
    lost: BTreeMap<u32, u64>,
}

impl Roots {
    /// Takes a record that is dropped.
    pub fn take(&mut self, bytes: &[u8]) {
        let (Ok(header), Ok(record)) = (record::header(bytes), record::parse(bytes)) else { return };
        self.time = self.time.max(header.time);
        // The seeds of a trace are no records of what happened in it.
        self.records += u64::from(!matches!(record, Record::Start(_) | Record::Found(_) | Record::FoundHeld(_)));
        self.interrupted(&record, bytes);
        match record {
            Record::Start(start) => self.start = Some(start),
            Record::Found(found) => self.begin(found),
            Record::NewTask(task) => self.new_task(&task),
            Record::Exec(exec) => self.exec(&exec),
            Record::Exit(exit) => self.exit(exit.header.tid),
            Record::Rename(rename) => self.change(&rename.header, |found| found.comm = rename.comm),
            Record::Sigaction(action) => self.sigaction(&action),
            Record::Mask(Mask { header, blocked }) => self.change(&header, |found| found.blocked = blocked),
            Record::Switch(switch) => self.switch(&switch, None),
            Record::Block(block) => self.switch(&block.switch, Some(block)),
            Record::Waking(waking) | Record::WakingNew(waking) => self.awake(waking.header.tid),
            Record::Descriptor(descriptor) => {
                self.uses(descriptor.header.tid, descriptor.files);
                self.tables.descriptor(&descriptor);
            }
            Record::SocketChange(change) => self.tables.socket(&change),
            Record::Held(row) => self.tables.held(row),
            Record::FoundHeld(row) => {
                let is_ours = self.threads.values().any(|thread| thread.found.header.tgid == row.header.tgid);
                self.tables.found(row, is_ours);
            }
            Record::CloseRange(range) => self.tables.close_range(&range),
            Record::ChannelPath(path) => self.tables.path(&path),
            Record::MqueueFacts(facts) => self.tables.facts(&facts),
            Record::ObjectFacts(facts) => self.tables.object(&facts),
            Record::MqueueRemoved(name) => self.tables.removed(&name),
            Record::PipeUnseen(unseen) => self.tables.unseen(unseen),
            Record::Lost(lost) if lost.over != 0 => {
                let sum = self.lost.entry(lost.class).or_default();
                *sum = sum.saturating_add(lost.count);
            }
            _ => {}
        }
    }

    /// How many records were dropped.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The time of the last of them, by the kernel's clock.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Records that stand for all that were taken, to be read before those that are kept.
    pub fn records_instead(&self) -> Vec<Vec<u8>> {
        let mut rows: Vec<Vec<u8>> = self.start.iter().map(|start| start.as_bytes().to_vec()).collect();
        let mut threads: Vec<&Thread> = self.threads.values().collect();
        threads.sort_unstable_by_key(|thread| (thread.found.header.tgid, thread.found.header.tid));
        for thread in &threads {
            let header = self.seed(process::FOUND, &thread.found.header);
            rows.push(Found { header, ..thread.found }.as_bytes().to_vec());
        }
        // A table has one holder in the rows, whoever shares it.
        let mut holders: BTreeMap<u64, Header> = BTreeMap::new();
        for thread in &threads {
            holders.entry(thread.found.files).or_insert(thread.found.header);
        }
        self.tables.rows(&holders, self.time, &mut rows);
        for block in threads.iter().filter_map(|thread| thread.block) {
            let header = Header { time: self.time, ..block.switch.header };
            // Who came instead of it has its own record.
            let switch = sched::Switch { header, next_tid: 0, next_tgid: 0, ..block.switch };
            rows.push(Block { switch, ..block }.as_bytes().to_vec());
        }
        self.tables.before_exec(&mut rows);
        for (class, count) in &self.lost {
            let header = Header { time: self.time, kind: mark::LOST, ..Header::default() };
            let until = self.start.map_or(self.time, |start| start.header.time);
            rows.push(mark::Lost { header, until, count: *count, class: *class, over: 1 }.as_bytes().to_vec());
        }
        rows
    }

    /// Records to be read right after the decoder was told that what was before is not kept: they stay true.
    pub fn records_behind(&self) -> Vec<Vec<u8>> {
        let mut rows: Vec<&Interrupted> =
            self.threads.values().filter_map(|thread| thread.interrupted.as_ref()).collect();
        rows.sort_unstable_by_key(|interrupted| interrupted.entered);
        rows.into_iter().map(|interrupted| interrupted.record.clone()).collect()
    }

    fn seed(&self, kind: u16, of: &Header) -> Header {
        Header { time: self.time, seq: 0, cpu: 0, kind, tid: of.tid, tgid: of.tgid }
    }

    fn begin(&mut self, found: Found) {
        let tid = found.header.tid;
        self.exit(tid);
        self.tables.use_table(found.files);
        self.threads.insert(tid, Thread { found, block: None, interrupted: None });
    }

    fn new_task(&mut self, task: &process::NewTask) {
        let mut found = Found::new_zeroed();
        if let Some(parent) = self.threads.get(&task.parent_tid) {
            (found.held, found.ignored, found.caught) = (parent.found.held, parent.found.ignored, parent.found.caught);
            if parent.found.files != task.files {
                self.tables.copy(parent.found.files, task.files);
            }
        }
        (found.header, found.files, found.parent_tgid) = (task.header, task.files, task.parent_tgid);
        (found.ns_tid, found.ns_tgid, found.nr) = (task.ns_tid, task.ns_tgid, -1);
        (found.blocked, found.comm) = (task.blocked, task.comm);
        self.begin(found);
    }

    fn exec(&mut self, exec: &process::Exec) {
        let header = &exec.header;
        if exec.old_tid != header.tid
            && let Some(mut thread) = self.threads.remove(&exec.old_tid)
        {
            self.exit(header.tid);
            thread.found.header = *header;
            self.threads.insert(header.tid, thread);
        }
        let before = self.threads.get(&header.tid).map(|thread| thread.found.files);
        self.change(header, |found| {
            (found.held, found.files, found.comm) = (0, exec.files, exec.comm);
            (found.blocked, found.ignored, found.caught) = (exec.blocked, exec.ignored, 0);
        });
        self.tables.exec(header.tid, before, exec.files);
    }

    fn exit(&mut self, tid: u32) {
        if let Some(thread) = self.threads.remove(&tid) {
            self.tables.leave_table(thread.found.files);
        }
    }

    /// A thread of the trace, made up if a loss has hidden its beginning.
    fn change(&mut self, header: &Header, change: impl FnOnce(&mut Found)) {
        let thread = self.threads.entry(header.tid).or_insert_with(|| {
            let mut found = Found::new_zeroed();
            (found.header, found.nr) = (*header, -1);
            Thread { found, block: None, interrupted: None }
        });
        change(&mut thread.found);
    }

    /// It was seen with that table.
    fn uses(&mut self, tid: u32, files: u64) {
        let Some(thread) = self.threads.get_mut(&tid).filter(|thread| thread.found.files != files) else { return };
        let before = std::mem::replace(&mut thread.found.files, files);
        self.tables.use_table(files);
        self.tables.leave_table(before);
    }

    /// Keeps the call of a thread that a signal interrupts.
    fn interrupted(&mut self, record: &Record<'_>, bytes: &[u8]) {
        let (header, entered, nr, ret, entered_at) = match record {
            Record::CallEnd(call) => (call.header, call.entered, call.nr, call.ret, offset_of!(CallEnd, entered)),
            Record::PipeCall(call, _) => (call.header, call.entered, call.nr, call.ret, offset_of!(PipeCall, entered)),
            Record::QueueCall(call, _) => {
                (call.header, call.entered, call.nr, call.ret, offset_of!(QueueCall, entered))
            }
            Record::MqueueCall(call, _) => {
                (call.header, call.entered, call.nr, call.ret, offset_of!(MqueueCall, entered))
            }
            Record::CallBegin(CallBegin { header, .. }) | Record::Deliver(Deliver { header, .. }) => {
                if let Some(thread) = self.threads.get_mut(&header.tid) {
                    thread.interrupted = None;
                }
                return;
            }
            _ => return,
        };
        let Some(thread) = self.threads.get_mut(&header.tid) else { return };
        let before = thread.interrupted.take().filter(|before| before.nr == nr);
        if ret != EINTR && !(-516..=-512).contains(&ret) {
            return;
        }
        let entered = before.map_or(entered, |before| before.entered);
        let mut record = bytes.to_vec();
        if let Some(place) = record.get_mut(entered_at..entered_at + size_of::<u64>()) {
            place.copy_from_slice(&entered.to_le_bytes());
        }
        thread.interrupted = Some(Interrupted { record, entered, nr });
    }

    /// Dispositions are the process's: its leader's row tells them.
    fn sigaction(&mut self, action: &Sigaction) {
        let Some(bit) = u32::try_from(action.signo - 1).ok().and_then(|shift| 1_u64.checked_shl(shift)) else { return };
        let Some(leader) = self.threads.get_mut(&action.header.tgid) else { return };
        let put = |set: &mut u64, to: bool| *set = if to { *set | bit } else { *set & !bit };
        put(&mut leader.found.ignored, action.handler == IGNORE);
        put(&mut leader.found.caught, !matches!(action.handler, DEFAULT | IGNORE));
    }

    fn switch(&mut self, switch: &sched::Switch, block: Option<Block>) {
        let could_run = switch.preempted != 0 || switch.state == 0;
        if let Some(thread) = self.threads.get_mut(&switch.header.tid) {
            thread.block = block.filter(|_| !could_run);
            // A stop has no record of its own beside the switch.
            thread.found.state = if could_run || thread.block.is_some() { 0 } else { switch.state };
            thread.found.nr = -1;
        }
        if switch.next_tgid != 0 {
            self.awake(switch.next_tid);
        }
    }

    fn awake(&mut self, tid: u32) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            (thread.block, thread.found.state, thread.found.nr) = (None, 0, -1);
        }
    }
}

#[cfg(test)]
mod tests;
