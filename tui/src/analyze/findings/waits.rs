//! Waiting that cannot end: no end-of-file, a full pipe that nobody reads, deadlock.
//!
//! Looked for a few times a second of the trace's time, always in the world before the next event: nothing happened since,
//! so what stands there stood all the time. Only calls whose partners are known count as waiting; whoever waits in any
//! other way (sleep, poll, a terminal) might go on and make others go on.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Finding, Found,
    deadlock::deadlock,
    facts::{Facts, Wait},
    knot::{Needs, knots},
    lone,
    sides::Half,
    telling::{bytes, list, name, name_of},
};
use crate::{
    analyze::duration,
    event::{Cause, ChannelId, Event, Kind, Nanos, ThreadState},
    model::{Channel, Process, ProcessKey, Side, World},
};

/// Between two looks.
const LOOK: u64 = 100_000_000;
/// How long all in a knot must have waited: whoever has just been woken is told of a little later.
const KNOT: u64 = 200_000_000;

/// When it was last looked.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits {
    looked: Nanos,
    /// Deadlocks that were told, and the threads in them, until one of these ends.
    told: BTreeMap<String, Vec<u32>>,
    /// Threads in them whose call has returned, and that have not done anything since.
    returned: BTreeSet<u32>,
}

/// What a thread waits for.
pub(super) enum On<'a> {
    Read(&'a Channel),
    Write(&'a Channel),
    Child(Vec<ProcessKey>),
    /// More than a semaphore has.
    Take(&'a Channel),
    /// What comes through a connection, at this end of it.
    Receive(&'a Channel, Half),
    /// Room in a connection, at this end of it.
    Room(&'a Channel, Half),
    /// A message in a queue, or room for one.
    Message(&'a Channel, Side),
}

impl On<'_> {
    /// It is told of as a deadlock only, by all in it.
    fn is_of_many(&self) -> bool {
        matches!(self, Self::Take(_) | Self::Receive(..) | Self::Room(..) | Self::Message(..))
    }
}

/// A thread that waits.
pub(super) struct Waiter<'a> {
    pub(super) tid: u32,
    pub(super) process: &'a Process,
    pub(super) wait: &'a Wait,
    pub(super) on: On<'a>,
}

impl Waits {
    /// Looks, if it is time to.
    pub(super) fn look(&mut self, facts: &Facts, world: &World, now: Nanos, found: &mut Found) {
        if now.since(self.looked) >= LOOK {
            self.looked = now;
            self.told.extend(self::now(facts, world, now, found));
        }
    }

    /// Whoever returns from a call that was in a deadlock and goes on was in none: there was a time limit, or a signal. If
    /// it, or another one in it, ends, that does not make it undone.
    pub(super) fn apply(&mut self, event: &Event, found: &mut Found) {
        let Some(tid) = event.task.map(|task| task.tid).filter(|tid| self.is_member(*tid)) else { return };
        match &event.kind {
            Kind::Signal(_) => {}
            Kind::State(change) if change.to != ThreadState::Blocked => {}
            Kind::Exit(exit) => {
                if self.returned.remove(&tid) && exit.signal.is_none() {
                    self.withdraw(tid, found);
                }
                self.told.retain(|_, members| !members.contains(&tid));
            }
            Kind::Send(call) | Kind::Recv(call) if !call.call.unfinished && self.returned.insert(tid) => {}
            _ => {
                if self.returned.remove(&tid) {
                    self.withdraw(tid, found);
                }
            }
        }
    }

    fn is_member(&self, tid: u32) -> bool {
        self.told.values().any(|members| members.contains(&tid))
    }

    fn withdraw(&mut self, tid: u32, found: &mut Found) {
        self.told.retain(|key, members| {
            let stands = !members.contains(&tid);
            if !stands {
                found.withdraw("deadlock", key);
            }
            stands
        });
    }
}

/// Looks. Gives the deadlocks that stand, by key, with the threads in them.
pub(super) fn now(facts: &Facts, world: &World, now: Nanos, found: &mut Found) -> Vec<(String, Vec<u32>)> {
    let waiters: Vec<_> = facts
        .waits
        .iter()
        .filter(|(_, wait)| now.since(wait.since) >= KNOT)
        .filter_map(|(tid, wait)| waiter(facts, world, *tid, wait))
        .collect();
    let mut told = Vec::new();
    for waiter in &waiters {
        lone::look(facts, world, waiter, now, found);
    }
    for members in knots(needs(facts, world, &waiters)) {
        let members: Vec<_> = waiters.iter().filter(|waiter| members.contains(&waiter.process.key)).collect();
        if let Some(key) = knot(facts, world, &members, now, found) {
            told.push((key, members.iter().map(|member| member.tid).collect()));
        }
    }
    told
}

/// What the thread waits for, if those who could end it are all known.
fn waiter<'a>(facts: &Facts, world: &'a World, tid: u32, wait: &'a Wait) -> Option<Waiter<'a>> {
    let process = world.process(wait.pid).filter(|process| process.ended.is_none())?;
    let thread = process.threads.get(&tid).filter(|thread| thread.is_alive() && !thread.uncertain)?;
    if thread.state != Some(ThreadState::Blocked) || wait.on.cause != Cause::Call {
        return None;
    }
    let on = match wait.on.syscall? {
        "semop" | "semtimedop" if !wait.on.timed => {
            let channel = wait.on.channel.as_ref().filter(|channel| facts.all_holders_known(channel))?;
            On::Take(world.channels.get(channel)?)
        }
        "msgrcv" | "msgsnd" | "mq_timedreceive" | "mq_timedsend" if !wait.on.timed => {
            let channel = wait.on.channel.as_ref().filter(|channel| facts.all_holders_known(channel))?;
            let side =
                if matches!(wait.on.syscall?, "msgrcv" | "mq_timedreceive") { Side::Receive } else { Side::Send };
            On::Message(world.channels.get(channel)?, side)
        }
        "wait4" | "waitid" => On::Child(children(world, process, wait.on.waits_for)?),
        syscall => {
            let channel = wait.on.channel.as_ref()?;
            if let Some(known) = world.channels.get(channel).filter(|channel| channel.mechanism.is_socket()) {
                let half = facts.sides.of(process.pid, wait.on.fd?, channel).filter(|_| !facts.incomplete)?;
                return Some(Waiter { tid, process, wait, on: connection(facts, world, syscall, known, half)? });
            }
            if !facts.all_holders_known(channel) {
                return None;
            }
            let held = process.descriptors.get(&wait.on.fd?).filter(|(id, _)| id == channel)?;
            let channel = world.channels.get(channel)?;
            match (syscall, held.1.reads(), held.1.writes()) {
                ("read" | "readv" | "preadv2" | "splice" | "tee", true, false) => On::Read(channel),
                ("write" | "writev" | "pwritev2" | "splice" | "tee" | "vmsplice" | "sendfile", false, true) => {
                    On::Write(channel)
                }
                _ => return None,
            }
        }
    };
    Some(Waiter { tid, process, wait, on })
}

/// What a call on a connection waits for, if both its ends are known.
fn connection<'a>(facts: &Facts, world: &World, syscall: &str, channel: &'a Channel, half: Half) -> Option<On<'a>> {
    facts.sides.holders(world, channel, half.other())?;
    match syscall {
        "read" | "readv" | "preadv2" | "recvfrom" | "recvmsg" | "recvmmsg" => Some(On::Receive(channel, half)),
        "write" | "writev" | "pwritev2" | "sendto" | "sendmsg" | "sendmmsg" | "sendfile" => {
            Some(On::Room(channel, half))
        }
        _ => None,
    }
}

/// The children one of which must end; `None` if they may not all be known.
fn children(world: &World, process: &Process, certain: Option<u32>) -> Option<Vec<ProcessKey>> {
    if let Some(pid) = certain {
        return Some(vec![world.process(pid).filter(|child| child.ended.is_none())?.key]);
    }
    // Whoever was there before the trace may have older children; an exec within it tells of a beginning.
    if process.parent.is_none() && process.exe.is_empty() {
        return None;
    }
    let mut children = Vec::new();
    for child in world.processes.values().filter(|child| child.parent == Some(process.key)) {
        if child.ended.is_none() {
            children.push(child.key);
        } else if !child.is_reaped() {
            return None;
        }
    }
    (!children.is_empty()).then_some(children)
}

/// Who could end the wait, with the descriptor by which.
pub(super) fn helpers(facts: &Facts, world: &World, on: &On<'_>) -> Vec<(ProcessKey, Option<i32>)> {
    let holders =
        |channel, side| world.holders_of(channel, side).into_iter().map(|(key, fd)| (key, Some(fd))).collect();
    match on {
        On::Read(channel) => holders(channel, Side::Send),
        On::Write(channel) => holders(channel, Side::Receive),
        On::Child(children) => children.iter().map(|key| (*key, None)).collect(),
        On::Take(channel) | On::Message(channel, _) => {
            facts.knowers(world, channel).into_iter().map(|key| (key, None)).collect()
        }
        On::Receive(channel, half) | On::Room(channel, half) => {
            let holders = facts.sides.holders(world, channel, half.other()).unwrap_or_default();
            holders.into_iter().map(|(key, fd)| (key, Some(fd))).collect()
        }
    }
}

/// Who has done anything with it so far, and lives.
pub(super) fn users(world: &World, channel: &Channel) -> Vec<ProcessKey> {
    let all: BTreeSet<_> = channel.senders.keys().chain(channel.receivers.keys()).copied().collect();
    let lives = |key: &ProcessKey| world.processes.get(key).is_some_and(|process| process.ended.is_none());
    all.into_iter().filter(lives).collect()
}

/// A process waits if all its living threads do.
fn needs(facts: &Facts, world: &World, waiters: &[Waiter<'_>]) -> Needs {
    let mut needs: BTreeMap<ProcessKey, (usize, BTreeSet<ProcessKey>)> = BTreeMap::new();
    for waiter in waiters {
        let (threads, needed) = needs.entry(waiter.process.key).or_default();
        let helpers = helpers(facts, world, &waiter.on);
        // Somebody unknown holds the other end.
        if helpers.is_empty() {
            continue;
        }
        *threads += 1;
        needed.extend(helpers.into_iter().map(|(key, _)| key));
    }
    let alive = |key: &ProcessKey| {
        world.processes.get(key).map_or(0, |p| p.threads.values().filter(|thread| thread.is_alive()).count())
    };
    needs.into_iter().filter(|(key, (threads, _))| *threads == alive(key)).map(|(key, (_, set))| (key, set)).collect()
}

/// Tells of a knot; of a deadlock, by what key.
fn knot(facts: &Facts, world: &World, members: &[&Waiter<'_>], now: Nanos, found: &mut Found) -> Option<String> {
    let reads = members.iter().filter(|waiter| matches!(waiter.on, On::Read(_))).count();
    let writes = members.iter().filter(|waiter| matches!(waiter.on, On::Write(_))).count();
    let alone = members.len() == 1 || members.len() > reads + writes;
    if members.iter().any(|waiter| waiter.on.is_of_many()) {
        return Some(deadlock(facts, world, members, now, found));
    }
    if alone && writes == 0 {
        // The one whose writers never wrote is the cause; the others wait for what comes after.
        let cause = members.iter().min_by_key(|waiter| match waiter.on {
            On::Read(channel) => (u8::from(writers_wrote(world, channel, waiter)), waiter.wait.seq),
            _ => (2, waiter.wait.seq),
        });
        if let Some(waiter) = cause
            && let On::Read(channel) = waiter.on
        {
            no_end(facts, world, waiter, channel, now, found);
        }
    } else if alone && reads == 0 {
        for waiter in members {
            if let On::Write(channel) = waiter.on {
                full(facts, world, waiter, channel, now, found);
            }
        }
    } else {
        return Some(deadlock(facts, world, members, now, found));
    }
    None
}

fn writers_wrote(world: &World, channel: &Channel, waiter: &Waiter<'_>) -> bool {
    let others = world.holders_of(channel, Side::Send).into_iter().filter(|(key, _)| *key != waiter.process.key);
    others.into_iter().any(|(key, _)| channel.senders.contains_key(&key))
}

/// `sh 4710 (fd 4), which never wrote to it`
fn holder(world: &World, channel: &Channel, key: ProcessKey, fds: &[i32]) -> String {
    let fds: Vec<_> = fds.iter().map(|fd| format!("fd {fd}")).collect();
    let wrote = match channel.senders.get(&key) {
        None => "never wrote to it".to_owned(),
        Some(hold) => format!("wrote {} to it but has not closed it", bytes(hold.bytes)),
    };
    format!("{} ({}), which {wrote}", name_of(world, key), fds.join(", "))
}

/// Holders of a side, each with its descriptors.
pub(super) fn by_process(world: &World, channel: &Channel, side: Side) -> BTreeMap<ProcessKey, Vec<i32>> {
    let mut holders: BTreeMap<ProcessKey, Vec<i32>> = BTreeMap::new();
    for (key, fd) in world.holders_of(channel, side) {
        holders.entry(key).or_default().push(fd);
    }
    holders
}

/// The events that gave holders their descriptors.
pub(super) fn since(facts: &Facts, world: &World, holders: &BTreeMap<ProcessKey, Vec<i32>>) -> Vec<u64> {
    let mut seqs = Vec::new();
    for (key, fds) in holders {
        let pid = world.processes.get(key).map_or(0, |process| process.pid);
        seqs.extend(fds.iter().filter_map(|fd| facts.held_since(pid, *fd)));
    }
    seqs
}

pub(super) fn key(channel: &ChannelId, process: &Process) -> String {
    format!("{channel} {}", process.key.0)
}

pub(super) fn no_end(
    facts: &Facts,
    world: &World,
    waiter: &Waiter<'_>,
    channel: &Channel,
    now: Nanos,
    found: &mut Found,
) {
    found.report(key(&channel.id, waiter.process), || {
        let holders = by_process(world, channel, Side::Send);
        let told = holders.iter().map(|(key, fds)| holder(world, channel, *key, fds)).collect();
        let waits = duration(now.since(waiter.wait.since));
        let mut evidence = vec![waiter.wait.seq];
        evidence.extend(since(facts, world, &holders));
        let reader = name(waiter.process);
        Finding {
            rule: "no-end-of-file",
            t: now,
            what: format!(
                "No end-of-file for {reader} on {}: it has been BLOCKED in read for {waits}, and the write end is still \
                 open in {}.{}",
                channel.id,
                list(told),
                facts.caveat()
            ),
            advice: advice(world, waiter, channel, &holders),
            evidence,
        }
    });
}

/// Where to close the write end.
fn advice(world: &World, waiter: &Waiter<'_>, channel: &Channel, holders: &BTreeMap<ProcessKey, Vec<i32>>) -> String {
    let idle: Vec<_> = holders.keys().filter(|key| !channel.senders.contains_key(key)).collect();
    let place = match idle.as_slice() {
        [] => "Close it there after the last write, before waiting".to_owned(),
        [only] if **only == waiter.process.key => "Close the write end in the reader before it reads".to_owned(),
        all => {
            let names = all.iter().map(|key| name_of(world, **key)).collect();
            format!("Close the write end in {} right after fork", list(names))
        }
    };
    format!("{place}: a reader sees end-of-file only when every copy of the write end is closed.")
}

fn full(facts: &Facts, world: &World, waiter: &Waiter<'_>, channel: &Channel, now: Nanos, found: &mut Found) {
    found.report(key(&channel.id, waiter.process), || {
        let holders = by_process(world, channel, Side::Receive);
        let told = holders
            .keys()
            .map(|key| {
                let who = name_of(world, *key);
                if *key == waiter.process.key { format!("{who} itself") } else { format!("{who}, which waits for it") }
            })
            .collect();
        let mut evidence = vec![waiter.wait.seq];
        evidence.extend(since(facts, world, &holders));
        Finding {
            rule: "full-pipe",
            t: now,
            what: format!(
                "{} has been BLOCKED in write for {} on {}, which is full and which nobody reads: the read end is held \
                 by {}.{}",
                name(waiter.process),
                duration(now.since(waiter.wait.since)),
                channel.id,
                list(told),
                facts.caveat()
            ),
            advice:
                "Read from the pipe before (or while) writing more than it holds, and before waiting for the writer \
                     to end."
                    .to_owned(),
            evidence,
        }
    });
}
