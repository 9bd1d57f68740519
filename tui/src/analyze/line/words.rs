//! The words for each kind of event.

use super::{Lines, object, shared::verb};
use crate::{
    analyze::span::{Role, Spans, duration},
    event::{
        Action, Blocked, Cause, ChannelChange, ChannelEvent, ChannelId, ChannelType, End, Event, Exit, FromUnknown,
        Kind, Lost, Origin, Phase, SenderKind, SignalEvent, StateChange, ThreadState, Transfer, Verdict, WokenBy,
        number, text,
    },
};

/// Its descriptors are of one end or the other.
fn has_ends(mechanism: ChannelType) -> bool {
    matches!(mechanism, ChannelType::Pipe | ChannelType::Fifo | ChannelType::PosixMq)
}

/// Senders named on a line.
const NAMED: usize = 4;

impl Lines {
    pub(super) fn write(&self, event: &Event, out: &mut Spans) {
        match &event.kind {
            Kind::Fork { child, thread: false } => {
                out.add(Role::Call, "fork").plain(" → ").add(Role::Pid, number(child.pid).to_string());
            }
            Kind::Fork { child, thread: true } => {
                out.add(Role::Call, "new thread").plain(" → ").add(Role::Pid, number(child.tid).to_string());
            }
            Kind::Exec(started) => exec(&started.exe, &started.argv, started.cut, out),
            Kind::Exit(how) => exit(how, out),
            Kind::State(change) => self.state(change, out),
            Kind::Channel(change) => self.channel(change, out),
            Kind::Send(transfer) => self.send(transfer, out),
            Kind::Recv(transfer) => self.recv(transfer, out),
            Kind::Signal(step) => self.signal(step, out),
            Kind::Rpc(message) => super::rpc::rpc(message, out),
            // Quiet: they have no line.
            Kind::Disposition(_) | Kind::Dispositions(_) | Kind::Mask(_) => {}
            Kind::Lost(missing) => lost(missing, out),
        }
    }

    fn send(&self, transfer: &Transfer, out: &mut Spans) {
        if let Some(operations) = &transfer.operations {
            return self.semaphores(transfer, operations, out);
        }
        if self.object(transfer, true, out) {
            return;
        }
        out.add(Role::Call, transfer.call.syscall);
        let bytes = match (transfer.bytes, transfer.requested) {
            (Some(bytes), Some(requested)) if bytes < requested => format!(" {bytes} of {requested} B"),
            (Some(bytes), _) | (None, Some(bytes)) => format!(" {bytes} B"),
            (None, None) => String::new(),
        };
        out.add(Role::Bytes, bytes).plain(" → ").add(Role::Channel, &*transfer.channel.0);
        if let Some(number) = transfer.msg_type {
            out.plain(format!(", type {number}"));
        }
        if let Some(number) = transfer.priority {
            out.plain(format!(", priority {number}"));
        }
        if let Some(address) = &transfer.to {
            out.plain(" to ").add(Role::Channel, address.as_str());
        }
        if let Some(depth) = transfer.depth {
            out.dim(format!(" ({depth} queued)"));
        } else if let Some(fill) = transfer.fill {
            let capacity = self.capacities.get(&transfer.channel);
            let fill = capacity.map_or_else(|| format!(" ({fill} B inside"), |all| format!(" ({fill}/{all}"));
            out.dim(fill);
            // Small writes use up the buffers long before the bytes.
            match transfer.slots.filter(|all| transfer.slots_used >= Some(*all)) {
                Some(all) if transfer.fill.as_ref() < capacity => out.dim(format!(", all {all} buffers in use)")),
                _ => out.dim(")"),
            };
        }
        call_detail(transfer, "the channel is full", out);
        self.payload(transfer, out);
    }

    fn recv(&self, transfer: &Transfer, out: &mut Spans) {
        if let Some(operations) = &transfer.operations {
            return self.semaphores(transfer, operations, out);
        }
        if self.object(transfer, false, out) {
            return;
        }
        out.add(Role::Call, transfer.call.syscall);
        match transfer.bytes {
            _ if transfer.eof => out.add(Role::Bytes, " end-of-file"),
            Some(bytes) => out.add(Role::Bytes, format!(" {bytes} B")),
            None => out,
        };
        out.plain(" ← ").add(Role::Channel, &*transfer.channel.0);
        self.origins(transfer, out);
        if let Some(number) = transfer.msg_type {
            out.plain(format!(", type {number}"));
        }
        if let Some(number) = transfer.priority {
            out.plain(format!(", priority {number}"));
        }
        if let Some(depth) = transfer.depth {
            out.dim(format!(" ({depth} queued)"));
        }
        if transfer.peek {
            out.dim(", left in place");
        }
        if let Some(arrival) = transfer.arrival {
            out.plain(format!(", {}", arrival.name()));
        }
        if let Some(bytes) = transfer.discarded {
            out.dim(format!(", {bytes} B discarded"));
        }
        call_detail(transfer, "the channel is empty", out);
        self.payload(transfer, out);
    }

    pub(super) fn origins(&self, transfer: &Transfer, out: &mut Spans) {
        if let Some(why) = transfer.from_unknown {
            out.plain(" from ").add(Role::Peer, "?").dim(format!(" ({})", unknown(why, transfer.mechanism)));
            return;
        }
        let mut senders: Vec<(&Origin, u64)> = Vec::new();
        for origin in transfer.from.iter().flatten() {
            match senders.iter_mut().find(|(first, _)| first.pid == origin.pid) {
                Some((_, bytes)) => *bytes = bytes.saturating_add(origin.bytes),
                None => senders.push((origin, origin.bytes)),
            }
        }
        if let [(origin, _)] = *senders {
            out.plain(" from ").add(Role::Peer, self.sender(origin));
            return;
        }
        for (index, (origin, bytes)) in senders.iter().take(NAMED).enumerate() {
            out.plain(if index == 0 { " from " } else { ", " });
            out.add(Role::Peer, self.sender(origin)).add(Role::Bytes, format!(" {bytes} B"));
        }
        if senders.len() > NAMED {
            out.plain(format!(" and {} more", senders.len() - NAMED));
        }
    }

    fn payload(&self, transfer: &Transfer, out: &mut Spans) {
        if let Some(bytes) = transfer.payload.as_ref().filter(|bytes| self.payload && !bytes.is_empty()) {
            let all = transfer.bytes.is_none_or(|n| n <= bytes.len() as u64);
            out.add(Role::Payload, format!("  \"{}\"{}", text::escape(bytes), if all { "" } else { "…" }));
        }
    }

    fn channel(&self, change: &ChannelEvent, out: &mut Spans) {
        out.add(Role::Call, object::verb(change).or_else(|| verb(change)).unwrap_or(change.event.verb()))
            .plain(" ")
            .add(Role::Channel, &*change.channel.0);
        if let Some([read, write]) = change.fds {
            out.plain(format!(": read end fd {read}, write end fd {write}"));
        }
        if let Some(fd) = change.fd {
            let end = match change.end {
                Some(End::R) if change.mechanism.is_socket() => "receiving by ",
                Some(End::W) if change.mechanism.is_socket() => "sending by ",
                Some(End::R) => "read end ",
                Some(End::W) => "write end ",
                Some(End::Rw) if has_ends(change.mechanism) => "both ends ",
                Some(End::Rw) | None => "",
            };
            out.plain(format!(": {end}fd {fd}"));
        }
        if let Some(fd) = change.of_fd {
            out.plain(format!(" of fd {fd}"));
        }
        if let Some(peer) = change.peer {
            let of_it = change.mechanism == ChannelType::Pidfd && change.event == ChannelChange::Opened;
            out.plain(if of_it { " of " } else { " from " }).add(Role::Peer, self.name(peer.pid));
        }
        if let Some(name) = change.name.as_ref().filter(|_| change.mechanism == ChannelType::Pty) {
            out.plain(" as ").add(Role::Channel, name.as_str());
        }
        object::timer(change, out);
        if let Some(local) = &change.local {
            out.plain(" at ").add(Role::Channel, local.as_str());
        }
        if let Some(remote) = &change.remote {
            out.plain(" to ").add(Role::Channel, remote.as_str());
        }
        Self::shared(change, out);
        if let Some(backlog) = change.backlog {
            out.dim(format!(" (up to {backlog} waiting)"));
        }
        if change.event == ChannelChange::Attached && change.call.is_none() {
            out.dim(" (since before the trace)");
        }
        if change.event == ChannelChange::Resized
            && let Some(capacity) = change.capacity
        {
            out.plain(" to ").add(Role::Bytes, format!("{capacity} B"));
            if let Some(slots) = change.slots {
                out.dim(format!(" ({slots} buffers)"));
            }
        }
        if let Some(error) = change.error {
            let how = if change.event == ChannelChange::Refused { ": " } else { " failed: " };
            out.plain(how).add(Role::Error, error);
        }
    }

    fn state(&self, change: &StateChange, out: &mut Spans) {
        if let Some(from) = change.from {
            out.add(Role::State(from), from.name()).plain(" ");
        }
        out.plain("→ ").add(Role::State(change.to), change.to.name());
        if let Some(cpu) = change.cpu {
            out.plain(format!(" on cpu{cpu}"));
        }
        if let Some(on) = &change.on {
            self.wait(on, out);
        }
        match change.woken_by {
            Some(WokenBy::Task(task)) => {
                out.dim(" (woken by ").add(Role::Peer, self.name(task.pid)).dim(")");
            }
            Some(WokenBy::Kernel) => {
                out.dim(" (woken by the kernel)");
            }
            None => {}
        }
        if change.preempted {
            out.dim(" (preempted)");
        }
        if change.traced {
            out.dim(" (by a tracer)");
        }
    }

    /// ` in read on pipe:[8124]`
    fn wait(&self, on: &Blocked, out: &mut Spans) {
        if let Some(syscall) = on.syscall {
            wait_in(syscall, on.channel.as_ref(), out);
        }
        for (index, part) in on.set().into_iter().enumerate() {
            out.plain(if index == 0 { " for " } else { ", " }).add(Role::Channel, part);
        }
        match (on.cause, &on.channel, on.fd) {
            (Cause::Fault, ..) => {
                out.plain(" on a page fault");
            }
            (Cause::Io, ..) => {
                out.plain(" on a device");
            }
            (Cause::Call, None, Some(fd)) => {
                out.plain(format!(" on fd {fd}"));
            }
            _ => {}
        }
        if let Some(pid) = on.waits_for {
            out.plain(" for ").add(Role::Peer, self.name(pid));
        }
    }

    fn signal(&self, step: &SignalEvent, out: &mut Spans) {
        let delivery = &step.delivery;
        let after = || delivery.pending_ns.map(|ns| format!(" after {}", duration(ns))).unwrap_or_default();
        out.add(Role::Signal, step.signal.as_str());
        match step.phase {
            Phase::Generated => self.generated(step, out),
            Phase::Pending if step.blocked_by_mask => {
                out.plain(" pending: blocked by the mask");
            }
            Phase::Pending if step.target_state == Some(ThreadState::Stopped) => {
                out.plain(" pending: the process is stopped");
            }
            Phase::Pending => {
                out.plain(" pending");
            }
            Phase::Ignored => {
                out.plain(" ignored");
            }
            Phase::Coalesced => {
                out.plain(" coalesced: one is pending already");
            }
            Phase::Overflowed => {
                out.plain(" overflowed: the queue is full");
            }
            Phase::Delivered => {
                out.plain(" delivered");
                match delivery.action {
                    Some(Action::Handler) => out.plain(" to handler").plain(after()),
                    Some(Action::Terminate) => out.plain(after()).plain(": terminates"),
                    Some(Action::Core) => out.plain(after()).plain(": terminates with a core dump"),
                    Some(Action::Stop) => out.plain(after()).plain(": stops"),
                    Some(Action::Continue) => out.plain(after()).plain(": continues"),
                    Some(Action::Ignore) => out.plain(after()).plain(": ignored"),
                    None => out.plain(after()),
                };
            }
            Phase::Handled => {
                out.plain(" handled");
                if let Some(ns) = delivery.handler_ns {
                    out.plain(format!(" in {}", duration(ns)));
                }
            }
            Phase::Abandoned => {
                out.plain(": the handler never returned");
            }
            Phase::Consumed => {
                out.plain(" consumed").plain(step.syscall.map(|call| format!(" by {call}")).unwrap_or_default());
                out.plain(after());
            }
            Phase::Discarded => {
                out.plain(" discarded").plain(step.reason.map(|why| format!(": {why}")).unwrap_or_default());
            }
        }
        if step.phase != Phase::Generated
            && let Some(call) = &delivery.interrupted
            && delivery.verdict != Some(Verdict::None)
        {
            out.plain("; ").add(Role::Call, call.syscall).plain(" interrupted");
            match delivery.verdict {
                Some(Verdict::Eintr) => out.plain(": ").add(Role::Error, "EINTR"),
                Some(verdict) => out.plain(format!(": {}", verdict.name())),
                None => out,
            };
        }
    }

    fn generated(&self, step: &SignalEvent, out: &mut Spans) {
        out.plain(" → ").add(Role::Pid, number(step.to.tid.unwrap_or(step.to.pid)).to_string());
        if step.to.external {
            out.dim(" (not traced)");
        } else if let Some(state) = step.target_state {
            out.plain(" (").add(Role::State(state), state.name());
            let waits = self.waits.get(&step.to.tid.unwrap_or(step.to.pid));
            match (&step.delivery.interrupted, waits) {
                _ if state != ThreadState::Blocked => {}
                (Some(call), _) => wait_in(call.syscall, call.channel.as_ref(), out),
                (None, Some(on)) => self.wait(on, out),
                (None, None) => {}
            }
            out.plain(")");
        }
        let Some(sender) = &step.sender else { return };
        match sender.kind {
            SenderKind::Process => {}
            SenderKind::Kernel => {
                out.plain(" from the kernel");
            }
            SenderKind::Timer => {
                out.plain(" from a timer");
            }
            SenderKind::Terminal => {
                out.plain(" from the terminal");
                if let Some(tty) = &sender.tty {
                    out.plain(format!(" {tty}"));
                }
            }
            SenderKind::Child => {
                out.plain(" about child");
                if let Some(pid) = sender.pid {
                    out.plain(" ").add(Role::Peer, self.name(pid));
                }
            }
        }
        if let Some(code) = step.code.filter(|_| sender.kind != SenderKind::Process) {
            out.dim(format!(" ({code})"));
        }
    }
}

fn wait_in(syscall: &str, channel: Option<&ChannelId>, out: &mut Spans) {
    out.plain(" in ").add(Role::Call, syscall);
    if let Some(channel) = channel {
        out.plain(" on ").add(Role::Channel, &*channel.0);
    }
}

/// What the call met with: an error, waiting, signals.
pub(super) fn call_detail(transfer: &Transfer, would_block: &str, out: &mut Spans) {
    let call = &transfer.call;
    if let Some(error) = transfer.error {
        out.plain(" failed: ").add(Role::Error, error);
        match error {
            "EAGAIN" => out.dim(format!(" ({would_block})")),
            "EPIPE" if transfer.mechanism.is_socket() => out.dim(" (nobody receives there any more)"),
            "EPIPE" => out.dim(" (nobody holds the read end)"),
            _ => out,
        };
    }
    if let Some(ns) = call.blocked_ns.filter(|ns| *ns > 0) {
        out.plain(", ").add(Role::State(ThreadState::Blocked), format!("blocked {}", duration(ns)));
    }
    if call.restarts > 0 {
        out.plain(format!(", restarted {}x", call.restarts));
    }
    if call.unfinished {
        out.plain(", unfinished");
    }
}

fn unknown(why: FromUnknown, of: ChannelType) -> &'static str {
    match why {
        // recv(2), or several that look alike.
        FromUnknown::Overlap if of == ChannelType::Udp => "nothing tells which",
        FromUnknown::Overlap => "sends overlapped",
        FromUnknown::External => "not traced",
        FromUnknown::BeforeStart => "sent before the trace",
        FromUnknown::Transformed => "transformed on the way",
        FromUnknown::Lost => "events lost",
    }
}

fn exec(exe: &str, argv: &[String], cut: bool, out: &mut Spans) {
    out.add(Role::Call, "exec").plain(" ").add(Role::Comm, exe);
    for argument in argv.iter().skip(1) {
        let quotes = if argument.is_empty() || argument.contains([' ', '"', '\'']) { "\"" } else { "" };
        out.plain(format!(" {quotes}{argument}{quotes}"));
    }
    if cut {
        out.plain(" …");
    }
}

fn exit(how: &Exit, out: &mut Spans) {
    if how.thread {
        out.plain("thread ");
    }
    match (&how.signal, how.code) {
        (Some(signal), _) => out.plain("killed by ").add(Role::Signal, signal.as_str()),
        (None, Some(0)) => out.plain("exit 0"),
        (None, Some(code)) => out.plain("exit ").add(Role::Error, code.to_string()),
        (None, None) => out.plain("exit ?"),
    };
    if how.core {
        out.plain(" (core dumped)");
    }
}

fn lost(missing: &Lost, out: &mut Spans) {
    if missing.class == Lost::NOT_KEPT {
        out.add(Role::Error, format!("{} records from before are not kept", missing.count));
        return;
    }
    out.add(Role::Error, format!("{} events lost", missing.count));
    out.plain(format!(
        " ({}) between {:.6} and {:.6}",
        missing.class,
        missing.t_from.seconds(),
        missing.t_to.seconds()
    ));
}
