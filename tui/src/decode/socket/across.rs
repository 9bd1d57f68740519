//! TCP connections between network namespaces of one machine.
//!
//! Each end has the addresses of the other one the other way round, but private addresses are in use many times over, so
//! that says nothing. The count of bytes does (32 bits, begun at random): an end that gets the byte with the number that the
//! other one has sent, or begins with, is its other end.
//!
//! Invariants: ends of one namespace are joined by their addresses and never here; of two that fit, none is taken. Tested by
//! the table at the end of [`super::sequence`], and live in tui/tests/live_merge.rs.

use foldhash::{HashMap, HashSet};

use super::{FlowKey, Name, Sockets, address::Short, sequence::Sequence};

/// Namespaces in which sockets are, and what the other ends in another one are really called.
#[derive(Clone, Debug, Default)]
pub(super) struct Across {
    namespaces: HashSet<u32>,
    real: HashMap<Name, Name>,
}

impl Across {
    /// A socket is in that namespace.
    pub(super) fn saw(&mut self, name: Name) {
        if let Name::Inet(namespace, ..) = name {
            self.namespaces.insert(namespace);
        }
    }

    /// What the other end is really called.
    pub(super) fn real(&self, name: Name) -> Name {
        self.real.get(&name).copied().unwrap_or(name)
    }

    /// The socket is gone.
    pub(super) fn forget(&mut self, name: Name) {
        if self.namespaces.len() > 1 {
            self.real.retain(|_, real| *real != name);
        }
    }
}

impl Sockets {
    /// An end gets bytes from `seq` on and nobody in its namespace has sent it any: who does in another one?
    pub(super) fn look_across(&mut self, own: Name, peer: Name, seq: u32) -> Name {
        let (Name::Inet(here, own_address, _), Name::Inet(there, peer_address, _)) = (own, peer) else { return peer };
        let is_known = self.sequences.get(&(peer, own)).is_some_and(Sequence::is_known);
        let is_alone = self.across.namespaces.len() < 2 || own_address.ip.is_loopback();
        if here != there || is_known || is_alone || self.by_name.contains_key(&peer) {
            return peer;
        }
        let mut found = None;
        for &namespace in self.across.namespaces.iter().filter(|namespace| **namespace != here) {
            let (sender, receiver) = ends(namespace, peer_address, own_address);
            let fits = self.sequences.get(&(sender, receiver)).is_some_and(|sequence| sequence.has_place(seq));
            if fits && self.by_name.contains_key(&sender) && found.replace((sender, receiver)).is_some() {
                return peer;
            }
        }
        let Some((sender, receiver)) = found else { return peer };
        for (from, to) in [((sender, receiver), (sender, own)), ((own, peer), (own, sender))] {
            self.rename_flow(from, to);
        }
        self.across.real.insert(peer, sender);
        self.across.real.insert(receiver, own);
        for (one, other) in [(own, sender), (sender, own)] {
            if let Some(socket) = self.by_name.get(&one).copied().and_then(|key| self.by_key.get_mut(&key)) {
                socket.peer = Some(other);
            }
        }
        sender
    }

    fn rename_flow(&mut self, from: FlowKey, to: FlowKey) {
        if let Some(sequence) = self.sequences.remove(&from) {
            self.sequences.insert(to, sequence);
        }
    }
}

/// Both ends as the first one has them, in a namespace.
fn ends(namespace: u32, local: Short, remote: Short) -> (Name, Name) {
    (Name::Inet(namespace, local, remote), Name::Inet(namespace, remote, local))
}
