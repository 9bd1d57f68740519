//! All records there are, for whoever has to go through them: tests, the document, fuzzing.

use crate::{
    call, descriptor, file, futex, mark, memory, mqueue, object, pipe, process, queue, ring, sched, sem, shm, signal,
    socket,
};

/// A record.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Its number.
    pub kind: u16,
    /// Its structure.
    pub name: &'static str,
    /// How long that is, in bytes; payload may follow.
    pub size: usize,
}

macro_rules! records {
    ($($family:ident [$($name:ident $($kind:ident)*;)*])*) => {
        /// Each of them.
        pub const ALL: &[Record] = &[$($($(
            Record { kind: $family::$kind, name: stringify!($name), size: size_of::<$family::$name>() },
        )*)*)*];
    };
}

records! {
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
        SocketDropped SOCKET_DROPPED; SocketArrived SOCKET_ARRIVED;]
    ring [RingCall RING_CALL;]
    mark [Start START; Lost LOST; Tick TICK;]
}
