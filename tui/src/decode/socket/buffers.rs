//! Buffers of shared UNIX sockets, by where the kernel keeps them.
//!
//! A send is told with the address of each buffer that it makes, a receive with those it copied from. Until a buffer is
//! freed no other has its address, so the last one made there before is it, whoever else sent or received meanwhile.
//!
//! Invariant: after a loss nothing from before it counts any more.

use foldhash::HashMap;

use crate::event::{OpId, Origin};

/// Buffers of one address that were not asked for: more than one only where nobody in the trace received.
const MOST: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Made {
    time: u64,
    sock: u64,
    op: OpId,
    pid: u32,
}

/// Bytes copied out of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// The buffer.
    pub buffer: u64,
    /// When.
    pub time: u64,
    /// How many.
    pub bytes: u64,
}

/// All that are on their way.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    made: HashMap<u64, Vec<Made>>,
    /// Records are missing just now.
    losing: bool,
}

impl Buffers {
    /// A send at that socket made a buffer.
    pub fn made(&mut self, buffer: u64, time: u64, sock: u64, op: OpId, pid: u32) {
        if self.losing {
            return;
        }
        let list = self.made.entry(buffer).or_default();
        list.push(Made { time, sock, op, pid });
        if list.len() > MOST {
            list.remove(0);
        }
    }

    /// Whose bytes these are, in order; they came from that socket. `None` unless that is known of all of them.
    pub fn origins(&mut self, sock: u64, pieces: &[Piece]) -> Option<Vec<Origin>> {
        let mut origins: Vec<Origin> = Vec::new();
        for piece in pieces {
            let list = self.made.get_mut(&piece.buffer)?;
            let before = list.iter().take_while(|made| made.time < piece.time).count();
            // Those in front of it are gone; the buffer itself may be received bit by bit.
            list.drain(..before.saturating_sub(1));
            let made = list.first().filter(|made| made.time < piece.time && made.sock == sock)?;
            match origins.last_mut().filter(|last| last.op == made.op) {
                Some(last) => last.bytes = last.bytes.saturating_add(piece.bytes),
                None => origins.push(Origin { op: made.op, pid: made.pid, host: None, bytes: piece.bytes }),
            }
        }
        (!origins.is_empty()).then_some(origins)
    }

    /// Records are missing from here on (`over`: up to here).
    pub fn lost(&mut self, over: bool) {
        self.losing = !over;
        self.made.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = 0x1000;
    const S: u64 = 7;

    fn told(buffers: &mut Buffers, sock: u64, pieces: &[(u64, u64, u64)]) -> Option<Vec<(u64, u64)>> {
        let pieces: Vec<Piece> = pieces.iter().map(|&(buffer, time, bytes)| Piece { buffer, time, bytes }).collect();
        let origins = buffers.origins(sock, &pieces)?;
        Some(origins.into_iter().map(|origin| (origin.op.0, origin.bytes)).collect())
    }

    #[test]
    fn the_last_one_made_before_is_it_and_can_be_taken_in_bits() {
        let mut buffers = Buffers::default();
        buffers.made(A, 10, S, OpId(1), 1);
        buffers.made(A, 30, S, OpId(2), 2);
        buffers.made(A + 64, 31, S, OpId(2), 2);
        assert_eq!(told(&mut buffers, S, &[(A, 20, 5)]), Some(vec![(1, 5)]));
        assert_eq!(told(&mut buffers, S, &[(A, 25, 2)]), Some(vec![(1, 2)]));
        assert_eq!(told(&mut buffers, S, &[(A, 40, 2), (A + 64, 41, 3)]), Some(vec![(2, 5)]));
        assert_eq!(told(&mut buffers, S, &[(A, 40, 2), (A + 128, 41, 3)]), None);
    }

    #[test]
    fn one_of_another_socket_is_none() {
        let mut buffers = Buffers::default();
        buffers.made(A, 10, S + 1, OpId(1), 1);
        assert_eq!(told(&mut buffers, S, &[(A, 20, 5)]), None);
    }

    #[test]
    fn nothing_counts_across_a_loss() {
        let mut buffers = Buffers::default();
        buffers.made(A, 10, S, OpId(1), 1);
        buffers.lost(false);
        buffers.made(A, 20, S, OpId(2), 1);
        assert_eq!(told(&mut buffers, S, &[(A, 30, 5)]), None);
        buffers.lost(true);
        buffers.made(A, 40, S, OpId(3), 1);
        assert_eq!(told(&mut buffers, S, &[(A, 50, 5)]), Some(vec![(3, 5)]));
    }
}
