//! A pipe on a machine with several CPUs, step by step: the tests' source of truth.
//!
//! Each CPU does one small thing at a time (half a sample, one page of a copy, an unlock), whichever CPU is due first;
//! so samples come out stable, with an owner inside its section, or torn, as in the kernel. Tasks are preempted
//! anywhere, with the mutex held too. The rules of the pipe are written a second time here, on purpose, in terms of the
//! memory the hooks would read.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code with known bounds")]

mod rules;

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
}

/// The address of a task as a sample shows it.
pub(super) fn task_word(task: usize) -> u64 {
    (task as u64 + 1) * 64
}
