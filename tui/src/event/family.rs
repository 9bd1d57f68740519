//! What to capture: the SET of `-e`.

use std::{fmt, str::FromStr};

use super::ChannelType;

/// Declares the families with their names; those marked `works` can be asked for.
macro_rules! families {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $works:literal;)*) => {
        /// A family of events that can be captured or left out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Family {
            $($(#[$doc])* $variant,)*
        }

        impl Family {
            /// Those that can be captured, in the order in which help lists them.
            pub fn all() -> impl Iterator<Item = Self> {
                [$((Self::$variant, $works)),*].into_iter().filter(|(_, works)| *works).map(|(family, _)| family)
            }

            /// As typed.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

families! {
    /// Signals: sent, delivered, handled.
    Signal = "signal", true;
    /// Anonymous pipes.
    Pipe = "pipe", true;
    /// Named pipes.
    Fifo = "fifo", true;
    /// System V message queues.
    SysvMq = "sysv-mq", true;
    /// POSIX message queues.
    PosixMq = "posix-mq", true;
    /// UNIX sockets of all types.
    Unix = "unix", true;
    /// TCP and UDP.
    Inet = "inet", true;
    /// Remote procedure calls on top of sockets.
    Rpc = "rpc", true;
    /// Pseudoterminals.
    Pty = "pty", true;
    /// eventfd, signalfd, timerfd and pidfd.
    Event = "event", true;
    /// Shared memory: System V, POSIX, memfd, shared mappings.
    Shm = "shm", true;
    /// System V semaphores and futexes.
    Sync = "sync", true;
    /// State changes of threads.
    Sched = "sched", true;
    /// fork, exec, exit. They are followed in any case; this is about showing them.
    Process = "process", true;
}

impl Family {
    /// That of a mechanism.
    pub fn of(mechanism: ChannelType) -> Self {
        match mechanism {
            ChannelType::Pipe => Self::Pipe,
            ChannelType::Fifo => Self::Fifo,
            ChannelType::SysvMq => Self::SysvMq,
            ChannelType::PosixMq => Self::PosixMq,
            ChannelType::UnixStream | ChannelType::UnixDgram | ChannelType::UnixSeqpacket => Self::Unix,
            ChannelType::Tcp | ChannelType::Udp => Self::Inet,
            ChannelType::Pty => Self::Pty,
            ChannelType::Eventfd | ChannelType::Signalfd | ChannelType::Timerfd | ChannelType::Pidfd => Self::Event,
            ChannelType::Shm | ChannelType::Memfd => Self::Shm,
            ChannelType::SysvSem | ChannelType::Futex => Self::Sync,
        }
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of [`Family`]s, never empty where it was typed. Text: names with commas between; `!x` leaves x out, `all` is
/// everything; a text that begins with `!` begins with everything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FamilySet(u32);

impl FamilySet {
    /// Everything.
    pub fn all() -> Self {
        Self(Family::all().fold(0, |set, family| set | family.bit()))
    }

    /// Nothing is left out.
    pub fn is_all(self) -> bool {
        self == Self::all()
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All but that one.
    #[must_use]
    pub fn without(self, family: Family) -> Self {
        Self(self.0 & !family.bit())
    }

    /// It is to be captured.
    pub fn contains(self, family: Family) -> bool {
        self.0 & family.bit() != 0
    }
}

impl Default for FamilySet {
    fn default() -> Self {
        Self::all()
    }
}

impl FromStr for FamilySet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut set = if text.trim_start().starts_with('!') { Self::all().0 } else { 0 };
        for word in text.split(',').map(str::trim) {
            let (name, negated) = word.strip_prefix('!').map_or((word, false), |name| (name, true));
            let bits = match Family::all().find(|family| family.name() == name) {
                Some(family) => family.bit(),
                None if name == "all" => Self::all().0,
                None => {
                    let known = Family::all().map(Family::name).collect::<Vec<_>>().join(", ");
                    return Err(format!("unknown name {name:?}: there are {known} and all; !NAME leaves one out"));
                }
            };
            set = if negated { set & !bits } else { set | bits };
        }
        if set == 0 { Err("nothing is left to capture".into()) } else { Ok(Self(set)) }
    }
}

impl fmt::Display for FamilySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::all() {
            return f.write_str("all");
        }
        let names: Vec<_> = Family::all().filter(|c| self.contains(*c)).map(Family::name).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for FamilySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_from_left_to_right() {
        for (text, set) in [
            ("pipe", "pipe"),
            ("fifo, pipe", "pipe,fifo"),
            ("!sched", "signal,pipe,fifo,sysv-mq,posix-mq,unix,inet,rpc,pty,event,shm,sync,process"),
            ("all,!sched,!process", "signal,pipe,fifo,sysv-mq,posix-mq,unix,inet,rpc,pty,event,shm,sync"),
            ("all", "all"),
            ("signal,pipe,fifo,sysv-mq,posix-mq,unix,inet,rpc,pty,event,shm,sync,sched,process", "all"),
            ("!pipe,pipe", "all"),
        ] {
            assert_eq!(text.parse::<FamilySet>().map(|set| set.to_string()), Ok(set.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, part) in [
            (
                "pipes",
                "unknown name \"pipes\": there are signal, pipe, fifo, sysv-mq, posix-mq, unix, inet, rpc, pty, event, shm, sync, sched, process and all",
            ),
            ("", "unknown name \"\""),
            ("pipe,,fifo", "unknown name \"\""),
            ("pipe,!pipe", "nothing is left"),
        ] {
            let error = text.parse::<FamilySet>().err().unwrap_or_default();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
