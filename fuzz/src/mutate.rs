//! Mutations of records.
//!
//! What a decoder joins records by (threads, sockets, inodes, times) are numbers that must be the same in several of them:
//! so words are taken from one record into another, records are copied, moved and made anew, and only now and then are
//! bytes mutated as libFuzzer would. Everything hangs on the seed alone.

use ipcscope::trace::{Frame, FrameKind};
use ipcscope_common::{Header, records};
use libfuzzer_sys::fuzzer_mutate;
use zerocopy::FromBytes as _;

use crate::frames;

/// Numbers at which something ends.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    3,
    7,
    0xff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
    // -EINTR, -ERESTARTSYS
    -4_i64 as u64,
    -512_i64 as u64,
];

/// Where in a record its header ends.
const BEHIND: usize = size_of::<Header>();

/// Numbers at random (splitmix64), the same for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u32) -> Self {
        Self(u64::from(seed))
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end.max(1) as u64) as usize
    }
}

/// Changes an input that is `skip` bytes of choices and then frames.
pub fn input(data: &mut [u8], size: usize, most: usize, seed: u32, skip: usize) -> usize {
    let mut dice = Dice::new(seed);
    if size <= skip || dice.below(16) == 0 {
        return fuzzer_mutate(data, size, most);
    }
    let (Some(head), Some(rest)) = (data.get(..skip), data.get(skip..size)) else { return size };
    let mut frames = frames::decode(rest);
    for _ in 0..=dice.below(4) {
        change(&mut frames, &mut dice);
    }
    let made = [head, &frames::encode(&frames, most.saturating_sub(skip))].concat();
    put(data, &made, most)
}

/// Puts what was made where libFuzzer wants it.
pub fn put(data: &mut [u8], made: &[u8], most: usize) -> usize {
    let len = made.len().min(most).min(data.len());
    data[..len].copy_from_slice(&made[..len]);
    len
}

/// The beginning of one input and the end of another.
pub fn cross(one: &[u8], other: &[u8], out: &mut [u8], seed: u32, skip: usize) -> usize {
    let mut dice = Dice::new(seed);
    let (head, one) = one.split_at(skip.min(one.len()));
    let (mut frames, others) = (frames::decode(one), frames::decode(other.get(skip..).unwrap_or_default()));
    frames.truncate(dice.below(frames.len() + 1));
    frames.extend_from_slice(&others[dice.below(others.len() + 1)..]);
    let most = out.len();
    let made = [head, &frames::encode(&frames, most.saturating_sub(skip))].concat();
    put(out, &made, most)
}

/// One change.
pub fn change(frames: &mut Vec<Frame>, dice: &mut Dice) {
    let (at, from) = (dice.below(frames.len()), dice.below(frames.len()));
    if frames.is_empty() {
        frames.push(made(frames, dice));
        return;
    }
    match dice.below(16) {
        // A word of one becomes one of another.
        0..=3 => {
            let word = word(&frames[from].bytes, dice);
            place(&mut frames[at].bytes, word, dice);
        }
        4 | 5 => {
            let edge = EDGES[dice.below(EDGES.len())];
            place(&mut frames[at].bytes, edge, dice);
        }
        6 => {
            let frame = frames[from].clone();
            frames.insert(at, frame);
        }
        7 => {
            let frame = frames.remove(from);
            frames.insert(dice.below(frames.len() + 1), frame);
        }
        8 => {
            let most = 1 << dice.below(6);
            let end = (at + 1 + dice.below(most)).min(frames.len());
            frames.drain(at..end);
        }
        9 | 10 => frames.insert(at, made(frames, dice)),
        // As another one, at another time or by another thread.
        11 => {
            let (time, header) = (frames[from].time, frames[from].bytes.clone());
            let which = [0..8, 16..24, 16..20, 8..14, 14..16][dice.below(5)].clone();
            frames[at].time = if which.start == 0 { time } else { frames[at].time };
            if let (Some(to), Some(from)) = (frames[at].bytes.get_mut(which.clone()), header.get(which)) {
                to.copy_from_slice(from);
            }
        }
        12 => frames[at].time = if dice.below(2) == 0 { dice.roll() } else { EDGES[dice.below(EDGES.len())] },
        13 => {
            let kinds = [FrameKind::Wire, FrameKind::Output, FrameKind::NotKept, FrameKind::Part, FrameKind::Other(0)];
            frames[at].kind = kinds[dice.below(8).min(4)];
        }
        _ => bytes(&mut frames[at].bytes, dice),
    }
}

/// As libFuzzer would.
fn bytes(of: &mut Vec<u8>, dice: &mut Dice) {
    let len = of.len();
    of.resize(len + 1 + dice.below(64), 0);
    let most = of.len();
    let len = fuzzer_mutate(of, len, most);
    of.truncate(len);
}

/// A word out of bytes, of 4 or 8 bytes.
fn word(of: &[u8], dice: &mut Dice) -> u64 {
    let at = dice.below(of.len() / 4) * 4;
    match (of.get(at..at + 8), of.get(at..at + 4)) {
        (Some(bytes), _) if at.is_multiple_of(8) && dice.below(2) == 0 => u64::read_from_bytes(bytes).unwrap_or(0),
        (_, Some(bytes)) => u32::read_from_bytes(bytes).map_or(0, u64::from),
        _ => dice.roll(),
    }
}

/// Puts it where a word may be.
fn place(to: &mut [u8], word: u64, dice: &mut Dice) {
    let len = [8, 8, 4, 4, 2, 1][dice.below(6)];
    let at = dice.below(to.len() / len) * len;
    if let Some(to) = to.get_mut(at..at + len) {
        to.copy_from_slice(&word.to_le_bytes()[..len]);
    }
}

/// A record of any kind, by a thread that is there, full of numbers that are there.
fn made(frames: &[Frame], dice: &mut Dice) -> Frame {
    let like = frames.get(dice.below(frames.len()));
    let header = like.and_then(|frame| Header::read_from_prefix(&frame.bytes).ok());
    let header = header.map_or(Header::default(), |(header, _)| header);
    let mut bytes = frames::blank(&records::ALL[dice.below(records::ALL.len())], &header);
    for _ in 0..dice.below(12) {
        let from = frames.get(dice.below(frames.len()));
        let word = from.map_or(0, |frame| word(&frame.bytes, dice));
        place(bytes.get_mut(BEHIND..).unwrap_or_default(), word, dice);
    }
    Frame { kind: FrameKind::Wire, time: like.map_or(0, |frame| frame.time), bytes }
}
