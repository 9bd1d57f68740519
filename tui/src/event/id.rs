//! Names of things: threads, calls, signal instances, channels, moments.

use std::{cmp::Ordering, fmt, sync::Arc};

use serde::{Serialize, Serializer};

use super::text;

/// Nanoseconds since the trace began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
pub struct Nanos(pub u64);

impl Nanos {
    /// From the other moment to this one; zero if it lies ahead.
    pub fn since(self, earlier: Nanos) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// As seconds, for people.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// A system call instance; numbered at the call's entry, unique in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct OpId(pub u64);

/// A signal instance, unique in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SignalId(pub u64);

/// A thread, named as the tracer sees it: process id (thread group) and thread id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Task {
    /// The thread group's id: the process.
    #[serde(serialize_with = "super::as_number")]
    pub pid: u32,
    /// The thread's own id.
    #[serde(serialize_with = "super::as_number")]
    pub tid: u32,
}

/// A thread's name as the kernel keeps it (`task_struct.comm`, 15 bytes and a NUL); printed escaped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    /// From bytes up to the first NUL; what does not fit is cut, as the kernel does.
    pub fn new(name: &[u8]) -> Self {
        let mut comm = [0; 16];
        for (to, from) in comm.iter_mut().take(15).zip(name.iter().take_while(|b| **b != 0)) {
            *to = *from;
        }
        Self(comm)
    }

    /// The bytes before the NUL.
    pub fn bytes(&self) -> &[u8] {
        self.0.split(|b| *b == 0).next().unwrap_or_default()
    }
}

impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&text::escape(self.bytes()))
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Comm {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// What a channel is called in this trace, e.g. `pipe:[8124]`; one for both ends, escaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ChannelId(pub Arc<str>);

impl Ord for ChannelId {
    /// By name. Events of one channel mostly share its name: that is seen without reading it.
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl PartialOrd for ChannelId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for ChannelId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

/// Declares the mechanisms with their names in the contract.
macro_rules! channel_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The mechanism behind a channel.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum ChannelType {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl ChannelType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As in the contract.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

impl ChannelType {
    /// What comes out is what went in: neither a sum, nor what a terminal makes of it.
    pub fn keeps_bytes(self) -> bool {
        !matches!(self, Self::Eventfd | Self::Pty)
    }

    /// Bytes go both ways, between sockets.
    pub fn is_socket(self) -> bool {
        matches!(self, Self::UnixStream | Self::UnixDgram | Self::UnixSeqpacket | Self::Tcp | Self::Udp)
    }
}

channel_types! {
    /// An anonymous pipe, pipe(7).
    Pipe = "pipe",
    /// A named pipe, fifo(7).
    Fifo = "fifo",
    /// A System V message queue, sysvipc(7).
    SysvMq = "sysv-mq",
    /// A POSIX message queue, mq_overview(7).
    PosixMq = "posix-mq",
    /// A UNIX stream socket, unix(7).
    UnixStream = "unix-stream",
    /// A UNIX datagram socket.
    UnixDgram = "unix-dgram",
    /// A UNIX sequenced-packet socket.
    UnixSeqpacket = "unix-seqpacket",
    /// A TCP connection, tcp(7).
    Tcp = "tcp",
    /// A UDP socket that receives, udp(7).
    Udp = "udp",
    /// A pseudoterminal, pty(7).
    Pty = "pty",
    /// A counter, eventfd(2).
    Eventfd = "eventfd",
    /// Signals as data, signalfd(2).
    Signalfd = "signalfd",
    /// A timer as data, timerfd_create(2).
    Timerfd = "timerfd",
    /// A process as a descriptor, pidfd_open(2).
    Pidfd = "pidfd",
    /// A file in memory, memfd_create(2).
    Memfd = "memfd",
    /// Shared memory, shm_overview(7) and sysvipc(7).
    Shm = "shm",
    /// A System V semaphore set, sysvipc(7).
    SysvSem = "sysv-sem",
    /// A word in memory to wait on, futex(2).
    Futex = "futex",
}
