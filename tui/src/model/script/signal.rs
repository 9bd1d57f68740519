//! Signals in a script.

use super::{
    Reader, channel, thread_state,
    words::{Problem, Words, bad, lookup, nanos, static_word},
};
use crate::event::{
    Action, Delivery, Destination, Disposition, Dispositions, Interrupted, Mask, OpId, Phase, Scope, Sender,
    SenderKind, SignalEvent, SignalId, SignalSet, SignalValue, Task, Verdict, signal_name,
};

impl Reader {
    pub(super) fn signal(&mut self, task: Option<Task>, words: &mut Words<'_>) -> Result<SignalEvent, Problem> {
        let name = words.word("a signal")?;
        let (signal, signo) = signal_name(name).ok_or_else(|| bad("a signal", name))?;
        let pid = words.number("the target's process id")?;
        let phase = words.word("a phase")?;
        let phase = *lookup(PHASES, phase, |p| p.name())?;
        let key = (signal.clone(), pid);
        let id = match self.signals.get(&key) {
            Some(id) if phase != Phase::Generated => *id,
            _ => {
                self.last_signal += 1;
                SignalId(self.last_signal)
            }
        };
        let mut event = SignalEvent {
            signal,
            signo,
            id,
            phase,
            sender: None,
            to: Destination { pid, tid: None, external: false },
            scope: Some(Scope::Process),
            multicast: None,
            broadcast: false,
            process_group: None,
            op: None,
            syscall: None,
            code: None,
            target_state: None,
            value: None,
            mask: None,
            consumed_by: None,
            blocked_by_mask: false,
            delivery: Delivery::default(),
            into: None,
            reason: None,
        };
        if phase == Phase::Generated {
            let kind = if task.is_some() { SenderKind::Process } else { SenderKind::Kernel };
            event.sender = Some(Sender { kind, pid: task.map(|t| t.pid), tty: None });
        }
        while let Some(word) = words.next() {
            signal_option(word, &mut event, words)?;
        }
        if event.syscall.is_some() {
            self.last_op += 1;
            event.op = Some(OpId(self.last_op));
        }
        self.last_signal = self.last_signal.max(event.id.0);
        self.signals.insert(key, event.id);
        Ok(event)
    }
}

fn signal_option(word: &str, event: &mut SignalEvent, words: &mut Words<'_>) -> Result<(), Problem> {
    let delivery = &mut event.delivery;
    match word {
        "id" => event.id = SignalId(words.number("a number")?),
        "sender" => {
            let kind = words.word("a kind of sender")?;
            let kind = match kind {
                "process" => SenderKind::Process,
                "kernel" => SenderKind::Kernel,
                "timer" => SenderKind::Timer,
                "terminal" => SenderKind::Terminal,
                "child" => SenderKind::Child,
                _ => return Err(bad("a kind of sender", kind)),
            };
            let pid = event.sender.as_ref().and_then(|s| s.pid).filter(|_| kind != SenderKind::Terminal);
            event.sender = Some(Sender { kind, pid, tty: None });
        }
        "tty" => {
            let tty = Some(words.word("a terminal")?.to_owned());
            event.sender = Some(Sender { kind: SenderKind::Terminal, pid: None, tty });
        }
        "syscall" => event.syscall = Some(static_word(words.word("a call")?)?),
        "code" => event.code = Some(static_word(words.word("a code")?)?),
        "state" => event.target_state = Some(thread_state(words.word("a state")?)?),
        "masked" => event.blocked_by_mask = true,
        "external" => event.to.external = true,
        "thread" => {
            event.to.tid = Some(words.number("a thread id")?);
            event.scope = Some(Scope::Thread);
        }
        "group" => event.multicast = Some(words.number("a number")?),
        "pgrp" => event.process_group = Some(words.number("a process group")?),
        "broadcast" => event.broadcast = true,
        "value" => event.value = Some(SignalValue::Number(words.number("a number")?)),
        "address" => event.value = Some(SignalValue::Address(address(words.word("an address")?)?)),
        "mask" => event.mask = Some(set(words.word("signals")?)?),
        "by" => {
            let syscall = static_word(words.word("a call")?)?;
            event.consumed_by = Some(Interrupted { op: None, syscall, channel: None });
        }
        "nesting" => delivery.nesting = Some(words.number("a number")?),
        "action" => delivery.action = Some(*lookup(ACTIONS, words.word("an action")?, |a| a.name())?),
        "handler" => {
            delivery.handler = Some(words.word("an address")?.to_owned());
            delivery.action = Some(Action::Handler);
        }
        "flags" => {
            let flags: Result<_, _> = words.word("flags")?.split('|').map(static_word).collect();
            delivery.flags = flags?;
        }
        "interrupted" => {
            let text = words.word("a call")?;
            let (syscall, on) = text.split_once(':').map_or((text, None), |(call, on)| (call, Some(on)));
            delivery.interrupted =
                Some(Interrupted { op: None, syscall: static_word(syscall)?, channel: on.map(|on| channel(on).0) });
        }
        "verdict" => delivery.verdict = Some(*lookup(VERDICTS, words.word("a verdict")?, |v| v.name())?),
        "pending" => delivery.pending_ns = Some(nanos(words.word("a duration")?)?),
        "took" => delivery.handler_ns = Some(nanos(words.word("a duration")?)?),
        "into" => event.into = Some(SignalId(words.number("a signal's id")?)),
        "reason" => event.reason = Some(static_word(words.word("a reason")?)?),
        _ => return Err(bad("an option of `signal`", word)),
    }
    Ok(())
}

/// `USR1|CHLD`; `-` is the empty set.
fn set(word: &str) -> Result<SignalSet, Problem> {
    let numbers = word.split('|').filter(|name| *name != "-");
    numbers.map(|name| signal_name(name).map(|(_, signo)| signo).ok_or_else(|| bad("a signal", name))).collect()
}

fn address(word: &str) -> Result<u64, Problem> {
    let digits = word.strip_prefix("0x").ok_or_else(|| bad("an address", word))?;
    u64::from_str_radix(digits, 16).map_err(|_| bad("an address", word))
}

/// `NAME ACTION-or-0xHANDLER [flags A|B] [mask SET]`.
pub(super) fn disposition(words: &mut Words<'_>) -> Result<Disposition, Problem> {
    let name = words.word("a signal")?;
    let (_, signo) = signal_name(name).ok_or_else(|| bad("a signal", name))?;
    let action = words.word("an action or a handler")?;
    let handler = action.starts_with("0x").then(|| action.to_owned());
    let action = if handler.is_some() { Action::Handler } else { *lookup(ACTIONS, action, |a| a.name())? };
    let mut disposition = Disposition { signo, action, handler, flags: Vec::new(), mask: SignalSet::default() };
    while let Some(word) = words.next() {
        match word {
            "flags" => {
                let flags: Result<_, _> = words.word("flags")?.split('|').map(static_word).collect();
                disposition.flags = flags?;
            }
            "mask" => disposition.mask = set(words.word("signals")?)?,
            _ => return Err(bad("an option of `disposition`", word)),
        }
    }
    Ok(disposition)
}

/// `[ignored SET] [caught SET]`.
pub(super) fn dispositions(words: &mut Words<'_>) -> Result<Dispositions, Problem> {
    let mut all = Dispositions::default();
    while let Some(word) = words.next() {
        match word {
            "ignored" => all.ignored = set(words.word("signals")?)?,
            "caught" => all.caught = set(words.word("signals")?)?,
            _ => return Err(bad("`ignored` or `caught`", word)),
        }
    }
    Ok(all)
}

/// `SET`.
pub(super) fn mask(words: &mut Words<'_>) -> Result<Mask, Problem> {
    Ok(Mask { blocked: set(words.word("signals")?)? })
}

const PHASES: &[Phase] = &[
    Phase::Generated,
    Phase::Pending,
    Phase::Ignored,
    Phase::Coalesced,
    Phase::Overflowed,
    Phase::Delivered,
    Phase::Handled,
    Phase::Abandoned,
    Phase::Consumed,
    Phase::Discarded,
];
const ACTIONS: &[Action] =
    &[Action::Handler, Action::Ignore, Action::Terminate, Action::Core, Action::Stop, Action::Continue];
const VERDICTS: &[Verdict] = &[Verdict::Eintr, Verdict::Restarted, Verdict::Partial, Verdict::None];
