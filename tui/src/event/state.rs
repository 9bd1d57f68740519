//! Thread states, as the scheduler has them.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{ChannelId, OpId, PeerPid, Task, number};

/// The state of a thread in the words of the lecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ThreadState {
    /// Created, not yet runnable.
    New,
    /// Runnable, waiting for a CPU.
    Ready,
    /// On a CPU.
    Running,
    /// Waiting for something other than a CPU.
    Blocked,
    /// Stopped by a signal or a tracer.
    Stopped,
    /// Ended, not yet reaped.
    Zombie,
    /// Reaped.
    Dead,
}

impl ThreadState {
    /// All, in the order of a life.
    pub const ALL: [Self; 7] =
        [Self::New, Self::Ready, Self::Running, Self::Blocked, Self::Stopped, Self::Zombie, Self::Dead];

    /// As in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Ready => "READY",
            Self::Running => "RUNNING",
            Self::Blocked => "BLOCKED",
            Self::Stopped => "STOPPED",
            Self::Zombie => "ZOMBIE",
            Self::Dead => "DEAD",
        }
    }
}

/// A thread went from one state to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StateChange {
    /// The state it left; absent where the trace begins with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<ThreadState>,
    /// The state it is in now.
    pub to: ThreadState,
    /// RUNNING: on which CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// BLOCKED: on what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Box<Blocked>>,
    /// READY: who made it so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub woken_by: Option<WokenBy>,
    /// READY: it could run on but had to yield the CPU.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub preempted: bool,
    /// STOPPED: by a tracer (ptrace(2)).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub traced: bool,
}

/// What a BLOCKED thread waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Blocked {
    /// The call, if it has a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<OpId>,
    /// The call's name; absent outside a system call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syscall: Option<&'static str>,
    /// The channel the call is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelId>,
    /// The channels of a set that is waited for (poll(2), select(2), epoll_wait(2)).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<ChannelId>,
    /// All descriptors of that set, those included that are of no known channel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fds: Vec<i32>,
    /// The set is larger than what is told of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// The descriptor the call is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i32>,
    /// The one process at the channel's other end, if there is exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerPid>,
    /// The child it waits for, if a certain one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "super::as_number_if_any")]
    pub waits_for: Option<u32>,
    /// It waits for somebody to let a lock go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
    /// The thread that has that lock, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Task>,
    /// It ends by itself at some time (semtimedop(2), futex(2)).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub timed: bool,
    /// How often a signal made the kernel start the call again so far.
    #[serde(skip_serializing_if = "super::call::is_zero")]
    pub restarts: u32,
    /// Why.
    pub cause: Cause,
    /// Signals do not wake it (TASK_UNINTERRUPTIBLE).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub uninterruptible: bool,
}

impl Blocked {
    /// What a set that is waited for consists of, in words: its channels, then how many other descriptors.
    pub fn set(&self) -> Vec<String> {
        let mut parts: Vec<String> = self.channels.iter().map(ToString::to_string).collect();
        let others = self.fds.len().saturating_sub(self.channels.len());
        match (others, self.cut) {
            (0, false) => {}
            (_, true) => parts.push("other descriptors".to_owned()),
            (1, false) => parts.push("another descriptor".to_owned()),
            (others, false) => parts.push(format!("{others} other descriptors")),
        }
        if self.channels.is_empty() {
            parts.clear();
            parts.extend(match self.fds.as_slice() {
                [] => None,
                [fd] if !self.cut => Some(format!("fd {fd}")),
                fds if self.cut => Some(format!("more than {} descriptors", fds.len())),
                fds => Some(format!("{} descriptors", fds.len())),
            });
        }
        parts
    }
}

/// A lock that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Lock {
    /// The word that `channel` names, in memory.
    Word(#[serde(serialize_with = "as_true")] ()),
    /// A file (flock(2), fcntl(2)): its name, or device and inode.
    File(String),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn as_true<S: Serializer>((): &(), s: S) -> Result<S::Ok, S::Error> {
    s.serialize_bool(true)
}

/// The kind of waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// A system call waits.
    #[default]
    Call,
    /// A page has to be brought in, outside any call.
    Fault,
    /// A device.
    Io,
}

/// Who made a thread READY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WokenBy {
    /// A thread, by something it did.
    Task(Task),
    /// An interrupt or timer.
    Kernel,
}

impl Serialize for WokenBy {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Kernel => s.serialize_str("kernel"),
            Self::Task(task) => {
                let mut map = s.serialize_map(Some(2))?;
                map.serialize_entry("pid", &number(task.pid))?;
                map.serialize_entry("tid", &number(task.tid))?;
                map.end()
            }
        }
    }
}
