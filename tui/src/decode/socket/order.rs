//! The order of calls that overlapped, by what the kernel's own counters said.
//!
//! TCP counts the bytes it was given (`tcp_sock.write_seq`). A send knows the count from when it began and from when it
//! was over; where no other was about, the difference is its own bytes. What others are known to have put in between is
//! taken off until nothing changes: what is left of a send's window is its place, if it is as long as its bytes.
//!
//! Invariant: a place is certain, or nobody's. Tested by the table at the end.

use crate::event::OpId;

/// A send between two counts.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Whose.
    pub sender: (OpId, u32),
    /// The count when it began, and when it was over.
    pub seq: [u32; 2],
    /// How many of the bytes between are its.
    pub bytes: u64,
}

/// Bytes of one send, or of nobody knows which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whose.
    pub sender: Option<(OpId, u32)>,
    /// How many.
    pub bytes: u64,
}

/// Places that are nobody's yet, in order.
type Places = Vec<(i64, i64)>;

fn length(places: &Places) -> u64 {
    places.iter().map(|(from, to)| to.abs_diff(*from)).sum()
}

fn without(places: &Places, taken: (i64, i64)) -> Places {
    let parts = places.iter().flat_map(|&(from, to)| [(from, to.min(taken.0)), (from.max(taken.1), to)]);
    parts.filter(|(from, to)| from < to).collect()
}

/// The bytes of sends that overlapped, in order; `None` if not even their number is certain.
pub fn runs(windows: &[Window]) -> Option<Vec<Run>> {
    let first = windows.first()?.seq[0];
    // Counts wrap around.
    let place = |seq: u32| i64::from(seq.wrapping_sub(first).cast_signed());
    let mut open: Vec<(usize, Places)> = windows
        .iter()
        .enumerate()
        .filter(|(_, window)| window.bytes > 0)
        .map(|(index, window)| (index, vec![(place(window.seq[0]), place(window.seq[1]))]))
        .collect();
    let start = open.iter().filter_map(|(_, places)| places.first()).map(|(from, _)| *from).min()?;
    let end = open.iter().filter_map(|(_, places)| places.last()).map(|(_, to)| *to).max()?;
    let total = windows.iter().fold(0, |sum: u64, window| sum.saturating_add(window.bytes));
    if end.checked_sub(start).is_none_or(|length| u64::try_from(length) != Ok(total)) {
        return None;
    }
    let mut known: Vec<(i64, i64, usize)> = Vec::new();
    while let Some(at) =
        open.iter().position(|(index, places)| windows.get(*index).is_some_and(|w| length(places) == w.bytes))
    {
        let (index, places) = open.swap_remove(at);
        for taken in places {
            known.push((taken.0, taken.1, index));
            for (_, places) in &mut open {
                *places = without(places, taken);
            }
        }
    }
    known.sort_unstable();
    let mut runs = Vec::new();
    let mut at = start;
    let gap = |from: i64, to: i64| (from < to).then(|| Run { sender: None, bytes: to.abs_diff(from) });
    for (from, to, index) in known {
        runs.extend(gap(at, from));
        let sender = windows.get(index).map(|window| window.sender);
        runs.push(Run { sender, bytes: to.abs_diff(from) });
        at = to;
    }
    runs.extend(gap(at, end));
    Some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(windows: &[(u32, u32, u64)]) -> Option<String> {
        let windows: Vec<Window> = windows
            .iter()
            .enumerate()
            .map(|(i, &(from, to, bytes))| Window { sender: (OpId(i as u64), 1), seq: [from, to], bytes })
            .collect();
        let words = runs(&windows)?.into_iter().map(|run| match run.sender {
            Some((op, _)) => format!("{}:{}", op.0, run.bytes),
            None => format!("?:{}", run.bytes),
        });
        Some(words.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn windows_say_who_was_when() {
        for (windows, expected) in [
            (&[(0, 10, 10), (0, 20, 10)][..], Some("0:10 1:10")),
            (&[(0, 30, 10), (0, 10, 10), (0, 20, 10)], Some("1:10 2:10 0:10")),
            // Both began and ended together.
            (&[(0, 20, 10), (0, 20, 10)], Some("?:20")),
            (&[(0, 30, 10), (0, 30, 10), (0, 10, 10), (30, 35, 5)], Some("2:10 ?:20 3:5")),
            // One in the middle of another.
            (&[(0, 30, 20), (10, 20, 10)], Some("0:10 1:10 0:10")),
            (&[(u32::MAX - 4, 5, 10), (5, 15, 10)], Some("0:10 1:10")),
            // Somebody else put bytes in.
            (&[(0, 30, 10), (0, 10, 10)], None),
            (&[], None),
        ] {
            assert_eq!(told(windows).as_deref(), expected, "{windows:?}");
        }
    }
}
