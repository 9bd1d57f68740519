//! Kernel records as differences: what one thread's records of one kind have in common is said once in a block.
//!
//! A record is taken as words of 8 bytes, and each is told by what it has over the same word of the record before in the
//! same *slot*. A word may have moved on with the clock (a time, or the record's own), so there are two guesses. Which slot,
//! is the writer's choice and told; readers need not know how it was made.
//!
//! Invariant: writer and reader keep the same slots, from the beginning of a block on. A reader believes nothing: what is not
//! whole is no record, and no more than [`WORDS`] words come out of nothing.

use zerocopy::{IntoBytes as _, little_endian::U64};

use super::frame::{put_varint, take_varint};

/// A slot's number is a byte.
const SLOTS: usize = 256;
/// So many words of a record are told as differences at most; what follows is told as it is.
const WORDS: usize = 32;
const WORD: usize = size_of::<U64>();
/// A difference that takes more than a word's bytes is not worth it.
const TOO_LARGE: u64 = 1 << 56;

/// What a word is told as: two bits each, the first in the lowest. 0: it is the same.
const PER_BYTE: usize = 4;
/// The difference to the word before, as a zigzag varint.
const DIFFERENT: u64 = 1;
/// The difference to the word before and the time that has passed since.
const MOVED: u64 = 2;
/// As it is.
const WHOLE: u64 = 3;

#[derive(Clone, Copy)]
struct Slot {
    /// Of the frame.
    time: u64,
    words: [U64; WORDS],
}

/// The records to compare with.
pub(super) struct Alike {
    slots: Vec<Slot>,
}

impl Alike {
    const NOTHING: Slot = Slot { time: 0, words: [U64::ZERO; WORDS] };

    pub(super) fn new() -> Self {
        Self { slots: vec![Self::NOTHING; SLOTS] }
    }

    /// A block begins.
    pub(super) fn forget(&mut self) {
        self.slots.fill(Self::NOTHING);
    }

    /// Appends a record. Its length has to be told before.
    pub(super) fn encode(&mut self, to: &mut Vec<u8>, time: u64, record: &[u8]) {
        let number = slot_for(record);
        let Some(slot) = self.slots.get_mut(usize::from(number)) else { return };
        let passed = time.wrapping_sub(slot.time);
        let (words, _) = record.as_chunks::<WORD>();
        let words = words.get(..WORDS).unwrap_or(words);
        to.push(number);
        let at = to.len();
        to.extend(std::iter::repeat_n(0, words.len().div_ceil(PER_BYTE)));
        let mut told = 0;
        for (index, (word, known)) in words.iter().zip(&mut slot.words).enumerate() {
            let word = u64::from_le_bytes(*word);
            let difference = word.wrapping_sub(known.get());
            if difference == 0 {
                continue;
            }
            *known = word.into();
            let (different, moved) = (zigzag(difference), zigzag(difference.wrapping_sub(passed)));
            let how = if different.min(moved) >= TOO_LARGE {
                to.extend_from_slice(&word.to_le_bytes());
                WHOLE
            } else if moved < different {
                put_varint(to, moved);
                MOVED
            } else {
                put_varint(to, different);
                DIFFERENT
            };
            told |= how << (2 * index);
        }
        for (to, told) in to.iter_mut().skip(at).zip(told.to_le_bytes()).take(words.len().div_ceil(PER_BYTE)) {
            *to = told;
        }
        slot.time = time;
        to.extend_from_slice(record.get(words.len() * WORD..).unwrap_or_default());
    }

    /// Takes a record of `len` bytes off the front of `from`; `None`: there is no whole one.
    pub(super) fn decode(&mut self, from: &mut &[u8], time: u64, len: usize, to: &mut Vec<u8>) -> Option<()> {
        let (number, rest) = from.split_first()?;
        let slot = self.slots.get_mut(usize::from(*number))?;
        let passed = time.wrapping_sub(slot.time);
        let count = (len / WORD).min(WORDS);
        let (head, mut rest) = rest.split_at_checked(count.div_ceil(PER_BYTE))?;
        let mut told = [0; WORD];
        told.get_mut(..head.len())?.copy_from_slice(head);
        let mut told = u64::from_le_bytes(told);
        // Most words are the same: only the others are gone to.
        while told != 0 {
            let index = told.trailing_zeros() / 2;
            let how = told >> (2 * index) & 3;
            told &= !(3 << (2 * index));
            let known = slot.words.get_mut(index as usize)?;
            let word = match how {
                DIFFERENT => known.get().wrapping_add(unzigzag(take_varint(&mut rest)?)),
                MOVED => known.get().wrapping_add(unzigzag(take_varint(&mut rest)?)).wrapping_add(passed),
                _ => {
                    let (word, behind) = rest.split_first_chunk()?;
                    rest = behind;
                    u64::from_le_bytes(*word)
                }
            };
            *known = word.into();
        }
        slot.time = time;
        let (bytes, rest) = rest.split_at_checked(len - count * WORD)?;
        to.extend_from_slice(slot.words.get(..count)?.as_bytes());
        to.extend_from_slice(bytes);
        *from = rest;
        Some(())
    }
}

/// Records of one kind and thread are most alike: both are in the header, bytes 14 to 20.
fn slot_for(record: &[u8]) -> u8 {
    let word = record.get(14..22).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
    // Fibonacci hashing: the upper bits of a product depend on all of the lower ones.
    ((word << 16).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Small numbers of either sign as small ones without.
pub(super) fn zigzag(difference: u64) -> u64 {
    let difference = difference as i64;
    ((difference << 1) ^ (difference >> 63)) as u64
}

pub(super) fn unzigzag(zigzag: u64) -> u64 {
    (zigzag >> 1) ^ (zigzag & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

    use proptest::prelude::*;

    use super::*;

    fn record() -> impl Strategy<Value = (u64, Vec<u8>)> {
        // Like records: few values, some that move on, and a tail; and anything at all.
        let alike =
            (any::<u64>(), prop::collection::vec(prop_oneof![Just(0), 0..300_u64, any::<u64>()], 0..40), 0..8_usize)
                .prop_map(|(time, words, tail)| {
                    let words = words.iter().map(|word| if word % 2 == 0 { *word } else { word.wrapping_add(time) });
                    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
                    bytes.extend((0..tail).map(|byte| byte as u8));
                    (time, bytes)
                });
        prop_oneof![alike, (any::<u64>(), prop::collection::vec(any::<u8>(), 0..400))]
    }

    proptest! {
        #[test]
        fn what_is_told_is_understood(records in prop::collection::vec(record(), 0..40)) {
            let (mut writer, mut reader) = (Alike::new(), Alike::new());
            for (time, record) in &records {
                let mut told = Vec::new();
                writer.encode(&mut told, *time, record);
                for cut in 0..told.len() {
                    // A cut one is none; the slots are not to be used any more then.
                    let mut found = Vec::new();
                    prop_assert_eq!(Alike::new().decode(&mut &told[..cut], *time, record.len(), &mut found), None);
                }
                let (mut rest, mut found) = (told.as_slice(), Vec::new());
                prop_assert_eq!(reader.decode(&mut rest, *time, record.len(), &mut found), Some(()));
                prop_assert!(rest.is_empty());
                prop_assert_eq!(&found, record);
            }
        }

        #[test]
        fn nothing_large_comes_out_of_nothing(bytes in prop::collection::vec(any::<u8>(), 0..300), len in any::<usize>()) {
            let mut found = Vec::new();
            let _ = Alike::new().decode(&mut bytes.as_slice(), 0, len, &mut found);
            prop_assert!(found.len() <= WORDS * WORD + bytes.len());
        }
    }

    #[test]
    fn what_moves_on_with_the_clock_takes_a_few_bytes() {
        let mut writer = Alike::new();
        let record = |time: u64| {
            [time + 1_000_000, 7 << 48, 42, time + 999_000, 5].iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>()
        };
        let mut told = Vec::new();
        writer.encode(&mut told, 1_000, &record(1_000));
        told.clear();
        writer.encode(&mut told, 3_000_000_000, &record(3_000_000_000));
        // Slot, two bytes of how, and nothing but that two words moved on.
        assert_eq!(told[1..], [0b1000_0010, 0, 0, 0]);
    }

    #[test]
    fn one_threads_records_of_a_kind_have_a_slot() {
        let record = |kind: u16, tid: u32, rest: u8| {
            let mut bytes = vec![rest; 40];
            bytes[14..16].copy_from_slice(&kind.to_le_bytes());
            bytes[16..20].copy_from_slice(&tid.to_le_bytes());
            bytes
        };
        assert_eq!(slot_for(&record(0x48, 77, 1)), slot_for(&record(0x48, 77, 2)));
        let slots: std::collections::BTreeSet<u8> =
            (0..20).flat_map(|kind| (1_000..1_004).map(move |tid| slot_for(&record(kind, tid, 0)))).collect();
        assert!(slots.len() > 50, "{}", slots.len());
        assert_eq!(slot_for(&[1, 2]), 0);
    }
}
