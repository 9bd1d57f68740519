//! Bytes → records: the only place that knows how records lie in memory. No BPF handle in sight.

use ipcscope_common::{
    Header, call, descriptor, file, futex, mark, memory, mqueue, object, pipe, process, queue, ring, sched, sem, shm,
    signal, socket,
};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// A record of the wire.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each names the wire's own type, documented there")]
pub enum Record<'a> {
    NewTask(process::NewTask),
    Found(process::Found),
    Exec(Box<process::Exec>),
    Exit(process::Exit),
    Freed(process::Freed),
    Rename(process::Rename),
    Switch(sched::Switch),
    Block(sched::Block),
    Wait(sched::Wait),
    Waking(sched::Waking),
    WakingNew(sched::Waking),
    CallEnd(call::CallEnd),
    CallBegin(call::CallBegin),
    Descriptor(descriptor::Descriptor),
    Held(descriptor::Descriptor),
    FoundHeld(descriptor::Descriptor),
    CloseRange(descriptor::CloseRange),
    ChannelPath(Box<descriptor::ChannelPath>),
    FileCall(Box<file::FileCall>),
    PipeCall(pipe::PipeCall, &'a [u8]),
    PipeSample(pipe::PipeSample),
    PipeContended(Box<pipe::PipeLayout>),
    PipeLayout(Box<pipe::PipeLayout>),
    PipeUnseen(pipe::PipeUnseen),
    QueueMessage(queue::QueueMessage),
    QueueCall(Box<queue::QueueCall>, &'a [u8]),
    MqueueCall(Box<mqueue::MqueueCall>, &'a [u8]),
    MqueueFacts(Box<mqueue::MqueueFacts>),
    MqueueRefused(Box<mqueue::MqueueName>),
    MqueueRemoved(Box<mqueue::MqueueName>),
    ShmCall(Box<shm::ShmCall>),
    SemBegin(sem::SemBegin),
    SemCall(Box<sem::SemCall>),
    ObjectFacts(Box<object::ObjectFacts>),
    ObjectBegin(object::ObjectBegin),
    ObjectCall(object::ObjectCall, &'a [u8]),
    MemoryCall(memory::MemoryCall),
    MemoryRemoved(Box<memory::MemoryName>),
    FutexBegin(futex::FutexBegin),
    FutexCall(futex::FutexCall),
    Generate(signal::Generate),
    Deliver(signal::Deliver),
    Sigaction(signal::Sigaction),
    Mask(signal::Mask),
    Consumed(signal::Consumed),
    SocketCall(socket::SocketCall, &'a [u8]),
    SocketChange(socket::SocketChange),
    SocketAddress(Box<socket::SocketAddress>),
    SocketBegin(socket::SocketBegin),
    SocketShared(socket::SocketBegin),
    SocketBuffer(socket::SocketBuffer),
    SocketPieces(Box<socket::SocketPieces>),
    SocketDropped(socket::SocketDropped),
    SocketArrived(socket::SocketArrived),
    RingCall(ring::RingCall),
    Start(mark::Start),
    Lost(mark::Lost),
    Tick(mark::Tick),
    /// Of a newer version: skipped.
    Unknown(Header),
}

/// A record that ends before its fields do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read a record of kind {kind:#x}: {len} bytes are too few")]
pub struct TooShort {
    /// Its kind; 0 if not even that could be read.
    pub kind: u16,
    /// Its length.
    pub len: usize,
}

/// The header of a record.
pub fn header(bytes: &[u8]) -> Result<Header, TooShort> {
    Header::read_from_prefix(bytes).map(|(header, _)| header).map_err(|_| TooShort { kind: 0, len: bytes.len() })
}

fn read<T: FromBytes + KnownLayout + Immutable>(kind: u16, bytes: &[u8]) -> Result<(T, &[u8]), TooShort> {
    T::read_from_prefix(bytes).map_err(|_| TooShort { kind, len: bytes.len() })
}

/// Reads a record.
pub fn parse(bytes: &[u8]) -> Result<Record<'_>, TooShort> {
    let header = header(bytes)?;
    let kind = header.kind;
    macro_rules! plain {
        ($variant:ident) => {
            read(kind, bytes).map(|(record, _)| Record::$variant(record))
        };
        (boxed $variant:ident) => {
            read(kind, bytes).map(|(record, _)| Record::$variant(Box::new(record)))
        };
    }
    match kind {
        process::NEW_TASK => plain!(NewTask),
        process::FOUND => plain!(Found),
        process::EXEC => plain!(boxed Exec),
        process::EXIT => plain!(Exit),
        process::FREED => plain!(Freed),
        process::RENAME => plain!(Rename),
        sched::SWITCH => plain!(Switch),
        sched::BLOCK => plain!(Block),
        sched::WAIT => plain!(Wait),
        sched::WAKING => plain!(Waking),
        sched::WAKING_NEW => plain!(WakingNew),
        call::CALL_END => plain!(CallEnd),
        call::CALL_BEGIN => plain!(CallBegin),
        descriptor::DESCRIPTOR => plain!(Descriptor),
        descriptor::HELD => plain!(Held),
        descriptor::FOUND_HELD => plain!(FoundHeld),
        descriptor::CLOSED_RANGE => plain!(CloseRange),
        descriptor::CHANNEL_PATH => plain!(boxed ChannelPath),
        file::FILE_CALL => plain!(boxed FileCall),
        pipe::PIPE_CALL => {
            let (call, rest): (pipe::PipeCall, _) = read(kind, bytes)?;
            let payload = rest.get(..call.payload_len as usize).unwrap_or(rest);
            Ok(Record::PipeCall(call, payload))
        }
        pipe::PIPE_SAMPLE => plain!(PipeSample),
        pipe::PIPE_CONTENDED => plain!(boxed PipeContended),
        pipe::PIPE_LAYOUT => plain!(boxed PipeLayout),
        pipe::PIPE_UNSEEN => plain!(PipeUnseen),
        queue::QUEUE_MESSAGE => plain!(QueueMessage),
        queue::QUEUE_CALL => {
            let (call, rest): (queue::QueueCall, _) = read(kind, bytes)?;
            let payload = rest.get(..call.payload_len as usize).unwrap_or(rest);
            Ok(Record::QueueCall(Box::new(call), payload))
        }
        mqueue::MQUEUE_CALL => {
            let (call, rest): (mqueue::MqueueCall, _) = read(kind, bytes)?;
            let payload = rest.get(..call.payload_len as usize).unwrap_or(rest);
            Ok(Record::MqueueCall(Box::new(call), payload))
        }
        mqueue::MQUEUE_FACTS => plain!(boxed MqueueFacts),
        mqueue::MQUEUE_REFUSED => plain!(boxed MqueueRefused),
        mqueue::MQUEUE_REMOVED => plain!(boxed MqueueRemoved),
        shm::SHM_CALL => plain!(boxed ShmCall),
        sem::SEM_BEGIN => plain!(SemBegin),
        sem::SEM_CALL => plain!(boxed SemCall),
        object::OBJECT_FACTS => plain!(boxed ObjectFacts),
        object::OBJECT_BEGIN => plain!(ObjectBegin),
        object::OBJECT_CALL => {
            let (call, rest): (object::ObjectCall, _) = read(kind, bytes)?;
            let payload = rest.get(..call.payload_len as usize).unwrap_or(rest);
            Ok(Record::ObjectCall(call, payload))
        }
        memory::MEMORY_CALL => plain!(MemoryCall),
        memory::MEMORY_REMOVED => plain!(boxed MemoryRemoved),
        futex::FUTEX_BEGIN => plain!(FutexBegin),
        futex::FUTEX_CALL => plain!(FutexCall),
        signal::GENERATE => plain!(Generate),
        signal::DELIVER => plain!(Deliver),
        signal::SIGACTION => plain!(Sigaction),
        signal::MASK => plain!(Mask),
        signal::CONSUMED => plain!(Consumed),
        socket::SOCKET_CALL => {
            let (call, rest): (socket::SocketCall, _) = read(kind, bytes)?;
            let payload = rest.get(..call.payload_len as usize).unwrap_or(rest);
            Ok(Record::SocketCall(call, payload))
        }
        socket::SOCKET_CHANGE => plain!(SocketChange),
        socket::SOCKET_ADDRESS => plain!(boxed SocketAddress),
        socket::SOCKET_BEGIN => plain!(SocketBegin),
        socket::SOCKET_SHARED => plain!(SocketShared),
        socket::SOCKET_BUFFER => plain!(SocketBuffer),
        socket::SOCKET_DROPPED => plain!(SocketDropped),
        socket::SOCKET_ARRIVED => plain!(SocketArrived),
        ring::RING_CALL => plain!(RingCall),
        socket::SOCKET_PIECES => plain!(boxed SocketPieces),
        mark::START => plain!(Start),
        mark::LOST => plain!(Lost),
        mark::TICK => plain!(Tick),
        _ => Ok(Record::Unknown(header)),
    }
}
