//! Who wrote the bytes of a stretch of the stream.
//!
//! Invariants: no piece is empty; neighbours have different senders. Two accounts of the same stretch are joined by
//! keeping, byte for byte, what both say. Tested by the table at the end.

use std::collections::VecDeque;

use super::{CallId, Part, Why};

/// The origin of a run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// One write call.
    Call(CallId),
    /// Nobody can tell, for this reason.
    Unknown(Why),
}

/// A run of bytes of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) sender: Sender,
    pub(super) bytes: u64,
}

/// A stretch of the stream, oldest byte first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pieces: VecDeque<Piece>,
}

impl Content {
    /// `bytes` bytes of one sender.
    pub(super) fn of(sender: Sender, bytes: u64) -> Self {
        let mut content = Self::default();
        content.push(sender, bytes);
        content
    }

    /// None, in the room of this one.
    pub(super) fn emptied(mut self) -> Self {
        self.pieces.clear();
        self
    }

    /// Appends bytes at the young end.
    pub(super) fn push(&mut self, sender: Sender, bytes: u64) {
        if bytes == 0 {
            return;
        }
        match self.pieces.back_mut() {
            Some(last) if last.sender == sender => last.bytes = last.bytes.saturating_add(bytes),
            _ => self.pieces.push_back(Piece { sender, bytes }),
        }
    }

    /// Takes bytes from the old end; fewer if there are fewer.
    pub(super) fn take(&mut self, mut bytes: u64) -> Self {
        let mut taken = Self::default();
        while bytes > 0 {
            let Some(first) = self.pieces.front_mut() else {
                break;
            };
            let run = first.bytes.min(bytes);
            taken.push(first.sender, run);
            bytes -= run;
            first.bytes -= run;
            if first.bytes == 0 {
                self.pieces.pop_front();
            }
        }
        taken
    }

    /// Its length in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.pieces.iter().fold(0, |sum, piece| sum.saturating_add(piece.bytes))
    }

    /// The pieces, oldest first.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter()
    }

    /// What this and another account of the same bytes agree on.
    pub(super) fn agreed(&self, other: &Self) -> Self {
        let mut both = Self::default();
        let (mut ours, mut theirs) = (self.pieces.iter().copied(), other.pieces.iter().copied());
        let (mut a, mut b) = (ours.next(), theirs.next());
        while let (Some(x), Some(y)) = (&mut a, &mut b) {
            let run = x.bytes.min(y.bytes);
            let sender = match (x.sender, y.sender) {
                (s, t) if s == t => s,
                (Sender::Unknown(why), Sender::Unknown(_)) => Sender::Unknown(why),
                _ => Sender::Unknown(Why::Overlap),
            };
            both.push(sender, run);
            x.bytes -= run;
            y.bytes -= run;
            if x.bytes == 0 {
                a = ours.next();
            }
            if y.bytes == 0 {
                b = theirs.next();
            }
        }
        // Accounts of different lengths cannot both be right: the rest is nobody's.
        let rest = self.bytes().max(other.bytes()).saturating_sub(both.bytes());
        both.push(Sender::Unknown(Why::Overlap), rest);
        both
    }

    /// The parts of a read that took exactly these bytes.
    pub(super) fn parts(&self) -> Result<Vec<Part>, Why> {
        self.pieces
            .iter()
            .map(|piece| match piece.sender {
                Sender::Call(write) => Ok(Part { write, bytes: piece.bytes }),
                Sender::Unknown(why) => Err(why),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(pieces: &[(CallId, u64)]) -> Content {
        let mut content = Content::default();
        for &(write, bytes) in pieces {
            content.push(Sender::Call(write), bytes);
        }
        content
    }

    #[test]
    fn neighbours_join_and_takes_split() {
        let mut all = content(&[(1, 3), (1, 4), (2, 5)]);
        assert_eq!(all.take(8), content(&[(1, 7), (2, 1)]));
        assert_eq!(all, content(&[(2, 4)]));
        assert_eq!(all.take(9), content(&[(2, 4)]));
        assert_eq!(all.bytes(), 0);
    }

    #[test]
    fn only_what_both_accounts_say_is_kept() {
        let both = content(&[(1, 3), (2, 2)]).agreed(&content(&[(2, 2), (1, 3)]));
        let mut wanted = Content::of(Sender::Unknown(Why::Overlap), 2);
        wanted.push(Sender::Call(1), 1);
        wanted.push(Sender::Unknown(Why::Overlap), 2);
        assert_eq!(both, wanted);
        assert_eq!(both.parts(), Err(Why::Overlap));
    }
}
