//! An input as a list of frames, so that a mutation is one of records and not of the bytes that hold them.
//!
//! A frame is its kind (a byte), its time (8), the length of its bytes (2) and these: fixed places, unlike in a block of a
//! recording. An input that ends within a frame has the frames before it. Tested here.

use ipcscope::trace::Frame;
use ipcscope_common::{Header, records::Record};

const HEAD: usize = 11;

/// The frames of an input.
pub fn decode(mut input: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = input.split_first_chunk::<HEAD>() {
        let [kind, time @ .., low, high] = *head;
        let len = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (bytes, rest) = rest.split_at(len);
        frames.push(Frame { kind: kind.into(), time: u64::from_le_bytes(time), bytes: bytes.to_vec() });
        input = rest;
    }
    frames
}

/// As many of the frames as there is room for.
pub fn encode(frames: &[Frame], most: usize) -> Vec<u8> {
    let mut input = Vec::new();
    for frame in frames {
        let bytes = frame.bytes.get(..usize::from(u16::MAX)).unwrap_or(&frame.bytes);
        if input.len() + HEAD + bytes.len() > most {
            break;
        }
        input.push(frame.kind.code());
        input.extend(frame.time.to_le_bytes());
        input.extend((bytes.len() as u16).to_le_bytes());
        input.extend(bytes);
    }
    input
}

/// A record of zeros behind its header.
pub fn blank(record: &Record, like: &Header) -> Vec<u8> {
    use zerocopy::IntoBytes as _;
    let mut bytes = Header { kind: record.kind, ..*like }.as_bytes().to_vec();
    bytes.resize(record.size, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipcscope::trace::FrameKind;

    #[test]
    fn frames_are_read_as_written_and_no_more_than_fit() {
        let frame = |kind, time, len| Frame { kind, time, bytes: vec![7; len] };
        let frames =
            [frame(FrameKind::Wire, 5, 3), frame(FrameKind::Output, u64::MAX, 0), frame(FrameKind::Other(99), 0, 300)];
        let input = encode(&frames, 1000);
        assert_eq!(decode(&input), frames);
        assert_eq!(decode(&encode(&frames, 300)), frames[..2]);
        assert_eq!(decode(&input[..HEAD + 3 + HEAD - 1]), frames[..1]);
    }
}
