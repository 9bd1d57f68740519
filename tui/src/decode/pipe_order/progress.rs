//! How far a call in flight is, in one hypothesis.
//!
//! After a time of unknown state a call may have done anything it can do; that is kept as a set until something tells,
//! so that many calls in flight do not multiply the hypotheses. Tested through `truth_tests`.

use super::Side;
use super::calls::Call;
use super::ring::PAGE;

/// Pages of a write whose possible progress is still listed.
const MOST_PAGES: u64 = 1 << 12;

/// Whether a write has had the mutex without being able to put anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It may still merge.
    No,
    /// Both are possible.
    Maybe,
    /// It no longer merges.
    Yes,
}

/// Bytes moved so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// So many.
    Bytes(u64),
    /// A write: one of these, ascending.
    Among(Vec<u64>),
    /// A read: nothing, or all it will ever get.
    Perhaps,
}

impl Done {
    /// What a call in flight can have done when it is not known since when it had room or bytes. `None`: too much to
    /// list.
    pub(super) fn anything(call: &Call) -> Option<Self> {
        if !call.has_effect() {
            return Some(Self::Bytes(0));
        }
        if call.side == Side::Read {
            return Some(if call.asleep { Self::Bytes(0) } else { Self::Perhaps });
        }
        let total = call.requested?;
        let page = u64::from(PAGE);
        if total / page > MOST_PAGES {
            return None;
        }
        let odd = total % page;
        let mut done: Vec<u64> = (0..=total / page).flat_map(|pages| [pages * page, pages * page + odd]).collect();
        let most = call.returned().unwrap_or(total);
        // Who sleeps is not done, nor ever was who returned less than asked for.
        done.retain(|&done| done < total && done <= most);
        if most == total && !call.asleep {
            done.push(total);
        }
        done.sort_unstable();
        done.dedup();
        Some(Self::among(done))
    }

    fn among(values: Vec<u64>) -> Self {
        match values.as_slice() {
            [one] => Self::Bytes(*one),
            _ => Self::Among(values),
        }
    }

    /// It can be this many.
    pub(super) fn can_be(&self, bytes: u64) -> bool {
        match self {
            Self::Bytes(done) => *done == bytes,
            Self::Among(values) => values.contains(&bytes),
            Self::Perhaps => true,
        }
    }

    /// The same for a call that is not done with all of its `total` bytes. `None`: it is.
    pub(super) fn unfinished(&self, total: u64) -> Option<Self> {
        match self {
            Self::Bytes(done) => (*done < total).then_some(Self::Bytes(*done)),
            Self::Perhaps => Some(Self::Bytes(0)),
            Self::Among(values) => {
                let left: Vec<u64> = values.iter().copied().filter(|&done| done < total).collect();
                (!left.is_empty()).then(|| Self::among(left))
            }
        }
    }

    /// The possible values of a write.
    pub(super) fn values(&self) -> &[u64] {
        match self {
            Self::Bytes(done) => std::slice::from_ref(done),
            Self::Among(values) => values,
            Self::Perhaps => &[],
        }
    }

    /// What those that leave more than `room` bytes to go become when they fill it, if none may ever exceed `most`.
    pub(super) fn filling(&self, room: u64, total: u64, most: u64) -> Option<Self> {
        let filled = self.values().iter().filter_map(|done| done.checked_add(room));
        let filled: Vec<u64> = filled.filter(|&done| done < total && done <= most).collect();
        (!filled.is_empty()).then(|| Self::among(filled))
    }
}

/// How far a call in flight is.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) slot: u32,
    pub(super) write: bool,
    pub(super) start: Start,
    pub(super) done: Done,
    /// It will not act again.
    pub(super) finished: bool,
}

impl Progress {
    pub(super) fn new(slot: u32, write: bool) -> Self {
        Self { slot, write, start: Start::No, done: Done::Bytes(0), finished: false }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.done == Done::Bytes(0) && !self.finished
    }
}
