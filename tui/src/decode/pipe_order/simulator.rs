//! A pipe on a machine with several CPUs, step by step: the tests' source of truth.
//!
//! Each CPU does one small thing at a time (half a sample, one page of a copy, an unlock), whichever CPU is due first;
//! so samples come out stable, with an owner inside its section, or torn, as in the kernel. Tasks are preempted
//! anywhere, with the mutex held too. The rules of the pipe are written a second time here, on purpose, in terms of the
//! memory the hooks would read.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code with known bounds")]

use std::collections::{BTreeMap, VecDeque};

use super::{Buffer, CallId, Layout, Part, Position, Sample, Side};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub(super) seed: u64,
    pub(super) cpus: usize,
    pub(super) writers: usize,
    pub(super) readers: usize,
    pub(super) most_written: u64,
    pub(super) most_read: u64,
    pub(super) writes_each: u32,
    pub(super) slots: u32,
    pub(super) packets: bool,
    /// One in so many small steps is preempted.
    pub(super) preempt: u64,
    /// Longest pause between two calls (ns).
    pub(super) think: u64,
    /// The kernel tells who finds the mutex taken.
    pub(super) contention: bool,
    /// Some tasks do not block, and some sleepers are interrupted.
    pub(super) rude: bool,
    /// Only the first writer and reader run before this time (ns).
    pub(super) others_from: u64,
}

/// What a hook saw.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) time: u64,
    pub(super) call: CallId,
    pub(super) task: usize,
    pub(super) kind: SeenKind,
    pub(super) sample: Sample,
}

/// The kinds of hooks.
#[derive(Clone, Debug)]
pub(super) enum SeenKind {
    /// With the layout, if the mutex was free.
    Enter {
        side: Side,
        requested: u64,
        layout: Option<Layout>,
    },
    Exit {
        ret: i64,
    },
    Out {
        asleep: bool,
    },
    In,
    Contends,
}

/// A run: what was seen, in the order of time, and what happened.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) seen: Vec<Seen>,
    pub(super) reads: BTreeMap<CallId, (u64, Vec<Part>)>,
    /// Bytes that reads have cut off packets.
    pub(super) discarded: BTreeMap<CallId, u64>,
    pub(super) writes: BTreeMap<CallId, u64>,
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Pc {
    Think,
    Lock,
    Merge,
    NewPage,
    FillPage,
    Copy,
    Unlock { then: Then },
    Check,
    Sleep,
    Woken,
    Return,
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Wait,
    Return,
}

#[derive(Debug)]
struct Task {
    side: Side,
    pc: Pc,
    call: CallId,
    in_call: bool,
    total: u64,
    left: u64,
    ret: i64,
    calls_left: u32,
    nonblocking: bool,
    waiting: bool,
    woken: bool,
    interrupted: bool,
    had_mutex: bool,
    contends: bool,
    starts: u64,
}

#[derive(Debug)]
enum Doing {
    Run,
    Sample { step: u8, seen: Seen },
    Idle,
}

struct Cpu {
    at: u64,
    task: Option<usize>,
    doing: Doing,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    offset: u32,
    len: u32,
    can_merge: bool,
    packet: bool,
}

struct Machine {
    load: Workload,
    random: Random,
    tasks: Vec<Task>,
    cpus: Vec<Cpu>,
    runnable: VecDeque<usize>,
    owner: Option<usize>,
    head: u32,
    tail: u32,
    ring: Vec<Slot>,
    bytes: VecDeque<(CallId, u64)>,
    put: u64,
    got: u64,
    next_call: CallId,
    writers_left: usize,
    run: Run,
}

/// Runs a workload to its end.
pub(super) fn simulate(load: Workload) -> Run {
    let mut random = Random(load.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for _ in 0..8 {
        random.next();
    }
    let start = random.below(1 << 32) as u32;
    let mut tasks = Vec::new();
    for index in 0..load.writers + load.readers {
        let writer = index < load.writers;
        let first = index == 0 || index == load.writers;
        tasks.push(Task {
            side: if writer { Side::Write } else { Side::Read },
            pc: Pc::Think,
            call: 0,
            in_call: false,
            total: 0,
            left: 0,
            ret: 0,
            calls_left: load.writes_each,
            nonblocking: load.rude && random.one_in(4),
            waiting: false,
            woken: false,
            interrupted: false,
            had_mutex: false,
            contends: false,
            starts: if first { 0 } else { load.others_from },
        });
    }
    let cpus = (0..load.cpus).map(|cpu| Cpu { at: cpu as u64, task: None, doing: Doing::Idle }).collect();
    let mut machine = Machine {
        random,
        runnable: (0..tasks.len()).collect(),
        tasks,
        cpus,
        owner: None,
        head: start,
        tail: start,
        ring: vec![Slot::default(); load.slots.next_power_of_two() as usize],
        bytes: VecDeque::new(),
        put: 0,
        got: 0,
        next_call: 1,
        writers_left: load.writers,
        run: Run::default(),
        load,
    };
    while machine.tasks.iter().any(|task| task.pc != Pc::Finished) {
        machine.step();
    }
    machine.run.seen.sort_by_key(|seen| seen.time);
    machine.run
}

impl Machine {
    fn step(&mut self) {
        let cpu = (0..self.cpus.len()).min_by_key(|&cpu| self.cpus[cpu].at).unwrap();
        let cost = match std::mem::replace(&mut self.cpus[cpu].doing, Doing::Run) {
            Doing::Idle => self.pick(cpu),
            Doing::Sample { step, seen } => self.sample(cpu, step, seen),
            Doing::Run => {
                let task = self.cpus[cpu].task.unwrap();
                if self.random.one_in(self.load.preempt) && !self.tasks[task].waiting {
                    self.leave(cpu, task, false)
                } else {
                    self.run_task(cpu, task)
                }
            }
        };
        // Now and then the machine itself is away: an interrupt, a stolen CPU.
        let away = if self.random.one_in(3000) { self.random.below(20_000) } else { 0 };
        self.cpus[cpu].at += cost.max(1) + away;
    }

    fn pick(&mut self, cpu: usize) -> u64 {
        self.cpus[cpu].doing = Doing::Idle;
        let Some(task) = self.runnable.pop_front() else {
            return 300;
        };
        if self.tasks[task].starts > self.cpus[cpu].at {
            self.runnable.push_back(task);
            return 100;
        }
        self.cpus[cpu].task = Some(task);
        self.cpus[cpu].doing = Doing::Run;
        if self.tasks[task].in_call {
            self.hook(cpu, task, SeenKind::In);
        }
        self.random.between(300, 1500)
    }

    fn leave(&mut self, cpu: usize, task: usize, asleep: bool) -> u64 {
        if self.tasks[task].in_call {
            self.hook(cpu, task, SeenKind::Out { asleep });
        } else {
            self.gone(cpu, task);
        }
        100
    }

    /// The task is off its CPU now.
    fn gone(&mut self, cpu: usize, task: usize) {
        self.cpus[cpu].task = None;
        self.cpus[cpu].doing = Doing::Idle;
        let state = &mut self.tasks[task];
        if state.pc == Pc::Finished {
            return;
        }
        if !state.waiting || state.woken {
            state.waiting = false;
            self.runnable.push_back(task);
        }
    }

    fn hook(&mut self, cpu: usize, task: usize, kind: SeenKind) {
        let call = self.tasks[task].call;
        let seen = Seen { time: 0, call, task, kind, sample: Sample::default() };
        self.cpus[cpu].doing = Doing::Sample { step: 0, seen };
    }

    fn slot(&mut self, at: u32) -> &mut Slot {
        let mask = self.ring.len() as u32 - 1;
        &mut self.ring[(at & mask) as usize]
    }

    fn position(&mut self) -> Position {
        let newest = *self.slot(self.head.wrapping_sub(1));
        let oldest = *self.slot(self.tail);
        let empty = self.head == self.tail;
        Position {
            head: self.head,
            tail: self.tail,
            write_end: newest.offset + newest.len,
            read_offset: if empty { 0 } else { oldest.offset },
        }
    }

    fn owner_word(&self) -> u64 {
        self.owner.map_or(0, task_word)
    }

    fn sample(&mut self, cpu: usize, step: u8, mut seen: Seen) -> u64 {
        match step {
            0 => seen.sample.before = self.position(),
            1 => seen.sample.owner_before = self.owner_word(),
            2 => {
                seen.time = self.cpus[cpu].at;
                let free = self.owner.is_none();
                if let SeenKind::Enter { layout, .. } = &mut seen.kind {
                    *layout = free.then(|| self.layout());
                }
            }
            3 => seen.sample.owner_after = self.owner_word(),
            _ => {
                seen.sample.after = self.position();
                let task = seen.task;
                match seen.kind {
                    SeenKind::Out { .. } => self.gone(cpu, task),
                    SeenKind::Exit { .. } => self.tasks[task].in_call = false,
                    _ => {}
                }
                self.run.seen.push(seen);
                return 30;
            }
        }
        self.cpus[cpu].doing = Doing::Sample { step: step + 1, seen };
        self.random.between(15, 60)
    }

    fn layout(&mut self) -> Layout {
        let used = self.head.wrapping_sub(self.tail);
        let buffers = (0..used).map(|at| {
            let slot = *self.slot(self.tail.wrapping_add(at));
            Buffer { offset: slot.offset, len: slot.len, can_merge: slot.can_merge, packet: slot.packet }
        });
        Layout { buffers: buffers.collect(), head: self.head, tail: self.tail }
    }

    fn full(&self) -> bool {
        self.head.wrapping_sub(self.tail) >= self.load.slots
    }

    fn wake(&mut self, side: Side) {
        for task in 0..self.tasks.len() {
            if self.tasks[task].side == side && self.tasks[task].waiting && !self.tasks[task].woken {
                self.tasks[task].woken = true;
                if !self.cpus.iter().any(|cpu| cpu.task == Some(task)) {
                    self.tasks[task].waiting = false;
                    self.runnable.push_back(task);
                }
            }
        }
    }

    fn end_call(&mut self, cpu: usize, task: usize) {
        let ret = self.tasks[task].ret;
        self.tasks[task].pc = Pc::Think;
        self.hook(cpu, task, SeenKind::Exit { ret });
    }

    fn begin_call(&mut self, cpu: usize, task: usize) -> u64 {
        let idle = self.random.between(1000, self.load.think);
        let state = &mut self.tasks[task];
        if state.side == Side::Write {
            if state.calls_left == 0 {
                state.pc = Pc::Finished;
                self.writers_left -= 1;
                self.gone(cpu, task);
                if self.writers_left == 0 {
                    self.wake(Side::Read);
                }
                return 100;
            }
            state.calls_left -= 1;
            state.total = self.random.between(1, self.load.most_written);
        } else {
            state.total = self.random.between(self.load.most_read / 2 + 1, self.load.most_read);
        }
        state.left = state.total;
        state.ret = 0;
        state.call = self.next_call;
        self.next_call += 1;
        state.in_call = true;
        state.had_mutex = false;
        state.interrupted = false;
        state.pc = Pc::Lock;
        let kind = SeenKind::Enter { side: state.side, requested: state.total, layout: None };
        self.hook(cpu, task, kind);
        idle
    }

    fn run_task(&mut self, cpu: usize, task: usize) -> u64 {
        match self.tasks[task].pc {
            Pc::Finished => {
                self.gone(cpu, task);
                10
            }
            Pc::Think => self.begin_call(cpu, task),
            Pc::Lock => {
                if self.owner.is_some() {
                    if self.load.contention && !std::mem::replace(&mut self.tasks[task].contends, true) {
                        self.hook(cpu, task, SeenKind::Contends);
                        return 40;
                    }
                    // Spins, or lets others run.
                    return if self.random.one_in(20) { self.leave(cpu, task, false) } else { 40 };
                }
                self.owner = Some(task);
                let state = &mut self.tasks[task];
                let first = !std::mem::replace(&mut state.had_mutex, true);
                state.contends = false;
                state.pc = match state.side {
                    Side::Read => Pc::Copy,
                    Side::Write if first => Pc::Merge,
                    Side::Write => Pc::NewPage,
                };
                60
            }
            Pc::Merge => {
                let odd = (self.tasks[task].total % 4096) as u32;
                let used = self.head != self.tail;
                let newest = *self.slot(self.head.wrapping_sub(1));
                self.tasks[task].pc = Pc::NewPage;
                if used && odd > 0 && newest.can_merge && newest.offset + newest.len + odd <= 4096 {
                    self.slot(self.head.wrapping_sub(1)).len += odd;
                    self.wrote(task, u64::from(odd));
                    return self.random.between(60, 400);
                }
                10
            }
            Pc::NewPage => {
                if self.tasks[task].left == 0 {
                    self.tasks[task].pc = Pc::Unlock { then: Then::Return };
                } else if self.full() {
                    self.tasks[task].pc = Pc::Unlock { then: Then::Wait };
                } else {
                    // The new slot is visible before its length is.
                    self.head = self.head.wrapping_add(1);
                    self.tasks[task].pc = Pc::FillPage;
                }
                self.random.between(20, 200)
            }
            Pc::FillPage => {
                let len = self.tasks[task].left.min(4096) as u32;
                let packet = self.load.packets;
                *self.slot(self.head.wrapping_sub(1)) = Slot { offset: 0, len, can_merge: !packet, packet };
                self.wrote(task, u64::from(len));
                self.tasks[task].pc = Pc::NewPage;
                self.random.between(50, 500)
            }
            Pc::Copy => self.copy(task),
            Pc::Unlock { then } => {
                self.owner = None;
                let other = if self.tasks[task].side == Side::Read { Side::Write } else { Side::Read };
                self.wake(other);
                let state = &mut self.tasks[task];
                state.pc = match then {
                    Then::Return => Pc::Return,
                    Then::Wait if state.nonblocking => {
                        if state.ret == 0 {
                            state.ret = -11;
                        }
                        Pc::Return
                    }
                    Then::Wait if state.interrupted => {
                        if state.ret == 0 {
                            state.ret = -512;
                        }
                        Pc::Return
                    }
                    Then::Wait => Pc::Check,
                };
                self.random.between(50, 300)
            }
            Pc::Check => {
                let ready = match self.tasks[task].side {
                    Side::Read => self.head != self.tail || self.writers_left == 0,
                    Side::Write => !self.full(),
                };
                let state = &mut self.tasks[task];
                if ready {
                    state.pc = Pc::Lock;
                } else {
                    state.waiting = true;
                    state.woken = self.load.rude && self.random.one_in(50);
                    state.interrupted |= state.woken;
                    state.pc = Pc::Sleep;
                }
                30
            }
            Pc::Sleep => {
                self.tasks[task].pc = Pc::Woken;
                self.leave(cpu, task, true)
            }
            Pc::Woken => {
                self.tasks[task].woken = false;
                let interrupted = self.tasks[task].interrupted;
                self.tasks[task].pc = if interrupted { Pc::Lock } else { Pc::Check };
                50
            }
            Pc::Return => {
                self.end_call(cpu, task);
                self.random.between(50, 400)
            }
        }
    }

    fn wrote(&mut self, task: usize, bytes: u64) {
        let state = &mut self.tasks[task];
        if state.ret == 0 {
            self.run.writes.insert(state.call, self.put);
        }
        state.ret += bytes as i64;
        state.left -= bytes;
        self.put += bytes;
        self.bytes.push_back((state.call, bytes));
    }

    fn take(&mut self, mut bytes: u64) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        self.got += bytes;
        while bytes > 0 {
            let (write, there) = self.bytes.front_mut().unwrap();
            let run = bytes.min(*there);
            match parts.last_mut() {
                Some(last) if last.write == *write => last.bytes += run,
                _ => parts.push(Part { write: *write, bytes: run }),
            }
            *there -= run;
            bytes -= run;
            if *there == 0 {
                self.bytes.pop_front();
            }
        }
        parts
    }

    fn copy(&mut self, task: usize) -> u64 {
        if self.head == self.tail {
            let then = if self.tasks[task].ret == 0 && self.writers_left > 0 { Then::Wait } else { Then::Return };
            if self.writers_left == 0 && self.tasks[task].ret == 0 {
                self.tasks[task].calls_left = 0;
                self.tasks[task].nonblocking = false;
                self.tasks[task].side = Side::Read;
                self.owner = None;
                self.tasks[task].pc = Pc::Return;
                // End of file: the task ends with this call.
                self.tasks[task].total = 0;
                return self.finish_reader(task);
            }
            self.tasks[task].pc = Pc::Unlock { then };
            return 30;
        }
        let tail = self.tail;
        let left = self.tasks[task].left;
        let slot = self.slot(tail);
        let run = left.min(u64::from(slot.len));
        slot.offset += run as u32;
        slot.len -= run as u32;
        let mut gone = 0;
        let packet = slot.packet;
        if packet {
            gone = u64::from(slot.len);
            slot.len = 0;
        }
        if slot.len == 0 {
            self.tail = tail.wrapping_add(1);
        }
        let place = self.got;
        let parts = self.take(run);
        self.take(gone);
        self.run.discarded.insert(self.tasks[task].call, gone);
        let state = &mut self.tasks[task];
        let entry = self.run.reads.entry(state.call).or_insert_with(|| (place, Vec::new()));
        for part in parts {
            match entry.1.last_mut() {
                Some(last) if last.write == part.write => last.bytes += part.bytes,
                _ => entry.1.push(part),
            }
        }
        state.ret += run as i64;
        state.left -= run;
        if state.left == 0 || packet {
            state.pc = Pc::Unlock { then: Then::Return };
        }
        self.random.between(60, 500)
    }

    fn finish_reader(&mut self, task: usize) -> u64 {
        self.tasks[task].pc = Pc::Finished;
        10
    }
}

/// The address of a task as a sample shows it.
pub(super) fn task_word(task: usize) -> u64 {
    (task as u64 + 1) * 64
}
