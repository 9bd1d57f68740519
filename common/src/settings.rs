//! What user space tells the probes before they are loaded; frozen read-only data, so constants to the verifier.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The settings.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Settings {
    /// Payload bytes to keep of each message; one of 0, 16, 64, 256, 1024, 4096 or between.
    pub payload_limit: u32,
    /// The same of sockets, where calls of remote procedures are looked for.
    pub socket_payload_limit: u32,
    /// 1: children are traced too.
    pub follow: u32,
    /// Which argument of `sched_switch` is `prev_state`: 1, 3 or 0 for none (before 5.18).
    pub prev_state_argument: u32,
    /// 1: capture signals.
    pub signals: u32,
    /// 1: capture pipes and FIFOs.
    pub pipes: u32,
    /// 1: capture System V message queues.
    pub queues: u32,
    /// 1: capture POSIX message queues.
    pub mqueues: u32,
    /// 1: capture System V shared memory.
    pub shm: u32,
    /// 1: capture System V semaphores.
    pub sems: u32,
    /// 1: capture sockets.
    pub sockets: u32,
    /// 1: capture pseudoterminals.
    pub terminals: u32,
    /// 1: capture eventfd, signalfd, timerfd and pidfd.
    pub events: u32,
    /// 1: capture files in memory and shared mappings.
    pub memory: u32,
    /// 1: capture futexes.
    pub futexes: u32,
    /// 1: capture the scheduler.
    pub sched: u32,
    /// 1: where a datagram comes in a socket's queue can be told (from 6.4 on).
    pub arrivals: u32,
    /// Which argument of `io_uring_complete` has the result: 2, a `struct io_uring_cqe *` (from 6.14 on), or 3, itself.
    pub ring_result_argument: u32,
    /// 1: task storage can be looked into from interrupts (from 6.2 on).
    pub storage_in_interrupts: u32,
}

impl Settings {
    /// Nothing is captured.
    pub const NONE: Self = Self {
        payload_limit: 0,
        socket_payload_limit: 0,
        follow: 0,
        prev_state_argument: 0,
        signals: 0,
        pipes: 0,
        queues: 0,
        mqueues: 0,
        shm: 0,
        sems: 0,
        sockets: 0,
        terminals: 0,
        events: 0,
        memory: 0,
        futexes: 0,
        sched: 0,
        arrivals: 0,
        ring_result_argument: 0,
        storage_in_interrupts: 0,
    };
}

/// Where functions of the running kernel are: addresses and lengths in bytes; a length of 0: unknown.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Sites {
    /// `load_msg`, which makes messages.
    pub load_msg: u64,
    /// Its length.
    pub load_msg_len: u64,
    /// `free_msg`.
    pub free_msg: u64,
    /// Its length.
    pub free_msg_len: u64,
    /// `newque`, which makes System V queues.
    pub newque: u64,
    /// Its length.
    pub newque_len: u64,
    /// `__alloc_skb`, which makes the buffers of sockets.
    pub alloc_skb: u64,
    /// Its length.
    pub alloc_skb_len: u64,
    /// `skb_clone`, which makes a second one of the same bytes.
    pub clone_skb: u64,
    /// Its length.
    pub clone_skb_len: u64,
    /// `mqueue_alloc_inode`, which makes POSIX queues.
    pub mqueue_alloc_inode: u64,
    /// Its length.
    pub mqueue_alloc_inode_len: u64,
}

impl Sites {
    /// None is known.
    pub const NONE: Self = Self {
        load_msg: 0,
        load_msg_len: 0,
        free_msg: 0,
        free_msg_len: 0,
        newque: 0,
        newque_len: 0,
        alloc_skb: 0,
        alloc_skb_len: 0,
        clone_skb: 0,
        clone_skb_len: 0,
        mqueue_alloc_inode: 0,
        mqueue_alloc_inode_len: 0,
    };
}

/// Why a record is missing; index of the counters.
pub mod lost {
    /// A process record.
    pub const PROCESS: u32 = 0;
    /// A scheduler record.
    pub const SCHED: u32 = 1;
    /// A descriptor record.
    pub const DESCRIPTOR: u32 = 2;
    /// A pipe call.
    pub const PIPE: u32 = 3;
    /// A sample of a contended pipe.
    pub const PIPE_SAMPLE: u32 = 4;
    /// A signal record.
    pub const SIGNAL: u32 = 5;
    /// The end of another call.
    pub const CALL: u32 = 6;
    /// A thread that could not be followed: the table of threads is full.
    pub const TASK_TABLE: u32 = 7;
    /// A pipe whose users could not be followed: the table of pipes is full.
    pub const PIPE_TABLE: u32 = 8;
    /// A hook that the kernel skipped: its program was running on that CPU already (`bpf_prog_info.recursion_misses`).
    pub const RECURSION: u32 = 9;
    /// A number was given out, but neither the record came nor does a counter tell of it.
    pub const UNKNOWN: u32 = 10;
    /// A call on a message queue.
    pub const QUEUE: u32 = 11;
    /// A call on a socket.
    pub const SOCKET: u32 = 12;
    /// A call on shared memory, semaphores, futexes or other objects.
    pub const IPC: u32 = 13;
    /// How many there are. The probes count all but [`RECURSION`] and [`UNKNOWN`].
    pub const COUNT: u32 = 14;
    /// Their names, in order.
    pub const NAMES: [&str; COUNT as usize] = [
        "process",
        "sched",
        "descriptor",
        "pipe",
        "pipe-sample",
        "signal",
        "call",
        "task-table",
        "pipe-table",
        "recursion",
        "unknown",
        "queue",
        "socket",
        "ipc",
    ];

    /// A loss of that class is a record that had a number ([`crate::Header::seq`]).
    pub const fn is_numbered(class: u32) -> bool {
        !matches!(class, TASK_TABLE | PIPE_TABLE | RECURSION)
    }
}
