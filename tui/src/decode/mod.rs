//! From what the kernel side recorded to what happened.
//!
//! [`Decoder`] takes wire records in order of time and gives events. It is a fold: the same records give the same events,
//! live or from a recording. One file per family joins that family's records; what they share is here.
//!
//! Invariants: nothing here opens a file or makes a system call; arbitrary input never panics; an edge is exact or absent.
//! Each module carries its own tests.

mod call;
mod descriptor;
mod fill;
mod futex;
pub mod hosts;
mod memory;
mod mqueue;
mod names;
mod numbers;
mod object;
mod outbox;
mod pipe;
pub mod pipe_order;
mod process;
mod queue;
pub mod record;
mod ring;
pub mod roots;
mod rpc;
mod sched;
mod sem;
pub mod sequence;
mod shared;
mod shm;
mod signal;
mod socket;
mod space;
mod sysv;
mod tasks;
mod verdict;

use ipcscope_common::{
    mark::{self, flag},
    settings::lost,
};

use crate::event::{Comm, Event, FamilySet, Kind, Lost, Nanos, Task};

use descriptor::Channels;
use futex::Futexes;
use numbers::Numbers;
use outbox::Outbox;
use queue::Queues;
use record::Record;
use sem::Semaphores;
use shm::Segments;
use signal::Signals;
use space::Spaces;
use tasks::Tasks;

pub use names::syscall as syscall_name;
pub use outbox::PATIENCE;
pub use socket::connection;

/// What a thread does of its own accord, so that no signal it was stopped for by its tracer can still come.
fn is_own_doing(record: &Record<'_>) -> bool {
    match record {
        Record::Block(block) => block.switch.preempted == 0,
        Record::CallEnd(_)
        | Record::CallBegin(_)
        | Record::Descriptor(_)
        | Record::PipeCall(..)
        | Record::Sigaction(_)
        | Record::Mask(_)
        | Record::Consumed(_) => true,
        _ => false,
    }
}

/// Turns records into events.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    start: Option<u64>,
    now: u64,
    flags: u32,
    tasks: Tasks,
    channels: Channels,
    queues: Queues,
    segments: Segments,
    sems: Semaphores,
    spaces: Spaces,
    futexes: Futexes,
    signals: Signals,
    outbox: Outbox,
    /// Threads may have ended unseen.
    has_lost_threads: bool,
    lost: u64,
    lost_by: std::collections::BTreeMap<String, u64>,
    numbers: Numbers,
    damaged: u64,
    /// What was before is not told.
    known_from: u64,
}

impl Decoder {
    /// One that has seen nothing, and tells of certain families. `payload`: bytes kept of each message.
    pub fn new(wanted: FamilySet, payload: u32) -> Self {
        Self { outbox: Outbox::new(wanted, payload), ..Self::default() }
    }

    /// Takes a record; gives what became known.
    pub fn record(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        // Records are large: one stays where it was put.
        if let (Ok(header), Ok(record)) = (record::header(bytes), &record::parse(bytes)) {
            self.now = self.now.max(header.time);
            self.channels.now = self.now;
            self.numbers.take(&header);
            if self.is_any_shown() && is_own_doing(record) {
                self.suppressed(header.time, Task { pid: header.tgid, tid: header.tid });
            }
            self.apply(record);
        } else {
            self.damaged += 1;
            self.outbox.lost();
        }
        let now = self.nanos(self.now);
        self.outbox.drain(now, false, out);
    }

    /// So many records were lost on the way here, which others tell of.
    pub fn lost_elsewhere(&mut self, count: u64) {
        if count > 0 {
            self.outbox.lost();
        }
        self.numbers.tell(count);
    }

    /// What was before is not in the recording: so many records. What came of it so far stands for how things were when the
    /// recording begins ([`roots::Roots`]), and nothing else is known.
    pub fn not_kept(&mut self, count: u64, out: &mut Vec<Event>) {
        self.outbox.lost();
        for over in [false, true] {
            self.pipes_lost(self.now, 0);
            self.sockets_lost(over);
            self.queues_lost(over);
        }
        self.channels.objects.lost();
        self.futexes.lost();
        self.calls_lost();
        self.tasks.begin_anew();
        self.numbers = Numbers::default();
        self.known_from = self.now;
        self.tell_lost(Lost::NOT_KEPT, count, self.start.unwrap_or(self.now), self.now);
        self.outbox.drain(self.nanos(self.now), false, out);
    }

    /// Nothing more comes for a while: it is already so late in the trace.
    fn wait_until(&mut self, now: Nanos, out: &mut Vec<Event>) {
        self.outbox.drain(now, false, out);
    }

    /// When what is held back happened.
    fn waits_from(&self) -> Option<Nanos> {
        self.outbox.waits_from()
    }

    /// About how many bytes a copy takes, where so many events have happened since the last one.
    pub fn weight(&self, changed: usize) -> usize {
        self.outbox.weight() + self.channels.weight(changed)
    }

    /// The trace is over: what still waits goes as it is.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        let untold = self.numbers.untold(self.now);
        if untold > 0 {
            let class = lost::NAMES.get(lost::UNKNOWN as usize).copied().unwrap_or_default();
            self.tell_lost(class, untold, self.start.unwrap_or(self.now), self.now);
        }
        self.finish_pipes();
        self.finish_sockets();
        self.finish_calls();
        self.outbox.drain(Nanos(u64::MAX), true, out);
    }

    /// Some thread in the trace has not ended.
    pub fn is_anybody_left(&self) -> bool {
        self.tasks.is_anybody_left()
    }

    /// Records the kernel side lost, in all.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The same, by class.
    pub fn lost_by(&self) -> &std::collections::BTreeMap<String, u64> {
        &self.lost_by
    }

    /// Records that could not be read.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    fn apply(&mut self, record: &Record<'_>) {
        match record {
            Record::Start(start) => {
                self.start = Some(start.header.time);
                self.flags = start.flags;
            }
            Record::NewTask(record) => self.new_task(record),
            Record::Found(record) => self.found(record),
            Record::Exec(record) => self.exec(record),
            Record::Exit(record) => self.exit(record),
            Record::Freed(record) => self.freed(record),
            Record::Rename(record) => self.rename(record),
            Record::Switch(record) => self.switch(record, None),
            Record::Block(record) => self.switch(&record.switch, Some(record)),
            Record::Wait(record) => self.wait(record),
            Record::Waking(record) => self.waking(record, false),
            Record::WakingNew(record) => self.waking(record, true),
            Record::CallEnd(record) => self.call_end(record),
            Record::CallBegin(record) => self.call_begin(record),
            Record::Descriptor(record) => self.descriptor(record),
            Record::Held(record) => self.held(record),
            Record::FoundHeld(record) => self.found_held(record),
            Record::CloseRange(record) => self.close_range(record),
            Record::ChannelPath(record) => self.channel_path(record),
            Record::FileCall(record) => self.file_call(record),
            Record::PipeCall(record, payload) => self.pipe_call(record, payload),
            Record::PipeSample(record) => self.pipe_sample(record),
            Record::PipeContended(record) => self.pipe_contended(record),
            Record::PipeLayout(record) => self.pipe_layout(record),
            Record::PipeUnseen(record) => self.pipe_unseen(record),
            Record::QueueMessage(record) => self.queue_message(record),
            Record::QueueCall(record, payload) => self.queue_call(record, payload),
            Record::MqueueCall(record, payload) => self.mqueue_call(record, payload),
            Record::MqueueFacts(record) => self.mqueue_facts(record),
            Record::MqueueRefused(record) => self.mqueue_refused(record),
            Record::MqueueRemoved(record) => self.mqueue_removed(record),
            Record::ShmCall(record) => self.shm_call(record),
            Record::SemBegin(record) => self.sem_begin(record),
            Record::SemCall(record) => self.sem_call(record),
            Record::ObjectFacts(record) => self.object_facts(record),
            Record::ObjectBegin(record) => self.object_begin(record),
            Record::ObjectCall(record, payload) => self.object_call(record, payload),
            Record::MemoryCall(record) => self.memory_call(record),
            Record::MemoryRemoved(record) => self.memory_removed(record),
            Record::FutexBegin(record) => self.futex_begin(record),
            Record::FutexCall(record) => self.futex_call(record),
            Record::Generate(record) => self.generate(record),
            Record::Deliver(record) => self.deliver(record),
            Record::Sigaction(record) => self.sigaction(record),
            Record::Mask(record) => self.mask(record),
            Record::Consumed(record) => self.consumed(record),
            Record::SocketCall(record, payload) => self.socket_call(record, payload),
            Record::SocketChange(record) => self.socket_change(record),
            Record::SocketAddress(record) => self.socket_address(record),
            Record::SocketBegin(record) => self.socket_begin(record, false),
            Record::SocketShared(record) => self.socket_begin(record, true),
            Record::SocketBuffer(record) => self.socket_buffer(record),
            Record::SocketPieces(record) => self.socket_pieces(record),
            Record::SocketDropped(record) => self.socket_dropped(record),
            Record::SocketArrived(record) => self.socket_arrived(record),
            Record::RingCall(record) => self.ring_call(record),
            Record::Lost(record) => self.records_lost(record),
            Record::Tick(tick) => self.advance(tick.header.time),
            Record::Unknown(_) => {}
        }
    }

    /// A moment of the kernel's clock in the trace's time.
    fn nanos(&self, time: u64) -> Nanos {
        Nanos(time.saturating_sub(self.start.unwrap_or(time)))
    }

    /// Whoever a process creates is traced as well.
    fn follows(&self) -> bool {
        self.flags & flag::FOLLOW != 0
    }

    /// The scheduler is captured.
    fn has_sched(&self) -> bool {
        self.flags & flag::SCHED != 0
    }

    /// An event of a thread at a time.
    fn event(&self, time: u64, task: Task, kind: Kind) -> Event {
        let thread = self.tasks.get(task.tid);
        let comm = thread.map(|thread| thread.comm).filter(|comm| *comm != Comm::default());
        Event {
            t: self.nanos(time),
            seq: 0,
            task: Some(task),
            comm,
            ns_pid: thread.and_then(|t| t.ns_pid),
            host: None,
            kind,
        }
    }

    fn push(&mut self, time: u64, task: Task, kind: Kind) {
        let event = self.event(time, task, kind);
        self.outbox.push(event);
    }

    /// The ring buffer was full for a while: what hung on a missing record is unknown from here.
    fn records_lost(&mut self, record: &mark::Lost) {
        self.outbox.lost();
        let others = matches!(record.class, lost::SCHED | lost::SIGNAL | lost::CALL | lost::QUEUE | lost::IPC);
        if !others && record.class != lost::SOCKET {
            self.pipes_lost(record.header.time, record.header.time.max(record.until));
        }
        if !others && !matches!(record.class, lost::PIPE | lost::PIPE_SAMPLE | lost::PIPE_TABLE) {
            self.sockets_lost(record.over != 0);
        }
        self.has_lost_threads |=
            matches!(record.class, lost::PROCESS | lost::UNKNOWN | lost::TASK_TABLE | lost::RECURSION);
        if matches!(record.class, lost::QUEUE | lost::UNKNOWN) {
            self.queues_lost(record.over != 0);
        }
        if matches!(record.class, lost::IPC | lost::SCHED | lost::UNKNOWN) {
            self.sems_lost();
            self.futexes.lost();
            self.channels.objects.lost();
        }
        if record.class != lost::PIPE_SAMPLE {
            self.calls_lost();
        }
        if record.over == 0 {
            if lost::is_numbered(record.class) {
                self.numbers.tell(record.count);
            }
            return;
        }
        let class = lost::NAMES.get(record.class as usize).copied().unwrap_or("unknown");
        self.tell_lost(class, record.count, record.until, record.header.time);
    }

    fn tell_lost(&mut self, class: &str, count: u64, from: u64, to: u64) {
        self.lost = self.lost.saturating_add(count);
        let sum = self.lost_by.entry(class.to_owned()).or_default();
        *sum = sum.saturating_add(count);
        let (t_from, t_to) = (self.nanos(from.min(to)), self.nanos(to.max(from)));
        let kind = Kind::Lost(Box::new(Lost { count, class: class.to_owned(), t_from, t_to }));
        self.outbox.push(Event { t: self.nanos(to), seq: 0, task: None, comm: None, ns_pid: None, host: None, kind });
    }
}
