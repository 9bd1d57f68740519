//! The lecture's properties of each mechanism, in one table, with the manual page each value rests on.
//!
//! What a view, an explanation or `stats` says about a mechanism comes from here. Values that depend on the very channel
//! (its capacity, who holds it) do not belong here. Tested: every mechanism has a row, and rows do not contradict
//! themselves.

use serde::Serialize;

use crate::event::ChannelType;

/// How a partner is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// The partner itself is named (a connection, an address of one receiver).
    Direct,
    /// A mailbox is named, whoever is behind it.
    Indirect,
}

/// What is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes without boundaries.
    Stream,
    /// Messages of any length up to a limit, with boundaries.
    Messages,
    /// Messages that all have the same length.
    FixedMessages,
    /// No data: memory or a state that is shared.
    Shared,
}

/// Which ways data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// One way.
    Unidirectional,
    /// Both ways at the same time.
    FullDuplex,
    /// Both ways through one buffer.
    HalfDuplex,
}

/// How many receive one send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cast {
    /// One.
    Unicast,
    /// One, a group, or all.
    Any,
    /// Everybody who looks.
    Shared,
}

/// The properties of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Properties {
    /// What it is called, for a heading.
    pub title: &'static str,
    /// What it is, to follow "X made CHANNEL: ".
    #[serde(skip)]
    pub is: &'static str,
    /// How a partner is named.
    pub addressing: Addressing,
    /// What is handed over.
    pub unit: Unit,
    /// Messages carry a type or priority by which they are chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typed: Option<&'static str>,
    /// Which ways data goes.
    pub direction: Direction,
    /// Nothing is lost, doubled or changed.
    pub reliable: bool,
    /// What is sent first is received first.
    pub ordered: bool,
    /// Who waits: a sender goes on before anybody has received, as long as there is room.
    pub buffered: bool,
    /// Sender and receiver meet: the send ends when the receive does.
    pub rendezvous: bool,
    /// How many receive one send.
    pub cast: Cast,
    /// Why these values: manual pages and what they say.
    pub reason: &'static str,
}

/// A reliable, ordered, buffered one-way byte stream; what most rows begin with.
const STREAM: Properties = Properties {
    title: "",
    is: "",
    addressing: Addressing::Indirect,
    unit: Unit::Stream,
    typed: None,
    direction: Direction::Unidirectional,
    reliable: true,
    ordered: true,
    buffered: true,
    rendezvous: false,
    cast: Cast::Unicast,
    reason: "",
};

/// The row of a mechanism.
pub const fn properties(mechanism: ChannelType) -> Properties {
    match mechanism {
        ChannelType::Pipe => Properties {
            title: "anonymous pipe",
            is: "a unidirectional byte stream, buffered in the kernel",
            reason: "pipe(7): unidirectional, a byte stream without message boundaries; a full pipe blocks its writers, an \
                     empty one its readers; whoever holds the read end gets the bytes, no partner is named",
            ..STREAM
        },
        ChannelType::Fifo => Properties {
            title: "FIFO (named pipe)",
            is: "a named pipe, a unidirectional byte stream that any process can open by its path",
            reason: "fifo(7): a pipe that is opened by a path; everything else as pipe(7)",
            ..STREAM
        },
        ChannelType::SysvMq => Properties {
            title: "System V message queue",
            is: "a queue of typed messages that any process can find by its key",
            unit: Unit::Messages,
            typed: Some("type"),
            reason: "msgop(2): a message has a type and 0 to msgmax bytes; msgrcv chooses the first of a type, or of the \
                     lowest type; within a type in order of sending; msgsnd blocks while msg_qbytes are full",
            ..STREAM
        },
        ChannelType::PosixMq => Properties {
            title: "POSIX message queue",
            is: "a queue of messages with priorities that any process can open by its name",
            unit: Unit::Messages,
            typed: Some("priority"),
            reason: "mq_overview(7): the highest priority first, the oldest first within one; mq_maxmsg messages of at most \
                     mq_msgsize bytes; mq_send blocks while it is full",
            ..STREAM
        },
        ChannelType::UnixStream => Properties {
            title: "UNIX stream socket",
            is: "a bidirectional byte stream between two processes of this machine",
            addressing: Addressing::Direct,
            direction: Direction::FullDuplex,
            reason: "unix(7), SOCK_STREAM: connected, both ways, no message boundaries, reliable and in order",
            ..STREAM
        },
        ChannelType::UnixDgram => Properties {
            title: "UNIX datagram socket",
            is: "a socket of this machine that takes messages from anybody who knows its address",
            addressing: Addressing::Direct,
            unit: Unit::Messages,
            direction: Direction::FullDuplex,
            reason: "unix(7), SOCK_DGRAM: message boundaries are kept; always reliable, datagrams are not reordered; a sender \
                     blocks while the receiver's queue is full",
            ..STREAM
        },
        ChannelType::UnixSeqpacket => Properties {
            title: "UNIX sequenced-packet socket",
            is: "a bidirectional sequence of messages between two processes of this machine",
            addressing: Addressing::Direct,
            unit: Unit::Messages,
            direction: Direction::FullDuplex,
            reason: "unix(7), SOCK_SEQPACKET: connected, message boundaries kept, delivered in order",
            ..STREAM
        },
        ChannelType::Tcp => Properties {
            title: "TCP connection",
            is: "a bidirectional byte stream between two sockets, over a network too",
            addressing: Addressing::Direct,
            direction: Direction::FullDuplex,
            reason: "tcp(7): a reliable, stream-oriented, full-duplex connection; in order, no record boundaries",
            ..STREAM
        },
        ChannelType::Udp => Properties {
            title: "UDP socket",
            is: "a socket that takes datagrams from any address",
            addressing: Addressing::Direct,
            unit: Unit::Messages,
            direction: Direction::FullDuplex,
            reliable: false,
            ordered: false,
            cast: Cast::Any,
            reason: "udp(7): connectionless, unreliable datagrams that may be reordered or doubled; ip(7): to one host, a \
                     multicast group or a broadcast address",
            ..STREAM
        },
        ChannelType::Pty => Properties {
            title: "pseudoterminal",
            is: "a pair of devices: what is written to one side is read at the other, as a terminal would have it",
            addressing: Addressing::Direct,
            direction: Direction::FullDuplex,
            reason: "pty(7): bidirectional; the line discipline may edit, echo and translate what goes through (termios(3))",
            ..STREAM
        },
        ChannelType::Eventfd => Properties {
            title: "eventfd",
            is: "a counter that writes add to and reads take from",
            unit: Unit::FixedMessages,
            direction: Direction::HalfDuplex,
            reason: "eventfd(2): writes add 8-byte numbers to a counter, a read takes all of it (or 1): which write was first \
                     is not kept",
            ordered: false,
            ..STREAM
        },
        ChannelType::Signalfd => Properties {
            title: "signalfd",
            is: "signals that are read instead of handled",
            addressing: Addressing::Direct,
            unit: Unit::FixedMessages,
            typed: Some("signal"),
            reliable: false,
            reason: "signalfd(2): each read gives structures of 128 bytes; standard signals that are pending already coalesce \
                     (signal(7))",
            ..STREAM
        },
        ChannelType::Timerfd => Properties {
            title: "timerfd",
            is: "a timer whose expirations are read as a number",
            addressing: Addressing::Direct,
            unit: Unit::FixedMessages,
            reason: "timerfd_create(2): a read gives the number of expirations since the last one, 8 bytes",
            ..STREAM
        },
        ChannelType::Pidfd => Properties {
            title: "pidfd",
            is: "a descriptor that stands for a process",
            addressing: Addressing::Direct,
            unit: Unit::Shared,
            buffered: false,
            reason: "pidfd_open(2): readable once the process has ended; names it for signals and waits",
            ..STREAM
        },
        ChannelType::Memfd => {
            Properties { title: "memfd", is: "an anonymous file in memory, shared by its descriptor", ..MEMORY }
        }
        ChannelType::Shm => {
            Properties { title: "shared memory", is: "memory that several processes have mapped", ..MEMORY }
        }
        ChannelType::SysvSem => Properties {
            title: "System V semaphore set",
            is: "a set of counters to wait on",
            unit: Unit::Shared,
            direction: Direction::HalfDuplex,
            buffered: false,
            cast: Cast::Shared,
            reason: "semop(2): operations on counters, done all or not at all; no data goes through",
            ..STREAM
        },
        ChannelType::Futex => Properties {
            title: "futex",
            is: "a word in memory that threads wait on",
            unit: Unit::Shared,
            direction: Direction::HalfDuplex,
            buffered: false,
            cast: Cast::Shared,
            reason: "futex(2): the kernel knows only who waits and who wakes; what is locked is the program's own",
            ..STREAM
        },
    }
}

const MEMORY: Properties = Properties {
    unit: Unit::Shared,
    direction: Direction::HalfDuplex,
    ordered: false,
    buffered: false,
    cast: Cast::Shared,
    reason: "shm_overview(7), memfd_create(2): loads and stores go past the kernel, so accesses are invisible here",
    ..STREAM
};

impl Properties {
    /// In a few words, for the detail of a channel.
    pub fn words(&self) -> String {
        let unit = match self.unit {
            Unit::Stream => "stream",
            Unit::Messages => "messages",
            Unit::FixedMessages => "messages of fixed length",
            Unit::Shared => "no messages",
        };
        let direction = match self.direction {
            Direction::Unidirectional => "one way",
            Direction::FullDuplex => "both ways",
            Direction::HalfDuplex => "shared by all",
        };
        let reliable = match (self.reliable, self.ordered) {
            (true, true) => "reliable, in order",
            (true, false) => "reliable, order not kept",
            (false, true) => "may lose, in order",
            (false, false) => "may lose and reorder",
        };
        let addressing = match self.addressing {
            Addressing::Direct => "direct",
            Addressing::Indirect => "indirect",
        };
        let mut words =
            vec![unit, direction, reliable, addressing, if self.buffered { "buffered" } else { "unbuffered" }];
        let by = self.typed.map(|by| format!("chosen by {by}"));
        words.extend(by.as_deref());
        if self.cast == Cast::Any {
            words.push("unicast, multicast or broadcast");
        }
        words.join(" · ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mechanism_has_a_row_with_its_reason() {
        for mechanism in ChannelType::ALL {
            let row = properties(*mechanism);
            for text in [row.title, row.is, row.reason] {
                assert!(!text.is_empty(), "{mechanism:?}");
            }
            assert!(row.reason.contains('('), "{mechanism:?} names its manual page");
            assert!(!(row.buffered && row.rendezvous), "{mechanism:?}: who is buffered does not meet");
            assert!(row.typed.is_none() || row.unit != Unit::Stream, "{mechanism:?}: bytes have no type");
        }
    }

    #[test]
    fn a_pipe_is_what_the_lecture_says() {
        assert_eq!(
            properties(ChannelType::Pipe).words(),
            "stream · one way · reliable, in order · indirect · buffered"
        );
        assert!(properties(ChannelType::Udp).words().contains("may lose and reorder"));
        assert!(properties(ChannelType::SysvMq).words().ends_with("chosen by type"));
    }
}
