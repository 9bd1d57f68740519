//! Live: the probes of the running kernel.
//!
//! A [`Session`] holds the probes and, with a command, the command; its batches of records come in order of time.

mod account;
mod calls;
mod file;
pub mod offsets;
pub mod probes;
mod quiet;
mod ring;
mod seed;
mod sites;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use aya::maps::{Array, HashMap, PerCpuArray, RingBuf};
use crossbeam_channel::{Receiver, bounded};
use ipcscope_common::{
    Header as WireHeader,
    mark::{self, flag},
    offsets::ABSENT,
    settings::Settings,
};
use zerocopy::IntoBytes;

use crate::{
    decode::{
        record::{self, Record},
        sequence::Batch,
    },
    event::Header,
    sys::{
        clock,
        host::{self, PidNamespace},
        launch::{Held, Launch, LaunchError, Running},
        pty,
    },
};

use account::Account;
use offsets::{Kernel, KernelError};
use probes::{ProbeError, Probes};
use ring::Ring;

/// Batches that may wait for a slow reader; then the ring buffer fills.
const QUEUE: usize = 256;
/// Bytes of a socket's payload in which calls of remote procedures are looked for, whatever is kept.
const RPC_PAYLOAD: u32 = 1024;
/// How long after a command's end records of it may still come.
const AFTERMATH: Duration = Duration::from_millis(40);

/// What to trace.
#[derive(Debug)]
pub enum Target {
    /// A command, from its first instruction on.
    Command(Launch),
    /// Processes that run, with all their threads.
    Attach(Vec<u32>),
}

/// How to trace.
#[derive(Clone, Copy, Debug)]
pub struct Capture {
    /// Trace children too.
    pub follow: bool,
    /// Capture signals.
    pub signals: bool,
    /// Capture pipes and FIFOs.
    pub pipes: bool,
    /// Capture System V message queues.
    pub queues: bool,
    /// Capture POSIX message queues.
    pub mqueues: bool,
    /// Capture shared memory.
    pub shm: bool,
    /// Capture System V semaphores.
    pub sems: bool,
    /// Capture sockets.
    pub sockets: bool,
    /// Capture pseudoterminals.
    pub terminals: bool,
    /// Capture eventfd, signalfd, timerfd and pidfd.
    pub events: bool,
    /// Capture futexes.
    pub futexes: bool,
    /// Capture remote procedure calls: more payload of sockets is looked at.
    pub rpc: bool,
    /// Capture the scheduler.
    pub sched: bool,
    /// Payload bytes to keep of each message.
    pub payload: u32,
    /// Size of the ring buffer, bytes; a power of two.
    pub ring: u32,
    /// The same hooks with nothing in them, to measure what they cost.
    pub floor: bool,
}

/// Why tracing could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel.
    #[error("failed to {0}")]
    Kernel(#[from] KernelError),
    /// The probes.
    #[error("failed to {0}")]
    Probe(#[from] ProbeError),
    /// The command.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A process to attach to.
    #[error("failed to attach to process {0}: there is none with that id")]
    NoProcess(u32),
    /// A thread of ours.
    #[error("failed to start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

impl StartError {
    /// What we exit with.
    pub fn exit_status(&self) -> i32 {
        match self {
            Self::Launch(error) => error.exit_status(),
            Self::Probe(error) if error.is_permission() => 4,
            Self::Kernel(KernelError::Read(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => 4,
            _ => 1,
        }
    }
}

/// Loads and attaches every probe and lets go again: can this machine and this user trace? Answers the tracepoints.
pub fn probe() -> Result<Vec<String>, StartError> {
    let kernel = offsets::kernel()?;
    let settings = Settings {
        payload_limit: 64,
        socket_payload_limit: RPC_PAYLOAD,
        follow: 1,
        prev_state_argument: kernel.prev_state_argument,
        signals: 1,
        pipes: 1,
        queues: u32::from(kernel.offsets.queue_qnum != ABSENT),
        mqueues: u32::from(kernel.offsets.mqueue_inode != ABSENT),
        shm: u32::from(kernel.offsets.shm_size != ABSENT),
        sems: u32::from(kernel.offsets.sems_list != ABSENT),
        sockets: u32::from(kernel.offsets.has_sockets()),
        terminals: u32::from(kernel.offsets.tty_of_file != ABSENT),
        events: u32::from(kernel.offsets.eventfd_id != ABSENT),
        memory: 1,
        futexes: 1,
        sched: 1,
        arrivals: u32::from(kernel.arrivals),
        ring_result_argument: kernel.ring_result_argument,
        storage_in_interrupts: u32::from(kernel.storage_in_interrupts),
    };
    let mut probes = Probes::attach(&kernel, &settings, 1 << 20, false)?;
    // Nothing is to be traced, but the iterators must load as well.
    seed::seed(&mut probes, &[], false)?;
    Ok(probes.hooks)
}

/// A trace that is being taken. Dropped, the probes go and attached processes live on.
pub struct Session {
    /// Records in order of time.
    pub batches: Receiver<Batch>,
    /// What is traced.
    pub header: Header,
    /// The kernel's clock when `t` was 0.
    pub clock_start: u64,
    /// The command, if there is one.
    pub running: Option<Running>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
    probes: Probes,
}

impl Session {
    /// Loads the probes, puts the target into the filter, and lets a command go.
    pub fn start(target: Target, capture: Capture) -> Result<Self, StartError> {
        let started = SystemTime::now();
        let kernel = offsets::kernel()?;
        Self::start_on(&kernel, target, capture, started)
    }

    fn start_on(kernel: &Kernel, target: Target, capture: Capture, started: SystemTime) -> Result<Self, StartError> {
        let settings = Settings {
            payload_limit: capture.payload,
            socket_payload_limit: if capture.rpc { capture.payload.max(RPC_PAYLOAD) } else { capture.payload },
            follow: u32::from(capture.follow),
            prev_state_argument: kernel.prev_state_argument,
            signals: u32::from(capture.signals),
            pipes: u32::from(capture.pipes),
            queues: u32::from(capture.queues && kernel.offsets.queue_qnum != ABSENT),
            mqueues: u32::from(capture.mqueues && kernel.offsets.mqueue_inode != ABSENT),
            shm: u32::from(capture.shm && kernel.offsets.shm_size != ABSENT),
            sems: u32::from(capture.sems && kernel.offsets.sems_list != ABSENT),
            sockets: u32::from(capture.sockets && kernel.offsets.has_sockets()),
            terminals: u32::from(capture.terminals && kernel.offsets.tty_of_file != ABSENT),
            events: u32::from(capture.events && kernel.offsets.eventfd_id != ABSENT),
            memory: u32::from(capture.shm),
            futexes: u32::from(capture.futexes),
            sched: u32::from(capture.sched),
            arrivals: u32::from(kernel.arrivals),
            ring_result_argument: kernel.ring_result_argument,
            storage_in_interrupts: u32::from(kernel.storage_in_interrupts),
        };
        let mut probes = Probes::attach(kernel, &settings, capture.ring, capture.floor)?;
        let clock_start = clock::now();
        let mut header = host::header(started);
        header.payload_limit = capture.payload;
        header.hooks.clone_from(&probes.hooks);
        let (held, pids) = match target {
            Target::Command(launch) => {
                header.command = launch.argv.iter().map(|a| crate::event::text::escape(a.as_encoded_bytes())).collect();
                let held = launch.hold()?;
                let pid = held.pid();
                (Some(held), vec![pid])
            }
            Target::Attach(pids) => (None, pids),
        };
        exclude_own_terminals(&mut probes, held.as_ref().and_then(Held::terminal))?;
        let mut first = vec![start_mark(clock_start, capture)];
        if !capture.floor {
            first.extend(seed::seed(&mut probes, &pids, held.is_some())?);
        }
        if held.is_none() {
            check_found(&pids, &first)?;
        }
        let (sender, batches) = bounded(QUEUE);
        let stop = Arc::new(AtomicBool::new(false));
        let ring = Ring {
            events: take_map(&mut probes, "EVENTS", RingBuf::try_from)?,
            account: Account::new(
                take_map(&mut probes, "LOST", PerCpuArray::try_from)?,
                take_map(&mut probes, "SEQUENCE", PerCpuArray::try_from)?,
                probes.programs()?,
            ),
            hooks: std::mem::take(&mut probes.links),
            batches: sender,
            stop: Arc::clone(&stop),
        };
        let reader = std::thread::Builder::new()
            .name("ring".to_owned())
            .spawn(move || ring.run(&first))
            .map_err(StartError::Thread)?;
        let running = held.map(Held::release).transpose()?;
        Ok(Self { batches, header, clock_start, running, stop, reader: Some(reader), probes })
    }

    /// The command has ended: waits for the last records, then ends the flow of batches.
    pub fn wind_down(&mut self) {
        std::thread::sleep(AFTERMATH);
        self.stop.store(true, Ordering::Release);
    }

    /// Pipes that are gone need no place in the kernel's table any more.
    pub fn forget_pipes(&mut self, addresses: &[u64]) {
        let Some(map) = self.probes.ebpf.map_mut("PIPE_USERS") else { return };
        let Ok(mut users) = HashMap::<_, u64, [u8; 56]>::try_from(map) else { return };
        for address in addresses {
            // One that was never used has no entry.
            let _ = users.remove(address);
        }
        let Some(map) = self.probes.ebpf.map_mut("SOCKET_USERS") else { return };
        let Ok(mut users) = HashMap::<_, u64, [u8; 72]>::try_from(map) else { return };
        for address in addresses {
            let _ = users.remove(address);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // The reader may be waiting for room in the queue: take what is there until it has left.
        while self.batches.recv().is_ok() {}
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn start_mark(time: u64, capture: Capture) -> Vec<u8> {
    let header = WireHeader { time, kind: mark::START, ..WireHeader::default() };
    let mut flags = 0;
    if capture.follow {
        flags |= flag::FOLLOW;
    }
    if capture.sched {
        flags |= flag::SCHED;
    }
    mark::Start { header, flags, reserved: 0 }.as_bytes().to_vec()
}

/// The terminal that we run in, and one that we made for the command, are no channels of anybody: else every line we write
/// would be one more event.
fn exclude_own_terminals(probes: &mut Probes, made: Option<u64>) -> Result<(), ProbeError> {
    let map = probes.ebpf.map_mut("OWN_TERMINALS").ok_or(ProbeError::Absent("OWN_TERMINALS"))?;
    let problem = |source| ProbeError::Map { name: "OWN_TERMINALS", source };
    let mut own: Array<_, u64> = Array::try_from(map).map_err(problem)?;
    let ours = [pty::place(std::io::stdin()), pty::place(std::io::stdout()), pty::place(std::io::stderr()), made];
    for (place, index) in ours.into_iter().flatten().zip(0..) {
        own.set(index, place + 1, 0).map_err(problem)?;
    }
    Ok(())
}

/// Every process to attach to must have been found.
fn check_found(pids: &[u32], rows: &[Vec<u8>]) -> Result<(), StartError> {
    let records = rows.iter().filter_map(|row| record::parse(row).ok());
    let found: Vec<_> = records.filter_map(|r| if let Record::Found(found) = r { Some(found) } else { None }).collect();
    // In a pid namespace the kernel's numbers are not those that were asked for, and further namespaces below have others:
    // then as many processes as were asked for must be there.
    let same = PidNamespace::current().is_ok_and(PidNamespace::is_initial);
    let processes = found.iter().filter(|found| found.header.tid == found.header.tgid).count();
    let is_there = |pid: &u32| {
        found.iter().any(|found| found.header.tgid == *pid) || !same && found.iter().any(|found| found.ns_tgid == *pid)
    };
    match pids.iter().find(|pid| !is_there(pid)) {
        Some(pid) if same || processes < pids.len() => Err(StartError::NoProcess(*pid)),
        _ => Ok(()),
    }
}

fn take_map<T>(
    probes: &mut Probes,
    name: &'static str,
    convert: impl FnOnce(aya::maps::Map) -> Result<T, aya::maps::MapError>,
) -> Result<T, ProbeError> {
    let map = probes.ebpf.take_map(name).ok_or(ProbeError::Absent(name))?;
    convert(map).map_err(|source| ProbeError::Map { name, source })
}
