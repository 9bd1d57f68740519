//! An input as a list of frames, so that a mutation is one of records and not of the bytes that hold them.
//!
//! A frame is its kind (a byte), its time (8), the length of its bytes (2) and these: fixed places, unlike in a block of a
//! recording. An input that ends within a frame has the frames before it. Tested here.

use ipcscope::trace::{Frame, FrameKind};
use ipcscope_common::{
    Header, call, descriptor, file, futex, mark, memory, mqueue, object, pipe, process, queue, sched, sem, shm, signal,
    socket,
};

const HEAD: usize = 11;

/// The number of a frame's kind in a file, which `trace` keeps to itself.
pub fn code(kind: FrameKind) -> u8 {
    match kind {
        FrameKind::Wire => 1,
        FrameKind::Output => 2,
        FrameKind::NotKept => 3,
        FrameKind::Part => 4,
        FrameKind::Other(code) => code,
    }
}

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
        input.push(code(frame.kind));
        input.extend(frame.time.to_le_bytes());
        input.extend((bytes.len() as u16).to_le_bytes());
        input.extend(bytes);
    }
    input
}

macro_rules! kinds {
    ($($family:ident [$($name:ident $($kind:ident)*;)*])*) => {
        /// Every kind of record, and how long it is.
        pub const KINDS: &[(u16, usize)] = &[$($($(($family::$kind, size_of::<$family::$name>()),)*)*)*];
    };
}

kinds! {
    process [NewTask NEW_TASK; Found FOUND; Exec EXEC; Exit EXIT; Freed FREED; Rename RENAME;]
    sched [Switch SWITCH; Block BLOCK; Wait WAIT; Waking WAKING WAKING_NEW;]
    call [CallEnd CALL_END; CallBegin CALL_BEGIN;]
    descriptor [Descriptor DESCRIPTOR HELD FOUND_HELD; ChannelPath CHANNEL_PATH; CloseRange CLOSED_RANGE;]
    file [FileCall FILE_CALL;]
    pipe [PipeCall PIPE_CALL; PipeUnseen PIPE_UNSEEN; PipeSample PIPE_SAMPLE; PipeLayout PIPE_LAYOUT PIPE_CONTENDED;]
    signal [Generate GENERATE; Deliver DELIVER; Sigaction SIGACTION; Mask MASK; Consumed CONSUMED;]
    queue [QueueMessage QUEUE_MESSAGE; QueueCall QUEUE_CALL;]
    mqueue [MqueueCall MQUEUE_CALL; MqueueFacts MQUEUE_FACTS; MqueueName MQUEUE_REFUSED MQUEUE_REMOVED;]
    shm [ShmCall SHM_CALL;]
    sem [SemBegin SEM_BEGIN; SemCall SEM_CALL;]
    object [ObjectFacts OBJECT_FACTS; ObjectCall OBJECT_CALL; ObjectBegin OBJECT_BEGIN;]
    memory [MemoryCall MEMORY_CALL; MemoryName MEMORY_REMOVED;]
    futex [FutexBegin FUTEX_BEGIN; FutexCall FUTEX_CALL;]
    socket [SocketCall SOCKET_CALL; SocketChange SOCKET_CHANGE; SocketAddress SOCKET_ADDRESS;
        SocketBegin SOCKET_BEGIN SOCKET_SHARED; SocketBuffer SOCKET_BUFFER; SocketPieces SOCKET_PIECES;
        SocketDropped SOCKET_DROPPED;]
    mark [Start START; Lost LOST; Tick TICK;]
}

/// A record of zeros behind its header.
pub fn blank((kind, len): (u16, usize), like: &Header) -> Vec<u8> {
    use zerocopy::IntoBytes as _;
    let mut bytes = Header { kind, ..*like }.as_bytes().to_vec();
    bytes.resize(len, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

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
