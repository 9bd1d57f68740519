//! Loading the probes and attaching them.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader,
    maps::ProgramArray,
    programs::{BtfTracePoint, ProgramError, ProgramFd, tp_btf::BtfTracePointLink},
};
use ipcscope_common::{
    call::family,
    offsets::ABSENT,
    settings::{Settings, Sites},
};
use zerocopy::IntoBytes;

use super::{
    calls::{classes, numbers_of_32_bit},
    offsets::Kernel,
    quiet::Quiet,
    sites::sites,
};

/// The probes, built by `cargo xtask ebpf` and committed: no kernel's version is in them.
static OBJECT: &[u8] = include_bytes!("../../../ebpf/ipcscope.bpf.o");

/// Programs by tracepoint; (program, tracepoint).
const PROGRAMS: &[(&str, &str)] = &[
    ("task_newtask", "task_newtask"),
    ("sched_process_exec", "sched_process_exec"),
    ("sched_process_exit", "sched_process_exit"),
    ("sched_process_free", "sched_process_free"),
    ("task_rename", "task_rename"),
    ("sys_enter", "sys_enter"),
    ("sys_exit", "sys_exit"),
];
/// Programs that the common ones of `sys_enter` and `sys_exit` go on to, by family; empty: none.
const FAMILIES: &[(u32, &str, &str)] = &[
    (family::SOCKET, "sys_enter_socket", "sys_exit_socket"),
    (family::PIPE_AND_SOCKET, "", "sys_exit_pipe_and_socket"),
    (family::QUEUE, "sys_enter_queue", "sys_exit_queue"),
    (family::MQUEUE, "sys_enter_mqueue", "sys_exit_mqueue"),
    (family::SHM, "", "sys_exit_shm"),
    (family::SEM, "sys_enter_sem", "sys_exit_sem"),
    (family::OBJECT, "sys_enter_object", "sys_exit_object"),
    (family::MEMORY, "", "sys_exit_memory"),
    (family::FUTEX, "sys_enter_futex", "sys_exit_futex"),
    (family::FILE, "", "sys_exit_file"),
];
const SCHED: &[(&str, &str)] =
    &[("sched_switch", "sched_switch"), ("sched_waking", "sched_waking"), ("sched_wakeup_new", "sched_wakeup_new")];
/// Not in every kernel: without it, overlapping calls on a pipe stay unknown more often.
const CONTENTION: &[(&str, &str)] = &[("contention_begin", "contention_begin")];
/// Which message a call on a queue made or took.
const MESSAGES: &[(&str, &str)] = &[("message_allocated", "kmalloc"), ("message_freed", "kfree")];
/// Whether mq_open(2) made the queue or found it.
const MQUEUES: &[(&str, &str)] = &[("mqueue_made", "kmem_cache_alloc")];
/// Which socket a message came from, and which datagrams found no room.
const SOCKETS: &[(&str, &str)] =
    &[("skb_copied", "skb_copy_datagram_iovec"), ("udp_dropped", "udp_fail_queue_rcv_skb")];
/// In which order datagrams came.
const ARRIVALS: &[(&str, &str)] = &[("udp_arrived", "sk_data_ready")];
/// Operations of io_uring(7).
const RINGS: &[(&str, &str)] = &[("ring_submitted", "io_uring_submit_req"), ("ring_done", "io_uring_complete")];
const RINGS_BY_ENTRY: &[(&str, &str)] =
    &[("ring_submitted_sqe", "io_uring_submit_sqe"), ("ring_done", "io_uring_complete")];
/// Which send made which buffer of a UNIX socket, or for a datagram.
const BUFFERS: &[(&str, &str)] = &[("skb_allocated", "kmem_cache_alloc")];
const BUFFERS_ON_NODE: &[(&str, &str)] = &[("skb_allocated_on_node", "kmem_cache_alloc_node")];
const SIGNALS: &[(&str, &str)] = &[("signal_generate", "signal_generate"), ("signal_deliver", "signal_deliver")];
const FLOOR: &[(&str, &str)] = &[
    ("floor_sys_enter", "sys_enter"),
    ("floor_sys_exit", "sys_exit"),
    ("floor_sched_switch", "sched_switch"),
    ("floor_sched_waking", "sched_waking"),
];

/// Why the probes could not be brought in.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The kernel's BTF.
    #[error("read the kernel's BTF: {0}")]
    Btf(#[from] aya::BtfError),
    /// The object or its maps.
    #[error("load the probes: {}{}", chain(.0), remedy(.0))]
    Load(#[from] EbpfError),
    /// One program.
    #[error("load or attach the probe `{name}`: {}{}", chain(.source), remedy(.source))]
    Program {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        source: ProgramError,
    },
    /// Ours.
    #[error("find `{0}` in the object of the probes: it was built from other sources")]
    Absent(&'static str),
    /// A map.
    #[error("use the map `{name}`: {source}")]
    Map {
        /// Its name.
        name: &'static str,
        /// What went wrong.
        source: aya::maps::MapError,
    },
    /// A program's descriptor.
    #[error("duplicate the descriptor of a probe: {0}")]
    Descriptor(#[source] std::io::Error),
    /// An iterator.
    #[error("walk the system's {what} by a BPF iterator: {source}")]
    Iterate {
        /// Threads or descriptors.
        what: &'static str,
        /// What went wrong.
        source: std::io::Error,
    },
}

/// Threads beside our own that load programs.
const MOST_LOADERS: usize = 7;
/// Lines shown of a verifier's log.
const VERIFIER_LINES: usize = 30;

/// An error with its reasons.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(reason) = next {
        let reason_text = reason.to_string();
        if !text.contains(&reason_text) {
            text.push_str(": ");
            text.push_str(&reason_text);
        }
        next = reason.source();
    }
    // Of a verifier's log the end tells why.
    let lines: Vec<&str> = text.lines().collect();
    let skip = lines.len().saturating_sub(VERIFIER_LINES);
    lines.iter().take(1).chain(lines.iter().skip(1.max(skip))).copied().collect::<Vec<_>>().join("\n")
}

/// What a user can do.
fn remedy(error: &(dyn std::error::Error + 'static)) -> &'static str {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.raw_os_error() == Some(libc::EPERM)
        {
            return ". Tracing needs root or CAP_BPF and CAP_PERFMON: try sudo; `ipcscope doctor` tells more";
        }
        next = error.source();
    }
    ""
}

impl ProbeError {
    /// The user lacks the privileges.
    pub fn is_permission(&self) -> bool {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = next {
            if let Some(io) = error.downcast_ref::<std::io::Error>() {
                return io.raw_os_error() == Some(libc::EPERM);
            }
            next = error.source();
        }
        false
    }
}

/// The probes in the kernel; dropping them (and the links, where somebody took them) detaches all.
pub struct Probes {
    /// What holds the programs to their tracepoints.
    pub links: Vec<BtfTracePointLink>,
    /// Maps and programs.
    pub ebpf: Ebpf,
    /// The kernel's types, for what is loaded later.
    pub btf: Btf,
    /// The tracepoints in use.
    pub hooks: Vec<String>,
}

impl Probes {
    /// Loads and attaches. `ring` is the ring buffer's size in bytes, a power of two. `floor`: the same hooks with empty
    /// programs, to measure what hooks cost.
    pub fn attach(kernel: &Kernel, settings: &Settings, ring: u32, floor: bool) -> Result<Self, ProbeError> {
        let _quiet = Quiet::begin();
        let btf = Btf::from_sys_fs()?;
        let of_32_bit = numbers_of_32_bit();
        let classes = classes(settings, &of_32_bit);
        let has_queues = settings.queues | settings.mqueues != 0;
        let sites = if has_queues || settings.sockets != 0 { sites() } else { Sites::NONE };
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("OFFSETS", kernel.offsets.as_bytes(), true)
            .override_global("SETTINGS", settings.as_bytes(), true)
            .override_global("SITES", sites.as_bytes(), true)
            .override_global("CLASSES", classes.as_slice(), true)
            .override_global("NUMBERS_OF_32_BIT", of_32_bit.as_bytes(), true)
            .map_max_entries("EVENTS", ring)
            // The library has no type for task storage; the probes alone use it.
            .allow_unsupported_maps()
            .load(OBJECT)?;
        let (mut hooks, mut links) = (Vec::new(), Vec::new());
        let mut families: Vec<&[(&str, &str)]> = vec![PROGRAMS];
        if kernel.contention && settings.pipes != 0 {
            families.push(CONTENTION);
        }
        if has_queues && sites.load_msg_len != 0 && sites.free_msg_len != 0 {
            families.push(MESSAGES);
        }
        if settings.mqueues != 0 && sites.mqueue_alloc_inode_len != 0 {
            families.push(MQUEUES);
        }
        if settings.sockets != 0 {
            families.push(SOCKETS);
            if settings.arrivals != 0 {
                families.push(ARRIVALS);
            }
            if sites.alloc_skb_len != 0 {
                families.push(if kernel.alloc_on_node { BUFFERS_ON_NODE } else { BUFFERS });
            }
        }
        let moves = settings.pipes | settings.sockets | settings.terminals | settings.events;
        if moves != 0 && settings.ring_result_argument != 0 && kernel.offsets.request_cqe != ABSENT {
            families.push(if kernel.ring_requests { RINGS } else { RINGS_BY_ENTRY });
        }
        if settings.sched != 0 {
            families.push(SCHED);
        }
        if settings.signals != 0 {
            families.push(SIGNALS);
        }
        if floor {
            families = vec![FLOOR];
        }
        let all: Vec<(&'static str, &'static str)> = families
            .into_iter()
            .flatten()
            .map(|&(name, tracepoint)| match name {
                "sched_switch" if settings.prev_state_argument == 1 => ("sched_switch_state_first", tracepoint),
                name => (name, tracepoint),
            })
            .collect();
        let own = if floor { Vec::new() } else { family_programs(settings) };
        // The verifier takes the longest over these.
        let longest_first =
            own.iter().map(|&(_, name, tracepoint, _)| (name, tracepoint)).chain(all.iter().copied().rev());
        load(&mut ebpf, &btf, longest_first.collect())?;
        enter_families(&mut ebpf, &own)?;
        for (name, tracepoint) in all {
            let program = program(&mut ebpf, name)?;
            let link = program.attach().and_then(|link| program.take_link(link));
            links.push(link.map_err(|source| ProbeError::Program { name, source })?);
            hooks.push(tracepoint.to_owned());
        }
        Ok(Self { links, ebpf, btf, hooks })
    }

    /// Descriptors of the programs that are loaded, without those that the kernel may skip where they have nothing to
    /// tell: messages, queues and buffers that count are not made in interrupts, and the lock of the ring buffer, which a
    /// program that tells of a contended lock may itself have to wait for, is no pipe's mutex.
    pub fn programs(&self) -> Result<Vec<OwnedFd>, ProbeError> {
        let counted = self.ebpf.programs().filter(|(name, _)| {
            let skipped = MESSAGES.iter().chain(MQUEUES).chain(BUFFERS).chain(BUFFERS_ON_NODE).chain(CONTENTION);
            skipped.copied().all(|(skipped, _)| skipped != *name)
        });
        let loaded = counted.filter_map(|(_, program)| program.fd().ok());
        let owned = loaded.map(|fd| fd.as_fd().try_clone_to_owned());
        owned.collect::<Result<_, _>>().map_err(ProbeError::Descriptor)
    }
}

fn program<'e>(ebpf: &'e mut Ebpf, name: &'static str) -> Result<&'e mut BtfTracePoint, ProbeError> {
    let program = ebpf.program_mut(name).ok_or(ProbeError::Absent(name))?;
    program.try_into().map_err(|source| ProbeError::Program { name, source })
}

/// Loads programs (their name, their tracepoint), on all processors: nearly all of that time is the kernel's verifier's.
fn load(ebpf: &mut Ebpf, btf: &Btf, wanted: Vec<(&'static str, &'static str)>) -> Result<(), ProbeError> {
    let mut found: Vec<Option<&mut BtfTracePoint>> = wanted.iter().map(|_| None).collect();
    for (name, program) in ebpf.programs_mut() {
        let at = wanted.iter().position(|(wanted, _)| *wanted == name);
        if let Some((place, (name, _))) = at.and_then(|at| found.get_mut(at).zip(wanted.get(at))) {
            *place = Some(program.try_into().map_err(|source| ProbeError::Program { name, source })?);
        }
    }
    let work = Mutex::new(wanted.into_iter().zip(found));
    let next = || work.lock().unwrap_or_else(PoisonError::into_inner).next();
    let load_some = || {
        while let Some(((name, tracepoint), program)) = next() {
            let program = program.ok_or(ProbeError::Absent(name))?;
            program.load(tracepoint, btf).map_err(|source| ProbeError::Program { name, source })?;
        }
        Ok(())
    };
    let others = thread::available_parallelism().map_or(0, |count| count.get() - 1).min(MOST_LOADERS);
    thread::scope(|scope| {
        let others: Vec<_> = (0..others).map(|_| scope.spawn(load_some)).collect();
        let mine = load_some();
        let results = others.into_iter().filter_map(|other| other.join().ok());
        results.fold(mine, Result::and)
    })
}

/// The programs of families that are captured: their family, name, tracepoint, and the table that they go into.
fn family_programs(settings: &Settings) -> Vec<(u32, &'static str, &'static str, &'static str)> {
    let captured = FAMILIES.iter().filter(|(family, ..)| match *family {
        family::QUEUE => settings.queues != 0,
        family::MQUEUE => settings.mqueues != 0,
        family::SHM => settings.shm != 0,
        family::SEM => settings.sems != 0,
        family::OBJECT => settings.terminals | settings.events != 0,
        family::MEMORY => settings.memory != 0,
        family::FUTEX => settings.futexes != 0,
        family::FILE => settings.pipes != 0,
        _ => settings.sockets != 0,
    });
    let both = captured.flat_map(|&(family, enter, exit)| {
        [(family, exit, "sys_exit", "EXIT_FAMILIES"), (family, enter, "sys_enter", "ENTER_FAMILIES")]
    });
    both.filter(|(_, name, ..)| !name.is_empty()).collect()
}

/// Puts them where the common programs find them. The kernel empties the tables when nobody has them open any more: they
/// stay in `ebpf`.
fn enter_families(
    ebpf: &mut Ebpf,
    programs: &[(u32, &'static str, &'static str, &'static str)],
) -> Result<(), ProbeError> {
    for &(family, name, _, table) in programs {
        let loaded = program(ebpf, name)?.fd().map_err(|source| ProbeError::Program { name, source })?;
        let loaded: ProgramFd = loaded.try_clone().map_err(ProbeError::Descriptor)?;
        let map = ebpf.map_mut(table).ok_or(ProbeError::Absent(table))?;
        let problem = |source| ProbeError::Map { name: table, source };
        let mut table = ProgramArray::try_from(map).map_err(problem)?;
        table.set(family, &loaded, 0).map_err(problem)?;
    }
    Ok(())
}
