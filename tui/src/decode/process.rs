//! Processes and threads: creation, program, name, end.

use ipcscope_common::{call::CallEnd, process};

use crate::event::{Comm, Exec, Exit, Kind, SignalSet, StateChange, Task, ThreadState, text};

use super::{Decoder, names, tasks::Thread};

/// `CLONE_THREAD`.
const CLONE_THREAD: u64 = 0x10000;
/// `WCOREFLAG`: a core was dumped.
const CORE: i32 = 0x80;

fn ns_pid(seen: u32, own: u32) -> Option<u32> {
    (own != 0 && own != seen).then_some(own)
}

impl Decoder {
    pub(super) fn new_task(&mut self, record: &process::NewTask) {
        let header = &record.header;
        let child = Task { pid: header.tgid, tid: header.tid };
        let is_thread = record.flags & CLONE_THREAD != 0;
        let parent = Task { pid: record.parent_tgid, tid: record.parent_tid };
        let (held, parent_files, parent_ns) =
            self.tasks.get(parent.tid).map_or((false, 0, None), |p| (p.held, p.files, p.ns_pid));
        let mut thread = Thread::new(child);
        thread.comm = Comm::new(&record.comm);
        thread.files = record.files;
        thread.held = held;
        thread.ns_pid = if is_thread { parent_ns } else { ns_pid(child.pid, record.ns_tgid) };
        thread.mask = Some(record.blocked);
        thread.state = Some(ThreadState::New);
        thread.since = header.time;
        self.tasks.add(thread);
        if held {
            return;
        }
        self.push(header.time, parent, Kind::Fork { child, thread: is_thread });
        self.inherit(header.time, child, parent, parent_files, record.files);
        self.space_inherited(header.time, child, parent, record.flags);
        self.push(header.time, child, Kind::State(StateChange::to(None, ThreadState::New)));
    }

    pub(super) fn found(&mut self, record: &process::Found) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let mut thread = Thread::new(task);
        thread.comm = Comm::new(&record.comm);
        thread.files = record.files;
        thread.held = record.held != 0;
        thread.ns_pid = ns_pid(task.pid, record.ns_tgid);
        thread.mask = Some(record.blocked);
        self.tasks.add(thread);
        self.channels.use_table(record.files);
        if record.held != 0 {
            return;
        }
        if task.pid == task.tid {
            self.tell_dispositions(header.time, task, SignalSet(record.ignored), SignalSet(record.caught));
        }
        self.tell_mask(header.time, task, record.blocked);
        self.found_asleep(record, task);
    }

    pub(super) fn exec(&mut self, record: &process::Exec) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        if record.old_tid != header.tid {
            // Another thread than the leader called exec: it takes the leader's id over; the leader is gone.
            self.tasks.take_over(record.old_tid, task);
        }
        let thread = self.tasks.ensure(task.tid, task.pid);
        thread.comm = Comm::new(&record.comm);
        thread.call = None;
        thread.interrupted = None;
        thread.mask = Some(record.blocked);
        let frames = std::mem::take(&mut thread.handlers);
        let first = std::mem::take(&mut thread.held);
        let before = std::mem::replace(&mut thread.files, record.files);
        self.tell_dropped(task.pid, Some("exec"));
        if let Some(process) = self.tasks.process(task.pid) {
            // SIGKILL ended the other threads, but not the process.
            process.killed = false;
        }
        let exe = record.exe.get(..record.exe_len as usize).unwrap_or_default();
        let kept = (record.args_len as usize).min(record.args.len());
        let args = record.args.get(..kept).unwrap_or_default();
        let args = args.strip_suffix(&[0]).unwrap_or(args);
        let argv = args.split(|byte| *byte == 0).map(text::escape).collect();
        let cut = record.args_len as usize > record.args.len();
        self.push(header.time, task, Kind::Exec(Box::new(Exec { exe: text::escape(exe), argv, cut })));
        self.abandon(header.time, task, frames);
        self.tell_dispositions(header.time, task, SignalSet(record.ignored), SignalSet::default());
        self.tell_mask(header.time, task, record.blocked);
        self.table_after_exec(header.time, task, before, record.files, first);
        self.space_left(header.time, task);
        if first {
            // Until now nobody was told of this thread: it runs, or it could not exec.
            let state = self.tasks.get(task.tid).and_then(|thread| thread.state).unwrap_or(ThreadState::Running);
            self.push(header.time, task, Kind::State(StateChange::to(None, state)));
        }
    }

    pub(super) fn exit(&mut self, record: &process::Exit) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let thread = self.tasks.ensure(task.tid, task.pid);
        if thread.held {
            return;
        }
        thread.ended = true;
        let files = std::mem::take(&mut thread.files);
        self.unfinished(header.time, task);
        self.udp_ended(task.tid);
        // Two threads that end at once both find nobody left: each is counted down some time before it tells.
        let last = record.last != 0 && (self.has_lost_threads || !self.tasks.has_living_threads(task.pid));
        let signal = record.code & 0x7f;
        let exit = Exit {
            thread: !last,
            code: (signal == 0).then_some(record.code >> 8 & 0xff),
            signal: (signal != 0).then(|| names::signal(signal)),
            core: record.code & CORE != 0,
        };
        self.push(header.time, task, Kind::Exit(Box::new(exit)));
        self.leave_table(header.time, task, files);
        if last {
            self.space_left(header.time, task);
        }
        if last && let Some(process) = self.tasks.process(task.pid) {
            process.ended = true;
        }
        let killed = signal == libc::SIGKILL || self.tasks.process(task.pid).is_some_and(|process| process.killed);
        self.drop_shown(header.time, task, if killed { "exit" } else { "tracer" });
        self.discard_at_exit(header.time, task, last);
    }

    /// A call reaped a child, if it is wait4(2) or waitid(2); the kernel frees the child's thread some time later.
    pub(super) fn reaped(&mut self, record: &CallEnd) {
        let child = match names::sysno(record.nr) {
            Some(syscalls::Sysno::wait4) if record.ret > 0 => record.ret as u32,
            Some(syscalls::Sysno::waitid) if record.ret == 0 => record.args[2] as u32,
            Some(call @ (syscalls::Sysno::timer_delete | syscalls::Sysno::timer_settime)) if record.ret == 0 => {
                let deleted = call == syscalls::Sysno::timer_delete;
                let what = if deleted { "timer deleted" } else { "timer set anew" };
                self.timer_changed(record.header.tgid, record.args[0] as u32, what);
                return;
            }
            _ => return,
        };
        // The number is the caller's own; in another pid namespace it says nothing here.
        let caller_ns = self.tasks.get(record.header.tid).and_then(|t| t.ns_pid);
        if caller_ns.is_none() {
            self.dead(record.header.time, child);
        }
    }

    pub(super) fn freed(&mut self, record: &process::Freed) {
        let tid = record.header.tid;
        if self.tasks.get_mut(tid).is_some_and(|thread| std::mem::take(&mut thread.succeeds)) {
            // The leader whose id this one took over when it called exec.
            return;
        }
        self.dead(record.header.time, tid);
        self.tasks.remove(tid);
    }

    /// A zombie has been reaped.
    fn dead(&mut self, time: u64, tid: u32) {
        if self.tasks.get(tid).is_some_and(|t| t.state == Some(ThreadState::Zombie)) {
            self.set_state(time, tid, StateChange::to(None, ThreadState::Dead));
        }
    }

    pub(super) fn rename(&mut self, record: &process::Rename) {
        if let Some(thread) = self.tasks.get_mut(record.header.tid) {
            thread.comm = Comm::new(&record.comm);
        }
    }
}

#[cfg(test)]
mod tests {
    use ipcscope_common::{Header, process};
    use zerocopy::FromZeros as _;

    use crate::event::{Kind, Task, ThreadState};

    use super::super::{Decoder, tasks::Thread};

    const LEADER: u32 = 10;
    const OTHER: u32 = 11;

    fn header(tid: u32) -> Header {
        Header { tid, tgid: LEADER, ..Header::new_zeroed() }
    }

    fn exec(decoder: &mut Decoder) {
        let mut record = process::Exec::new_zeroed();
        (record.header, record.old_tid) = (header(LEADER), OTHER);
        decoder.exec(&record);
    }

    fn freed(decoder: &mut Decoder) {
        decoder.freed(&process::Freed { header: header(LEADER) });
    }

    fn decoder() -> Decoder {
        let mut decoder = Decoder::default();
        for tid in [LEADER, OTHER] {
            let mut thread = Thread::new(Task { pid: LEADER, tid });
            thread.state = Some(ThreadState::Running);
            decoder.tasks.add(thread);
        }
        decoder
    }

    #[test]
    fn a_process_ends_once_though_two_of_its_threads_end_at_once() {
        let mut decoder = decoder();
        let mut out = Vec::new();
        for tid in [OTHER, LEADER] {
            let mut record = process::Exit::new_zeroed();
            (record.header, record.last) = (header(LEADER), 1);
            record.header.tid = tid;
            decoder.exit(&record);
        }
        decoder.finish(&mut out);
        let ends: Vec<bool> = out
            .iter()
            .filter_map(|event| match &event.kind {
                Kind::Exit(exit) => Some(exit.thread),
                _ => None,
            })
            .collect();
        assert_eq!(ends, [true, false]);
    }

    /// A thread executes; the kernel frees the leader whose id it takes over before or after that.
    #[test]
    fn a_leader_freed_late_does_not_take_its_successor_along() {
        let mut late = decoder();
        exec(&mut late);
        freed(&mut late);
        assert!(late.tasks.get(LEADER).is_some() && late.tasks.get(OTHER).is_none());
        freed(&mut late);
        assert!(late.tasks.get(LEADER).is_none());
        let mut early = decoder();
        freed(&mut early);
        exec(&mut early);
        freed(&mut early);
        assert!(early.tasks.get(LEADER).is_none());
    }
}
