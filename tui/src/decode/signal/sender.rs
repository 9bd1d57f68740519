//! Who sent a signal, and to how many at once.

use ipcscope_common::signal::{self as wire, info};
use syscalls::Sysno;

use super::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGVTALRM, SIGWINCH,
};
use crate::{
    decode::{Decoder, names},
    event::{OpId, Sender, SenderKind, SignalValue, text},
};

/// A terminal signals the members of a group one after the other within that time, ns.
const TERMINAL_SPAN: u64 = 2_000_000;

/// What several instances have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Multicast {
    /// The members share one number.
    pub number: Option<u64>,
    /// The group.
    pub group: Option<u32>,
    /// To everybody.
    pub broadcast: bool,
}

/// One act of sending to several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A call.
    Call(OpId),
    /// The kernel, for a terminal or of its own: the signal, the group, the thread that did it.
    Kernel(i32, u32, u32),
}

/// Whom a SIGHUP or SIGCONT of the kernel's own is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hangup {
    /// A session's leader, whose terminal went away (`tty_signal_session_leader`).
    Leader,
    /// The foreground group of a terminal whose session's leader ended (`disassociate_ctty`).
    Foreground,
    /// A stopped group that nobody is left to continue (`kill_orphaned_pgrp`).
    Orphans,
}

fn hangup(record: &wire::Generate) -> Hangup {
    let session = record.origin;
    if session == 0 || record.header.tgid == session {
        Hangup::Foreground
    } else if record.target_tgid == session {
        Hangup::Leader
    } else {
        Hangup::Orphans
    }
}

fn tty(name: &[u8; 16]) -> Option<String> {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    (!name.is_empty()).then(|| text::escape(name))
}

/// Whether a call sends signals on purpose.
fn sends(nr: i32) -> bool {
    matches!(
        names::sysno(nr),
        Some(
            Sysno::kill
                | Sysno::tkill
                | Sysno::tgkill
                | Sysno::rt_sigqueueinfo
                | Sysno::rt_tgsigqueueinfo
                | Sysno::pidfd_send_signal
        )
    )
}

/// Who sent it: the current thread of the kernel's hook need not be the one (kernel/signal.c).
pub fn sender(record: &wire::Generate) -> Sender {
    let current = Some(record.header.tgid);
    let of = |kind| Sender { kind, pid: None, tty: None };
    let by = |kind| Sender { kind, pid: current, tty: None };
    let terminal = matches!(record.signo, SIGHUP | SIGINT | SIGQUIT | SIGCONT | SIGTSTP | SIGTTIN | SIGTTOU | SIGWINCH);
    match (record.info, record.code) {
        (info::FULL, 1..=6) if record.signo == SIGCHLD => by(SenderKind::Child),
        (info::FULL, -2) => of(SenderKind::Timer),
        (info::FULL, code) if code <= 0 => by(SenderKind::Process),
        // From 7.2 on kill(2) gives no information.
        (info::NONE, _) if sends(record.nr) => by(SenderKind::Process),
        (info::KERNEL, _) if matches!(record.signo, SIGHUP | SIGCONT) && hangup(record) == Hangup::Orphans => {
            of(SenderKind::Kernel)
        }
        (info::KERNEL, _) if terminal => Sender { kind: SenderKind::Terminal, pid: None, tty: tty(&record.tty) },
        (info::KERNEL, _) if matches!(record.signo, SIGALRM | SIGVTALRM | SIGPROF) => of(SenderKind::Timer),
        _ => of(SenderKind::Kernel),
    }
}

/// What came along: a number with those that can carry one, the address with faults (sigaction(2)).
pub fn value(signo: i32, info: u32, code: i32, value: u64) -> Option<SignalValue> {
    match (signo, code) {
        _ if info != info::FULL => None,
        // SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV by a fault; SI_KERNEL has no address.
        (4 | 5 | 7 | 8 | 11, 1..=0x7f) => Some(SignalValue::Address(value)),
        // SI_QUEUE, SI_TIMER, SI_MESGQ.
        (_, -3..=-1) => Some(SignalValue::Number(value as i64)),
        _ => None,
    }
}

impl Decoder {
    /// One number for everything a call, or a key, sends to several processes.
    pub(super) fn multicast(&mut self, op: Option<OpId>, sender: &Sender, record: &wire::Generate) -> Multicast {
        let is_kill = matches!(names::sysno(record.nr), Some(Sysno::kill));
        let alone = || matches!(record.signo, SIGHUP | SIGCONT) && hangup(record) == Hangup::Leader;
        let act = match (op, sender.kind) {
            // kill(2): a positive number is one process; 0, -1 and other negative ones are groups or everybody.
            (Some(op), _) if is_kill && record.argument as i32 <= 0 => Act::Call(op),
            (_, SenderKind::Terminal) if alone() => return Multicast::default(),
            (_, SenderKind::Terminal) => Act::Kernel(record.signo, record.pgrp, record.header.tid),
            (_, SenderKind::Kernel) if record.info == info::KERNEL && matches!(record.signo, SIGHUP | SIGCONT) => {
                Act::Kernel(record.signo, record.pgrp, record.header.tid)
            }
            _ => return Multicast::default(),
        };
        let broadcast = matches!(act, Act::Call(_)) && record.argument as u32 == u32::MAX;
        let time = record.header.time;
        let signals = &mut self.signals;
        let same = signals.last_act.filter(|(last, _, at)| {
            *last == act && (matches!(act, Act::Call(_)) || time.saturating_sub(*at) < TERMINAL_SPAN)
        });
        let number = same.map_or(signals.multicasts, |(_, number, _)| number);
        if same.is_none() {
            signals.multicasts += 1;
        }
        signals.last_act = Some((act, number, time));
        let group = (!broadcast && record.pgrp != 0).then_some(record.pgrp);
        Multicast { number: Some(number), group, broadcast }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    #[test]
    fn who_a_hangup_is_for() {
        let mut record = wire::Generate { signo: SIGHUP, info: info::KERNEL, ..FromZeros::new_zeroed() };
        for (session, current, target, whom, kind) in [
            (0, 1, 7, Hangup::Foreground, SenderKind::Terminal),
            (7, 1, 7, Hangup::Leader, SenderKind::Terminal),
            (7, 7, 8, Hangup::Foreground, SenderKind::Terminal),
            (7, 7, 7, Hangup::Foreground, SenderKind::Terminal),
            (7, 9, 8, Hangup::Orphans, SenderKind::Kernel),
        ] {
            (record.origin, record.header.tgid, record.target_tgid) = (session, current, target);
            assert_eq!((hangup(&record), sender(&record).kind), (whom, kind), "{session} {current} {target}");
        }
    }

    #[test]
    fn values_are_numbers_or_addresses() {
        assert_eq!(value(11, info::FULL, 1, 16), Some(SignalValue::Address(16)));
        assert_eq!(value(11, info::FULL, 0x80, 0), None);
        assert_eq!(value(35, info::FULL, -1, 7), Some(SignalValue::Number(7)));
        assert_eq!(value(10, info::FULL, 0, 7), None);
        assert_eq!(value(11, info::NONE, 1, 16), None);
    }
}
