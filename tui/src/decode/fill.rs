//! How many bytes are in a socket's connection: what was sent in one direction, less what was received from it.
//!
//! The kernel counts memory there and not bytes, so this follows events on their way out. It holds as of the calls that have
//! returned: a send that still goes on has put some bytes in that are not counted yet.
//!
//! Invariants: told only of connections both of whose ends were seen from the beginning, and not any more once a receive on
//! one was unknown or records were lost. Datagrams have no connection to be in. Tested by the tables at the end, and live
//! in tui/tests/live_sockets.rs.

use foldhash::HashMap;

use crate::event::{ChannelChange, ChannelEvent, ChannelId, ChannelType, Event, Kind, Transfer, Via};

/// Connections remembered; beyond, all are forgotten.
const MOST: usize = 1 << 16;

/// One end: its inode, what it has sent, and what it has received.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    ino: u64,
    sent: u64,
    received: u64,
}

/// Two ends.
#[derive(Clone, Debug, Default)]
struct Connection {
    created: u8,
    connected: bool,
    accepted: bool,
    sides: [Side; 2],
}

/// All connections whose bytes can be counted.
#[derive(Clone, Debug, Default)]
pub struct Fills {
    connections: HashMap<ChannelId, Connection>,
}

fn counts(mechanism: ChannelType) -> bool {
    matches!(mechanism, ChannelType::UnixStream | ChannelType::UnixSeqpacket | ChannelType::Tcp)
}

impl Connection {
    /// Both ends are in the trace.
    fn is_whole(&self) -> bool {
        self.created >= 2 || self.connected && self.accepted
    }

    fn is_used(&self) -> bool {
        self.sides.iter().any(|side| side.ino != 0)
    }

    /// That end, and the other one.
    fn sides(&mut self, ino: u64) -> Option<(&mut Side, &mut Side)> {
        let [one, other] = &mut self.sides;
        if one.ino == ino {
            return Some((one, other));
        }
        if other.ino == ino {
            return Some((other, one));
        }
        let (new, old) = if one.ino == 0 { (one, other) } else { (other, one) };
        if new.ino != 0 {
            // A third one: it is another connection by now.
            return None;
        }
        new.ino = ino;
        Some((new, old))
    }
}

impl Fills {
    /// Takes the next event, and adds to a send or receive what is in its connection.
    pub fn take(&mut self, event: &mut Event) {
        match &mut event.kind {
            Kind::Channel(change) if counts(change.mechanism) => self.change(change),
            Kind::Send(transfer) if counts(transfer.mechanism) => self.transfer(transfer, true),
            Kind::Recv(transfer) if counts(transfer.mechanism) => self.transfer(transfer, false),
            Kind::Lost(_) => self.connections.clear(),
            _ => {}
        }
    }

    /// How many connections.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// It is gone.
    pub fn forget(&mut self, channel: &ChannelId) {
        self.connections.remove(channel);
    }

    fn change(&mut self, change: &ChannelEvent) {
        let begins =
            matches!(change.event, ChannelChange::Created | ChannelChange::Connected | ChannelChange::Accepted);
        if !begins || change.error.is_some_and(|error| error != "EINPROGRESS") {
            return;
        }
        if self.connections.len() >= MOST {
            self.connections.clear();
        }
        let connection = self.connections.entry(change.channel.clone()).or_default();
        match change.event {
            ChannelChange::Created => {
                // The name is used again.
                if connection.created >= 2 || connection.is_used() || connection.connected {
                    *connection = Connection::default();
                }
                connection.created += 1;
            }
            ChannelChange::Connected => {
                if connection.connected && connection.is_used() {
                    *connection = Connection { created: connection.created.min(1), ..Connection::default() };
                }
                connection.connected = true;
            }
            _ => connection.accepted = true,
        }
    }

    fn transfer(&mut self, transfer: &mut Transfer, sends: bool) {
        let Some(connection) = self.connections.get_mut(&transfer.channel) else { return };
        // What a ring moves is told when it is over, in no order to what calls move.
        if transfer.from_unknown.is_some() || transfer.call.via == Some(Via::IoUring) {
            self.connections.remove(&transfer.channel);
            return;
        }
        let (Some(bytes), Some(way)) = (transfer.bytes, transfer.way) else { return };
        let is_whole = connection.is_whole();
        let Some((own, other)) = connection.sides(way.own) else {
            self.connections.remove(&transfer.channel);
            return;
        };
        let moved = if transfer.peek { 0 } else { bytes.saturating_add(transfer.discarded.unwrap_or(0)) };
        let side = if sends { &mut own.sent } else { &mut own.received };
        *side = side.saturating_add(moved);
        let fill = if sends { own.sent.checked_sub(other.received) } else { other.sent.checked_sub(own.received) };
        transfer.fill = fill.filter(|_| is_whole && bytes > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Call, FromUnknown, Nanos, OpId, Way};

    const A: u64 = 1;
    const B: u64 = 2;

    fn id() -> ChannelId {
        ChannelId("tcp:a-b".into())
    }

    fn event(kind: Kind) -> Event {
        Event { t: Nanos(0), seq: 0, task: None, comm: None, ns_pid: None, host: None, kind }
    }

    fn change(what: ChannelChange) -> Kind {
        Kind::Channel(Box::new(ChannelEvent::new(id(), ChannelType::Tcp, what)))
    }

    fn transfer(own: u64, bytes: u64) -> Box<Transfer> {
        let call = Call {
            op: OpId(1),
            syscall: "write",
            took_ns: 0,
            blocked_ns: None,
            restarts: 0,
            interrupted_by: Vec::new(),
            via: None,
            unfinished: false,
        };
        let mut transfer = Transfer::new(id(), ChannelType::Tcp, Some(3), call);
        (transfer.bytes, transfer.way) = (Some(bytes), Some(Way { own, other: 0 }));
        Box::new(transfer)
    }

    /// What is in after each transfer: `s` and `r`, with the end and the bytes; `v`: sent by a ring.
    fn run(begin: &[ChannelChange], transfers: &[(char, u64, u64)]) -> Vec<Option<u64>> {
        let mut fills = Fills::default();
        for what in begin {
            fills.take(&mut event(change(*what)));
        }
        let mut told = Vec::new();
        for &(what, own, bytes) in transfers {
            let mut moved = transfer(own, bytes);
            moved.from_unknown = (what == 'u').then_some(FromUnknown::Overlap);
            moved.peek = what == 'p';
            moved.call.via = (what == 'v').then_some(Via::IoUring);
            let mut event = event(if matches!(what, 's' | 'v') { Kind::Send(moved) } else { Kind::Recv(moved) });
            fills.take(&mut event);
            if let Kind::Send(moved) | Kind::Recv(moved) = &event.kind {
                told.push(moved.fill);
            }
        }
        told
    }

    #[test]
    fn what_was_sent_and_not_received_is_in_it() {
        use ChannelChange::{Accepted, Connected, Created};
        let whole = [Connected, Accepted];
        let some = |values: &[u64]| values.iter().map(|value| Some(*value)).collect::<Vec<_>>();
        assert_eq!(run(&whole, &[('s', A, 10), ('s', A, 5), ('r', B, 12), ('r', B, 3)]), some(&[10, 15, 3, 0]));
        assert_eq!(run(&whole, &[('s', A, 10), ('s', B, 7), ('r', B, 10), ('r', A, 7)]), some(&[10, 7, 0, 0]));
        assert_eq!(run(&whole, &[('s', A, 10), ('p', B, 10), ('r', B, 10)]), some(&[10, 10, 0]));
        assert_eq!(run(&[Created, Created], &[('s', A, 10), ('r', B, 4)]), some(&[10, 6]));
    }

    #[test]
    fn nothing_is_made_up() {
        use ChannelChange::{Accepted, Connected, Created};
        let whole = [Connected, Accepted];
        // One end only.
        assert_eq!(run(&[Created, Connected], &[('s', A, 10)]), [None]);
        // It was there before.
        assert_eq!(run(&[], &[('s', A, 10)]), [None]);
        // The send is still going on.
        assert_eq!(run(&whole, &[('r', B, 10), ('s', A, 30), ('r', B, 5)]), [None, Some(20), Some(15)]);
        // Somebody else may have sent.
        assert_eq!(run(&whole, &[('s', A, 10), ('u', B, 10), ('s', A, 10)]), [Some(10), None, None]);
        assert_eq!(run(&whole, &[('s', A, 10), ('r', B, 10), ('s', 3, 10)]), [Some(10), Some(0), None]);
        // A ring's bytes come in no order to others'.
        assert_eq!(run(&whole, &[('s', A, 10), ('v', A, 10), ('s', A, 10)]), [Some(10), None, None]);
    }
}
