//! A text script of events: one notation for tests of the model, screen snapshots and documentation.
//!
//! A line is `TIME PID COMM VERB …`; `#` starts a comment. TIME is seconds since the start (`0.001204`) or a step after
//! the line before (`+50us`). PID is `4711`, `4711.4713` (process and thread), or `-` (COMM too) where nobody did it.
//! CHANNEL is `8124` for `pipe:[8124]`, or a whole id such as `fifo:/tmp/f`. END is `r`, `w` or `rw`.
//!
//! | verb | what follows |
//! |---|---|
//! | `fork` | `CHILD`, or `TID thread` |
//! | `exec` | `PATH ARG…`; a last `…` says that arguments were cut |
//! | `exit` | `CODE`, `SIGPIPE`, `SIGSEGV core`; before them `thread` if only a thread ended |
//! | `state` | `RUNNING cpu0` · `BLOCKED SYSCALL [CHANNEL] [fd N] [for PID] [set CHANNEL,…] [fds N,…] [cut] [peer PID] [lock FILE or word] [owner PID[.TID]] [timed] [restarts N] [uninterruptible]` · `BLOCKED fault` · `BLOCKED io` · `READY [by PID[.TID] or kernel] [preempted]` · `STOPPED [traced]` · the others |
//! | `pipe` | `CHANNEL RFD WFD [capacity N] [slots N]`: created; 65536 bytes in 16 buffers if not said |
//! | `make` `remove` `drop` | `CHANNEL`, of a mechanism without descriptors
//! | `pair` `accept` | `CHANNEL END FD` |
//! | `listen` `connect` | `CHANNEL END FD [backlog N] [at ADDRESS] [to ADDRESS] [error E]` |
//! | `open` `attach` `close` | `CHANNEL END FD [capacity N] [slots N]` |
//! | `dup` | `CHANNEL END FD NEWFD` |
//! | `inherit` `pass` | `CHANNEL END FD from PID` |
//! | `resize` | `CHANNEL BYTES SLOTS` |
//! | `write` | `CHANNEL FD BYTES`, or an errno name for BYTES; then options |
//! | `read` | as `write`; `eof` for BYTES; `from PID:BYTES,…` or `from overlap` (or another reason) says whose they are, else they are those written first |
//! | `signal` | `NAME PID PHASE`, then options; a later phase belongs to the last instance of that name and target |
//! | `disposition` | `NAME ACTION`, or `NAME 0xHANDLER [flags A|B] [mask SET]`; quiet, as the next two |
//! | `dispositions` | `[ignored SET] [caught SET]`: all at once |
//! | `mask` | `SET` that the thread blocks; a SET is `USR1|CHLD`, or `-` |
//! | `lost` | `COUNT CLASS FROM TO` (seconds) |
//!
//! Options of transfers: `fill N` `depth N` `slots USED/ALL` `took D` `blocked D` `requested N` `by SYSCALL` `op N` `restarts N`
//! `discarded N` `interrupted ID` `nonblock` `peek` `duplicate` `reordered` `unfinished`, and last `payload TEXT…`. An origin
//! may name its op: `4711:28@17`; else it is that process's last write there. Offsets are counted. Options of signals:
//! `id N` `sender KIND` `syscall NAME` `code NAME` `state STATE` `masked` `external` `thread TID` `group N`
//! `action NAME` `handler 0x…` `flags A|B` `interrupted SYSCALL[:CHANNEL]` `verdict V` `pending D` `took D` `into ID`
//! `reason NAME` `tty NAME` `pgrp N` `broadcast` `value N` `address 0x…` `mask SET` `by SYSCALL` `nesting N`. D is `17us`, `4ms`, `120ns`, `2s`.
//!
//! Invariants: `seq` is gapless, ops unique, `from` of a state is what the script said before of that thread.

mod signal;
mod transfer;
mod words;

use std::collections::VecDeque;

use foldhash::HashMap;

use self::words::{Problem, Words, bad, lookup, nanos, static_word};
use crate::event::{
    Blocked, Call, Cause, ChannelChange, ChannelEvent, ChannelId, ChannelType, Comm, End, Event, Exec, Exit, Kind,
    Lock, Lost, Nanos, OpId, Origin, PeerPid, SignalId, StateChange, Task, ThreadState, WokenBy, signal_name,
};

/// A pipeline `yes | head | sort` under a shell: pipes made and inherited, ends closed, a pipe that runs full, BLOCKED
/// writers and readers, the SIGPIPE that ends `yes`, end-of-file.
pub const SAMPLE: &str = include_str!("../sample.script");

/// Why a script was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("script line {line}: {message}")]
pub struct ScriptError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

/// Reads a script.
pub fn parse(text: &str) -> Result<Vec<Event>, ScriptError> {
    let mut reader = Reader::default();
    let mut events = Vec::new();
    let mut seq = 0;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let event = reader.event(&mut Words::new(line)).map_err(|message| ScriptError { line: index + 1, message })?;
        let quiet = event.kind.is_quiet();
        events.push(Event { seq, ..event });
        seq += u64::from(!quiet);
    }
    Ok(events)
}

/// What lines refer back to.
#[derive(Default)]
struct Reader {
    t: Nanos,
    last_op: u64,
    last_signal: u64,
    states: HashMap<u32, ThreadState>,
    sends: HashMap<(ChannelId, u32), OpId>,
    inside: HashMap<ChannelId, VecDeque<Origin>>,
    offsets: HashMap<(ChannelId, bool), u64>,
    signals: HashMap<(String, u32), SignalId>,
}

impl Reader {
    fn event(&mut self, words: &mut Words<'_>) -> Result<Event, Problem> {
        let time = words.word("a time")?;
        self.t = match time.strip_prefix('+') {
            Some(step) => Nanos(self.t.0.saturating_add(nanos(step)?)),
            None => seconds(time)?,
        };
        let who = words.word("a process id")?;
        let comm = words.word("a name")?;
        let task = if who == "-" { None } else { Some(task(who)?) };
        let comm = task.map(|_| Comm::new(comm.as_bytes()));
        let verb = words.word("a verb")?;
        let kind = self.kind(verb, task, words)?;
        words.end()?;
        Ok(Event { t: self.t, seq: 0, task, comm, ns_pid: None, host: None, kind })
    }

    fn kind(&mut self, verb: &str, task: Option<Task>, words: &mut Words<'_>) -> Result<Kind, Problem> {
        let who = || task.ok_or_else(|| format!("`{verb}` needs a process"));
        Ok(match verb {
            "fork" => {
                let child = words.number("the child's id")?;
                let thread = words.take("thread");
                let child = if thread { Task { pid: who()?.pid, tid: child } } else { Task { pid: child, tid: child } };
                Kind::Fork { child, thread }
            }
            "exec" => exec(words)?,
            "exit" => Kind::Exit(Box::new(exit(words)?)),
            "state" => Kind::State(self.state(who()?, words)?),
            "write" => Kind::Send(Box::new(self.transfer(who()?, true, words)?)),
            "read" => Kind::Recv(Box::new(self.transfer(who()?, false, words)?)),
            "signal" => Kind::Signal(Box::new(self.signal(task, words)?)),
            "disposition" => who().and_then(|_| signal::disposition(words)).map(Box::new).map(Kind::Disposition)?,
            "dispositions" => who().and_then(|_| signal::dispositions(words)).map(Kind::Dispositions)?,
            "mask" => who().and_then(|_| signal::mask(words)).map(Kind::Mask)?,
            "lost" => Kind::Lost(Box::new(Lost {
                count: words.number("a count")?,
                class: words.word("a class of records")?.to_owned(),
                t_from: seconds(words.word("a time")?)?,
                t_to: seconds(words.word("a time")?)?,
            })),
            _ => Kind::Channel(Box::new(self.channel(verb, words)?)),
        })
    }

    fn state(&mut self, task: Task, words: &mut Words<'_>) -> Result<StateChange, Problem> {
        let to = thread_state(words.word("a state")?)?;
        let from = self.states.insert(task.tid, to);
        let mut change = StateChange { from, to, cpu: None, on: None, woken_by: None, preempted: false, traced: false };
        if to == ThreadState::Blocked {
            change.on = Some(Box::new(blocked(words)?));
        }
        while let Some(word) = words.next() {
            match word {
                "by" => change.woken_by = Some(waker(words.word("a process id or `kernel`")?)?),
                "preempted" => change.preempted = true,
                "traced" => change.traced = true,
                _ => match word.strip_prefix("cpu").and_then(|n| n.parse().ok()) {
                    Some(cpu) => change.cpu = Some(cpu),
                    None => return Err(bad("an option of `state`", word)),
                },
            }
        }
        Ok(change)
    }

    fn channel(&mut self, verb: &str, words: &mut Words<'_>) -> Result<ChannelEvent, Problem> {
        let (event, syscall) = match verb {
            "pipe" => (ChannelChange::Created, Some("pipe2")),
            "open" => (ChannelChange::Opened, Some("openat")),
            "dup" => (ChannelChange::Duplicated, Some("dup2")),
            "inherit" => (ChannelChange::Inherited, None),
            "pass" => (ChannelChange::Passed, Some("recvmsg")),
            "attach" => (ChannelChange::Attached, None),
            "resize" => (ChannelChange::Resized, Some("fcntl")),
            "close" => (ChannelChange::Closed, Some("close")),
            "make" => (ChannelChange::Created, Some("semget")),
            "remove" => (ChannelChange::Removed, Some("semctl")),
            "drop" => (ChannelChange::Dropped, None),
            "pair" => (ChannelChange::Created, Some("socketpair")),
            "listen" => (ChannelChange::Listening, Some("listen")),
            "connect" => (ChannelChange::Connected, Some("connect")),
            "accept" => (ChannelChange::Accepted, Some("accept4")),
            _ => return Err(bad("a verb", verb)),
        };
        let (channel, mechanism) = channel(words.word("a channel")?);
        let call = syscall.map(|syscall| self.call(syscall));
        let mut change = ChannelEvent { call, ..ChannelEvent::new(channel, mechanism, event) };
        match event {
            ChannelChange::Created | ChannelChange::Removed | ChannelChange::Dropped
                if !matches!(verb, "pipe" | "pair") => {}
            ChannelChange::Created if verb == "pipe" => {
                change.fds = Some([words.number("a descriptor")?, words.number("a descriptor")?]);
                (change.capacity, change.slots) = (Some(65536), Some(16));
            }
            ChannelChange::Resized => {
                change.capacity = Some(words.number("bytes")?);
                change.slots = Some(words.number("buffers")?);
            }
            _ => {
                change.end = Some(end(words.word("an end")?)?);
                change.fd = Some(words.number("a descriptor")?);
            }
        }
        if event == ChannelChange::Duplicated {
            change.of_fd = change.fd;
            change.fd = Some(words.number("the new descriptor")?);
        }
        if let Some(path) = change.channel.0.strip_prefix("fifo:") {
            change.name = Some(path.to_owned());
        }
        while let Some(word) = words.next() {
            match word {
                "backlog" => change.backlog = Some(words.number("connections")?),
                "at" => change.local = Some(words.word("an address")?.to_owned()),
                "to" => change.remote = Some(words.word("an address")?.to_owned()),
                "error" => change.error = Some(static_word(words.word("an error")?)?),
                "from" => change.peer = Some(PeerPid { pid: words.number("a process id")? }),
                "capacity" => change.capacity = Some(words.number("bytes")?),
                "slots" => change.slots = Some(words.number("buffers")?),
                _ => return Err(bad("an option of a channel", word)),
            }
        }
        Ok(change)
    }

    fn call(&mut self, syscall: &'static str) -> Call {
        self.last_op += 1;
        Call {
            op: OpId(self.last_op),
            syscall,
            took_ns: 1_000,
            blocked_ns: None,
            restarts: 0,
            interrupted_by: Vec::new(),
            via: None,
            unfinished: false,
        }
    }
}

fn exec(words: &mut Words<'_>) -> Result<Kind, Problem> {
    let exe = words.word("a path")?;
    let mut argv = vec![exe.rsplit('/').next().unwrap_or(exe).to_owned()];
    argv.extend(words.by_ref().map(str::to_owned));
    let cut = argv.last().is_some_and(|last| last == "…");
    if cut {
        argv.pop();
    }
    Ok(Kind::Exec(Box::new(Exec { exe: exe.to_owned(), argv, cut })))
}

fn exit(words: &mut Words<'_>) -> Result<Exit, Problem> {
    let thread = words.take("thread");
    let how = words.word("a code or signal")?;
    let mut exit = Exit { thread, code: None, signal: None, core: false };
    if let Ok(code) = how.parse() {
        exit.code = Some(code);
    } else {
        exit.signal = Some(signal_name(how).ok_or_else(|| bad("a code or signal", how))?.0);
        exit.core = words.take("core");
    }
    Ok(exit)
}

fn blocked(words: &mut Words<'_>) -> Result<Blocked, Problem> {
    let mut on = Blocked::default();
    match words.word("a call, `fault` or `io`")? {
        "fault" => (on.cause, on.uninterruptible) = (Cause::Fault, true),
        "io" => (on.cause, on.uninterruptible) = (Cause::Io, true),
        syscall => on.syscall = Some(static_word(syscall)?),
    }
    while let Some(word) = words.next() {
        match word {
            "fd" => on.fd = Some(words.number("a descriptor")?),
            "for" => on.waits_for = Some(words.number("a process id")?),
            "uninterruptible" => on.uninterruptible = true,
            "set" => on.channels = words.word("channels")?.split(',').map(|word| channel(word).0).collect(),
            "fds" => {
                let fds = words.word("descriptors")?;
                on.fds = fds
                    .split(',')
                    .map(|fd| fd.parse().map_err(|_| bad("descriptors", fds)))
                    .collect::<Result<_, _>>()?;
            }
            "cut" => on.cut = true,
            "peer" => on.peer = Some(PeerPid { pid: words.number("a process id")? }),
            "lock" if words.take("word") => on.lock = Some(Lock::Word(())),
            "lock" => on.lock = Some(Lock::File(words.word("a file, or `word`")?.to_owned())),
            "owner" => on.owner = Some(task(words.word("a thread")?)?),
            "timed" => on.timed = true,
            "restarts" => on.restarts = words.number("a number")?,
            _ if on.channel.is_none() => on.channel = Some(channel(word).0),
            _ => return Err(bad("an option of BLOCKED", word)),
        }
    }
    Ok(on)
}

fn waker(word: &str) -> Result<WokenBy, Problem> {
    if word == "kernel" { Ok(WokenBy::Kernel) } else { task(word).map(WokenBy::Task) }
}

fn task(word: &str) -> Result<Task, Problem> {
    let (pid, tid) = word.split_once('.').unwrap_or((word, word));
    match (pid.parse(), tid.parse()) {
        (Ok(pid), Ok(tid)) => Ok(Task { pid, tid }),
        _ => Err(bad("a process id", word)),
    }
}

fn seconds(word: &str) -> Result<Nanos, Problem> {
    nanos(&format!("{word}s")).map(Nanos).map_err(|_| bad("a time in seconds", word))
}

fn thread_state(word: &str) -> Result<ThreadState, Problem> {
    lookup(&ThreadState::ALL, word, |s| s.name()).copied()
}

fn end(word: &str) -> Result<End, Problem> {
    match word {
        "r" => Ok(End::R),
        "w" => Ok(End::W),
        "rw" => Ok(End::Rw),
        _ => Err(bad("an end (r, w, rw)", word)),
    }
}

fn channel(word: &str) -> (ChannelId, ChannelType) {
    if word.bytes().all(|b| b.is_ascii_digit() || b == b'#') {
        (ChannelId(format!("pipe:[{word}]").into()), ChannelType::Pipe)
    } else {
        (word.into(), mechanism_of(word))
    }
}

/// The mechanism that a channel's name begins with (contract, "Channel ids"); a UNIX socket is taken for a stream.
fn mechanism_of(id: &str) -> ChannelType {
    let prefix = id.split(':').next().unwrap_or_default();
    match prefix {
        "unix" => ChannelType::UnixStream,
        _ => ChannelType::ALL.iter().copied().find(|m| m.name() == prefix).unwrap_or(ChannelType::Pipe),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

    use super::{SAMPLE, parse};
    use crate::event::{Kind, OpId, ThreadState};

    #[test]
    fn the_sample_is_well_formed() {
        let events = parse(SAMPLE).unwrap();
        assert!(events.len() > 60);
        assert!(events.is_sorted_by_key(|e| e.t));
        assert!(events.iter().enumerate().all(|(i, e)| e.seq == i as u64));
    }

    #[test]
    fn lines_refer_back() {
        let events = parse(
            "0 1 a write 7 1 5 fill 5 slots 1/16\n0.5 2 b state RUNNING cpu0\n+10us 2 b state BLOCKED read 7\n\
             # a comment\n\n0.6 2 b read 7 0 5 from 1:5 payload two words",
        )
        .unwrap();
        let Kind::Recv(read) = &events[3].kind else { panic!() };
        assert_eq!((read.from.as_ref().unwrap()[0].op, read.offset), (OpId(1), Some(0)));
        assert_eq!(read.payload.as_deref(), Some(&b"two words"[..]));
        let Kind::Recv(read) =
            &parse("0 1 a write 7 1 5\n0 2 b write 7 1 5\n0 3 c read 7 0 8").unwrap()[2].kind.clone()
        else {
            panic!()
        };
        let from: Vec<_> = read.from.as_ref().unwrap().iter().map(|o| (o.pid, o.bytes)).collect();
        assert_eq!(from, [(1, 5), (2, 3)]);
        let Kind::State(state) = &events[2].kind else { panic!() };
        assert_eq!((state.from, events[2].t.0), (Some(ThreadState::Running), 500_010_000));
    }

    #[test]
    fn mistakes_have_their_place() {
        for (script, error) in [
            ("0 1 a jump", "script line 1: `jump` is not a verb"),
            ("\n0 1 a write 7", "script line 2: a descriptor is missing"),
            ("0 1 a read 7 0 5 from 9:5", "9 has sent nothing to pipe:[7] so far; name the op: `9:5@OP`"),
            ("0 1 a fork 2 3", "`3` is too much"),
            ("x 1 a fork 2", "`x` is not a time in seconds"),
            ("0 - - fork 2 thread", "`fork` needs a process"),
        ] {
            let message = parse(script).unwrap_err().to_string();
            assert!(message.contains(error), "{message}");
        }
    }
}
