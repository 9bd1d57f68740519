//! What a task does in the pipe: the kernel's `pipe_read` and `pipe_write` (fs/pipe.c) in small steps.

use super::{Machine, Part, Pc, SeenKind, Side, Slot, Then};

impl Machine {
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

    pub(super) fn run_task(&mut self, cpu: usize, task: usize) -> u64 {
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
