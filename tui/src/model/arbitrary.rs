//! Arbitrary events for property tests: few ids, so that they meet, and texts that no trace should hold.

use proptest::{collection::vec, option, prelude::*};

use crate::event::{
    Action, Blocked, Call, Cause, ChannelChange, ChannelEvent, ChannelId, ChannelType, Comm, Delivery, Destination,
    Disposition, Dispositions, End, Event, Exec, Exit, FromUnknown, Interrupted, Kind, Lock, Lost, Mask, Nanos, OpId,
    Origin, PeerPid, Phase, Protocol, Role, Rpc, Sender, SenderKind, SignalEvent, SignalId, SignalSet, SignalValue,
    StateChange, Task, ThreadState, Transfer, Verdict, WokenBy,
};

/// A stream as `decode` would hand it over, but for what it says.
pub(crate) fn events() -> impl Strategy<Value = Vec<Event>> {
    vec(event(), 0..200).prop_map(|mut events| {
        events.sort_by_key(|event| event.t);
        let mut seq = 0;
        for event in &mut events {
            event.seq = seq;
            seq += u64::from(!event.kind.is_quiet());
        }
        events
    })
}

fn event() -> impl Strategy<Value = Event> {
    (number(), option::weighted(0.95, task()), option::of(any::<[u8; 16]>()), option::of(0..9_u32), kind()).prop_map(
        |(t, task, comm, ns_pid, kind)| Event {
            t: Nanos(t),
            seq: 0,
            task,
            comm: comm.map(Comm),
            ns_pid,
            host: None,
            kind,
        },
    )
}

/// Small ones mostly, the largest now and then.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..100_000_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn task() -> impl Strategy<Value = Task> {
    (0..6_u32, 0..3_u32).prop_map(|(pid, thread)| Task { pid, tid: if thread == 0 { pid } else { pid * 10 + thread } })
}

fn channel() -> impl Strategy<Value = (ChannelId, ChannelType)> {
    prop_oneof![
        (0..4_u32).prop_map(|n| (ChannelId(format!("pipe:[{n}]").into()), ChannelType::Pipe)),
        text().prop_map(|name| (ChannelId(name.into()), ChannelType::Fifo)),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just("fifo:/tmp/f".to_owned()), Just(String::new()), "\\PC{0,8}", any::<String>()]
}

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["read", "write", "wait4", "EPIPE", "EAGAIN", "EINTR", "SA_RESTART", "exec", ""])
}

fn state() -> impl Strategy<Value = ThreadState> {
    prop::sample::select(ThreadState::ALL.to_vec())
}

fn end() -> impl Strategy<Value = End> {
    prop::sample::select(vec![End::R, End::W, End::Rw])
}

fn call() -> impl Strategy<Value = Call> {
    (0..20_u64, word(), number(), option::of(number()), 0..3_u32, vec(0..5_u64, 0..3), any::<bool>()).prop_map(
        |(op, syscall, took_ns, blocked_ns, restarts, ids, unfinished)| Call {
            op: OpId(op),
            syscall,
            took_ns,
            blocked_ns,
            restarts,
            interrupted_by: ids.into_iter().map(SignalId).collect(),
            via: None,
            unfinished,
        },
    )
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        1 => (task(), any::<bool>()).prop_map(|(child, thread)| Kind::Fork { child, thread }),
        1 => (text(), vec(text(), 0..3), any::<bool>()).prop_map(|(exe, argv, cut)| Kind::Exec(Box::new(Exec { exe, argv, cut }))),
        1 => (any::<bool>(), option::of(any::<i32>()), option::of(text()), any::<bool>())
            .prop_map(|(thread, code, signal, core)| Kind::Exit(Box::new(Exit { thread, code, signal, core }))),
        3 => change().prop_map(Kind::State),
        3 => end_change().prop_map(|it| Kind::Channel(Box::new(it))),
        2 => transfer().prop_map(|it| Kind::Send(Box::new(it))),
        2 => transfer().prop_map(|it| Kind::Recv(Box::new(it))),
        2 => signal().prop_map(|it| Kind::Signal(Box::new(it))),
        1 => rpc().prop_map(|it| Kind::Rpc(Box::new(it))),
        1 => quiet(),
        1 => (number(), text(), number(), number())
            .prop_map(|(count, class, from, to)| Kind::Lost(Box::new(Lost { count, class, t_from: Nanos(from), t_to: Nanos(to) }))),
    ]
}

fn rpc() -> impl Strategy<Value = Rpc> {
    let protocol = prop::sample::select(Protocol::ALL.to_vec());
    let role = prop::sample::select(vec![Role::Call, Role::Reply, Role::Signal, Role::Error]);
    let numbers = (option::of(any::<u32>()), option::of(number()), option::of(0..200_u64), option::of(0..20_u64));
    (protocol, role, option::of(text()), option::of(text()), numbers, channel(), any::<bool>()).prop_map(
        |(protocol, role, method, status, (id, latency_ns, call, of), (channel, mechanism), cut)| Rpc {
            protocol,
            role,
            method,
            id,
            status,
            latency_ns,
            call,
            of: of.map(OpId),
            channel,
            mechanism,
            cut,
        },
    )
}

fn quiet() -> impl Strategy<Value = Kind> {
    let action = prop::sample::select(vec![Action::Handler, Action::Ignore, Action::Terminate, Action::Continue]);
    prop_oneof![
        (any::<i32>(), action, option::of(text()), vec(word(), 0..3), any::<u64>()).prop_map(
            |(signo, action, handler, flags, mask)| {
                Kind::Disposition(Box::new(Disposition { signo, action, handler, flags, mask: SignalSet(mask) }))
            }
        ),
        any::<(u64, u64)>().prop_map(|(ignored, caught)| {
            Kind::Dispositions(Dispositions { ignored: SignalSet(ignored), caught: SignalSet(caught) })
        }),
        any::<u64>().prop_map(|blocked| Kind::Mask(Mask { blocked: SignalSet(blocked) })),
    ]
}

fn change() -> impl Strategy<Value = StateChange> {
    let cause = prop::sample::select(vec![Cause::Call, Cause::Fault, Cause::Io]);
    let lock = option::of(prop_oneof![Just(Lock::Word(())), text().prop_map(Lock::File)]);
    let fds = (vec(0..9, 0..4), any::<bool>());
    let set = (vec(channel(), 0..3), option::of(0..6_u32), lock, 0..3_u32, fds);
    let on =
        (option::of(word()), option::of(channel()), option::of(0..5), option::of(0..6_u32), cause, any::<bool>(), set)
            .prop_map(
                |(
                    syscall,
                    channel,
                    fd,
                    waits_for,
                    cause,
                    uninterruptible,
                    (channels, peer, lock, restarts, (fds, cut)),
                )| {
                    Blocked {
                        op: None,
                        syscall,
                        channel: channel.map(|(id, _)| id),
                        channels: channels.into_iter().map(|(id, _)| id).collect(),
                        fds,
                        cut,
                        fd,
                        peer: peer.map(|pid| PeerPid { pid }),
                        waits_for,
                        lock,
                        owner: None,
                        restarts,
                        cause,
                        timed: false,
                        uninterruptible,
                    }
                },
            );
    let woken_by = prop_oneof![Just(WokenBy::Kernel), task().prop_map(WokenBy::Task)];
    (option::of(state()), state(), option::of(0..4_u32), option::of(on), option::of(woken_by), any::<[bool; 2]>())
        .prop_map(|(from, to, cpu, on, woken_by, [preempted, traced])| StateChange {
            from,
            to,
            cpu,
            on: on.map(Box::new),
            woken_by,
            preempted,
            traced,
        })
}

fn end_change() -> impl Strategy<Value = ChannelEvent> {
    let event = prop::sample::select(ChannelChange::ALL.to_vec());
    let fd = || option::weighted(0.8, 0..5);
    let fds = (option::of([0..5, 0..5]), fd(), fd(), option::weighted(0.8, end()));
    let rest = (option::of(number()), option::of(0..99_u32), option::of(0..6_u32), option::weighted(0.1, word()));
    (channel(), event, fds, rest, option::of(text()), option::of(call())).prop_map(
        |((channel, mechanism), event, (fds, fd, of_fd, end), (capacity, slots, peer, error), name, call)| {
            ChannelEvent {
                fd,
                fds,
                of_fd,
                end,
                name,
                capacity,
                slots,
                peer: peer.map(|pid| PeerPid { pid }),
                error,
                call,
                ..ChannelEvent::new(channel, mechanism, event)
            }
        },
    )
}

fn transfer() -> impl Strategy<Value = Transfer> {
    let origin =
        (0..20_u64, 0..6_u32, number()).prop_map(|(op, pid, bytes)| Origin { op: OpId(op), pid, host: None, bytes });
    let unknown = prop::sample::select(vec![FromUnknown::Overlap, FromUnknown::External, FromUnknown::Lost]);
    let sizes = (option::of(number()), option::of(number()), option::of(number()), option::of(number()));
    let slots = (option::of(0..20_u32), option::of(0..20_u32));
    let origins = (option::of(vec(origin, 0..8)), option::of(unknown));
    let rest = (option::of(word()), option::of(vec(any::<u8>(), 0..9)), any::<[bool; 3]>());
    (channel(), 0..5, call(), sizes, slots, origins, rest).prop_map(
        |(
            (channel, mechanism),
            fd,
            call,
            sizes,
            (slots_used, slots),
            (from, from_unknown),
            (error, payload, flags),
        )| {
            let (requested, bytes, fill, discarded) = sizes;
            let [nonblocking, eof, peek] = flags;
            Transfer {
                requested,
                bytes,
                error,
                nonblocking,
                fill,
                slots_used,
                slots,
                payload,
                from,
                from_unknown,
                eof,
                peek,
                discarded,
                ..Transfer::new(channel, mechanism, Some(fd), call)
            }
        },
    )
}

fn signal() -> impl Strategy<Value = SignalEvent> {
    let phase = prop::sample::select(vec![
        Phase::Generated,
        Phase::Pending,
        Phase::Ignored,
        Phase::Coalesced,
        Phase::Delivered,
        Phase::Handled,
        Phase::Consumed,
        Phase::Discarded,
    ]);
    let kinds =
        vec![SenderKind::Process, SenderKind::Kernel, SenderKind::Timer, SenderKind::Terminal, SenderKind::Child];
    let sender = (prop::sample::select(kinds), option::of(0..6_u32), option::of(text()))
        .prop_map(|(kind, pid, tty)| Sender { kind, pid, tty });
    let to = (0..6_u32, option::of(0..60_u32), any::<bool>()).prop_map(|(pid, tid, external)| Destination {
        pid,
        tid,
        external,
    });
    let delivery =
        (0..6_usize, option::of(word()), option::of(channel()), 0..4_usize, option::of(number()), vec(word(), 0..3))
            .prop_map(|(action, call, channel, verdict, pending_ns, flags)| Delivery {
                action: [Action::Handler, Action::Ignore, Action::Terminate, Action::Stop].get(action).copied(),
                handler: None,
                flags,
                nesting: None,
                interrupted: call.map(|syscall| Interrupted { op: None, syscall, channel: channel.map(|(id, _)| id) }),
                verdict: [Verdict::Eintr, Verdict::Restarted, Verdict::None].get(verdict).copied(),
                pending_ns,
                handler_ns: pending_ns,
            });
    (text(), 0..9_u64, phase, option::of(sender), to, option::of(state()), delivery, option::of(word())).prop_map(
        |(signal, id, phase, sender, to, target_state, delivery, reason)| SignalEvent {
            signal,
            signo: 10,
            id: SignalId(id),
            phase,
            sender,
            to,
            scope: None,
            multicast: None,
            broadcast: false,
            process_group: None,
            op: None,
            syscall: reason,
            code: reason,
            target_state,
            value: target_state.map(|_| SignalValue::Address(id)),
            mask: reason.map(|_| SignalSet(id)),
            consumed_by: None,
            blocked_by_mask: false,
            delivery,
            into: None,
            reason,
        },
    )
}
