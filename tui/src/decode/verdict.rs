//! What becomes of calls that signals interrupt: EINTR, restarted, partial, none.
//!
//! The kernel's function returns a code (include/linux/errno.h); what it means depends on who is delivered
//! (`arch_do_signal_or_restart`, `handle_signal`). The first handler whose frame is set up decides; without one the call goes
//! on. What is seen afterwards (the result a handler's return restores, the next call) has the last word.
//!
//! Invariant: a call that is made again keeps its number. Tests: the table here; every blocking call in `live_verdicts.rs`.

use ipcscope_common::{
    call::{BIT_32, CallBegin, CallEnd, NUMBERS},
    signal::Deliver,
};
use syscalls::Sysno;

use crate::event::{Call, Interrupted as InterruptedCall, SignalId, Task, Verdict};

use super::{Decoder, call::On, names, tasks::Interrupted};

const EINTR: i64 = -4;
const ERESTARTSYS: i64 = -512;
const ERESTARTNOHAND: i64 = -514;
const RESTART_BLOCK: i64 = -516;
const SA_RESTART: u64 = 0x1000_0000;
const O_NONBLOCK: u32 = 0o4000;
/// restart_syscall(2): goes on with the call that was interrupted.
const RESTART_SYSCALL: i32 = 219;

/// What the table says (kernel/signal.c, arch/x86/kernel/signal.c).
fn table(ret: i64, is_handler: bool, sa_flags: u64) -> Verdict {
    match ret {
        EINTR => Verdict::Eintr,
        ERESTARTSYS if is_handler && sa_flags & SA_RESTART == 0 => Verdict::Eintr,
        ERESTARTNOHAND | RESTART_BLOCK if is_handler => Verdict::Eintr,
        _ => Verdict::Restarted,
    }
}

/// What a handler's return (rt_sigreturn(2)) puts back for the call that it interrupted: the result of one that failed, or the
/// number of one that is made again. Nothing that can be told if the handler has put something else there.
pub(super) fn restored(ret: i64, nr: i32) -> Option<Verdict> {
    match ret {
        EINTR => Some(Verdict::Eintr),
        _ if ret == i64::from(nr) || ret == i64::from(RESTART_SYSCALL) => Some(Verdict::Restarted),
        // Its own number is none of x86-64.
        _ if nr & BIT_32 != 0 && (0..NUMBERS as i64).contains(&ret) => Some(Verdict::Restarted),
        _ => None,
    }
}

fn is_interrupted(ret: i64) -> bool {
    ret == EINTR || (-516..=-512).contains(&ret)
}

impl Interrupted {
    /// Whether a call of that number can be this one again.
    pub fn is_again(&self, nr: i32) -> bool {
        self.ret != EINTR && nr == self.nr || nr & !BIT_32 == RESTART_SYSCALL && self.ret == RESTART_BLOCK
    }
}

/// Bytes asked for by a call that blocks until all are moved, so that fewer mean a signal came; from its arguments.
fn asked(nr: i32, args: &[u64; 4]) -> Option<u64> {
    let [_, _, third, fourth] = *args;
    match names::sysno(nr)? {
        Sysno::write | Sysno::pwrite64 | Sysno::sendto => Some(third),
        Sysno::sendfile => Some(fourth),
        _ => None,
    }
}

fn moves_all(nr: i32) -> bool {
    let call = names::sysno(nr);
    asked(nr, &[0; 4]).is_some() || matches!(call, Some(Sysno::writev | Sysno::pwritev | Sysno::pwritev2))
}

impl Decoder {
    /// A signal is delivered: the call it interrupts, and what becomes of that.
    pub(super) fn interrupt(
        &mut self,
        task: Task,
        id: SignalId,
        is_handler: bool,
        record: &Deliver,
    ) -> (Option<InterruptedCall>, Verdict) {
        let nothing = (None, Verdict::None);
        let Some(thread) = self.tasks.get_mut(task.tid) else { return nothing };
        if record.nr < 0 {
            return nothing;
        }
        if let Some(call) = thread.interrupted.as_mut().filter(|call| call.ret == record.ax && !call.decided) {
            call.by.push(id);
            call.decided = is_handler;
            let verdict = table(call.ret, is_handler, record.sa_flags);
            let call = call.clone();
            let channel = self.channel_of_interrupted(&call.on);
            return (Some(InterruptedCall { op: Some(call.op), syscall: names::syscall(call.nr), channel }), verdict);
        }
        // It returned what it had done so far.
        let transfer = thread.last_transfer.filter(|(_, nr, _, ret)| *nr == record.nr && *ret == record.ax);
        let asked = transfer.and_then(|(_, _, asked, _)| asked).or_else(|| asked(record.nr, &record.args));
        let is_partial = moves_all(record.nr)
            && record.file_flags & O_NONBLOCK == 0
            && record.ax > 0
            && asked.is_some_and(|asked| (record.ax as u64) < asked);
        if !is_partial {
            return nothing;
        }
        let blocked = thread.last_block.filter(|(op, nr)| *nr == record.nr && thread.call.is_some_and(|c| c.op == *op));
        let op = transfer.map(|(op, ..)| op).or(blocked.map(|(op, _)| op));
        (Some(InterruptedCall { op, syscall: names::syscall(record.nr), channel: None }), Verdict::Partial)
    }

    /// The first call after an interruption begins: is it the same again?
    pub(super) fn call_begin(&mut self, record: &CallBegin) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        self.tasks.resume(task.tid, record.entered, |interrupted| interrupted.is_again(record.nr));
        let Some(thread) = self.tasks.get_mut(task.tid) else { return };
        if thread.call.is_some_and(|call| call.entered == record.entered) {
            return;
        }
        // The program does something else: the interrupted call has failed, whatever was expected.
        if thread.interrupted.as_ref().is_some_and(|call| !call.failed) {
            self.call_failed(header.time, task);
        }
        if let Some(thread) = self.tasks.get_mut(task.tid) {
            thread.interrupted = None;
        }
    }

    /// A call without a family ended: interrupted, back from a handler, a child reaped, over after a restart.
    pub(super) fn call_end(&mut self, record: &CallEnd) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        if self.tasks.ensure(task.tid, task.pid).held {
            return;
        }
        if names::sysno(record.nr) == Some(Sysno::rt_sigreturn) {
            self.handled(record);
            return;
        }
        let entered = if record.entered == 0 { header.time } else { record.entered };
        self.tasks.resume(task.tid, entered, |interrupted| interrupted.is_again(record.nr));
        let op = self.tasks.op(task.tid, task.pid, entered);
        let Some(thread) = self.tasks.get_mut(task.tid) else { return };
        let before = thread.interrupted.take().filter(|call| call.op == op);
        if !is_interrupted(record.ret) {
            if let Some(Interrupted { on: On::Futex(futex), nr, entered, restarts, by, .. }) = before {
                let call = self.call(task, op, nr, (entered, header.time));
                let call = Call { restarts, interrupted_by: by, ..call };
                self.futex_restarted(header.time, task, &futex, (record.ret, call));
            }
            self.reaped(record);
            return;
        }
        thread.interrupted = Some(match before {
            Some(before) => Interrupted { ret: record.ret, decided: false, ..before },
            None => Interrupted {
                op,
                entered: record.entered,
                nr: record.nr,
                ret: record.ret,
                restarts: 0,
                by: Vec::new(),
                on: On::Nothing,
                decided: false,
                failed: false,
            },
        });
    }

    /// Records are missing: what was expected may have happened unseen.
    pub(super) fn calls_lost(&mut self) {
        for thread in self.tasks.all_mut() {
            thread.interrupted = thread.interrupted.take().filter(|call| !matches!(call.on, On::Nothing));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_kernel_s() {
        use Verdict::{Eintr, Restarted};
        for (ret, handler, restart, none) in [
            (-512, Eintr, Restarted, Restarted),
            (-513, Restarted, Restarted, Restarted),
            (-514, Eintr, Eintr, Restarted),
            (-516, Eintr, Eintr, Restarted),
            (-4, Eintr, Eintr, Eintr),
        ] {
            assert_eq!(table(ret, true, 0), handler, "{ret}");
            assert_eq!(table(ret, true, SA_RESTART), restart, "{ret}");
            assert_eq!(table(ret, false, 0), none, "{ret}");
        }
    }

    #[test]
    fn a_handler_s_return_has_the_last_word() {
        let read = libc::SYS_read as i32;
        assert_eq!(restored(-4, read), Some(Verdict::Eintr));
        assert_eq!(restored(0, read), Some(Verdict::Restarted));
        assert_eq!(restored(-9, read), None);
    }

    #[test]
    fn only_calls_that_move_all_are_cut_short() {
        assert_eq!(asked(libc::SYS_write as i32, &[0, 0, 7, 8]), Some(7));
        assert_eq!(asked(libc::SYS_sendfile as i32, &[0, 0, 7, 8]), Some(8));
        assert_eq!(asked(libc::SYS_read as i32, &[0, 0, 7, 8]), None);
        assert!(moves_all(libc::SYS_writev as i32) && !moves_all(libc::SYS_read as i32) && !moves_all(-1));
    }
}
