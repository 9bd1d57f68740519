//! The threads that are traced, and the call each is in.
//!
//! A traced thread has two things. An entry in a table keyed by the address of its `task_struct`, which is unique as long
//! as the thread exists; the entry goes when the kernel frees it (`sched_process_free`). And a place in the thread's own
//! storage (`BPF_MAP_TYPE_TASK_STORAGE`), which costs a third of a table look-up, for the programs that run most: system
//! calls and switches. Those never interrupt each other; programs that may run in an interrupt use the table, since
//! before 6.2 looking into the storage can fail there (`bpf_task_storage_trylock`).
//!
//! Invariant: a thread's call is written only by its own thread, or at its switch, so never by two CPUs at once.

use core::{ffi::c_void, ptr};

use aya_ebpf::{bindings::task_struct, helpers::generated::bpf_task_storage_get, macros::map, maps::HashMap};

use ipcscope_common::call::BIT_32;

use crate::kernel::{Behind, LONG, Ptr, setting};

/// Threads that can be followed at once.
const THREADS: u32 = 16384;

/// One end of a channel in the hands of a call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct End {
    /// The `pipe_inode_info` that the call is on; 0: it is on no pipe here.
    pub pipe: u64,
    /// The `file` looked at last, to notice that the descriptor changed its meaning meanwhile.
    pub file: u64,
    /// The channel behind that file: `pipe_inode_info`, or what its `object` has; 0: it is no channel.
    pub address: u64,
    /// Its inode number.
    pub ino: u64,
    /// Its inode's file system.
    pub dev: u32,
    /// The descriptor.
    pub fd: i32,
    /// `ipcscope_common::pipe::flag`.
    pub flags: u16,
    /// `ipcscope_common::descriptor::object`.
    pub object: u16,
    /// 1: the call is on it, whatever it is.
    pub in_use: u32,
}

impl End {
    /// Nothing.
    pub const NONE: Self =
        Self { pipe: 0, file: 0, address: 0, ino: 0, dev: 0, fd: -1, flags: 0, object: 0, in_use: 0 };

    /// The call is on nothing here; what is known of the file stays.
    #[inline(always)]
    pub fn leave(&mut self) {
        self.pipe = 0;
        self.in_use = 0;
    }
}

/// Bytes of a write that are kept from its entry on.
pub const PAYLOAD: usize = 64;

/// A traced thread.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Task {
    /// When its call was entered.
    pub entered: u64,
    /// When it returned.
    pub returned: u64,
    /// What it returned.
    pub ret: i64,
    /// Bytes the call asks for; `u64::MAX`: unknown.
    pub requested: u64,
    /// The mask it was last known to have.
    pub mask: u64,
    /// The call's arguments.
    pub args: [u64; 6],
    /// Bytes of a word in the structures it is given.
    pub word: u64,
    /// What the call reads from, and what it writes to.
    pub ends: [End; 2],
    /// Its ids.
    pub tid: u32,
    /// Its process.
    pub tgid: u32,
    /// The call's number, with `ipcscope_common::call::BIT_32`.
    pub nr: i32,
    /// The number that it was entered with.
    pub raw: i32,
    /// The call's class; 0: not in a call that is followed.
    pub class: u8,
    /// 1: held by us before its exec; its calls do not count yet.
    pub held: u8,
    /// 1: the call's pipe is contended, so its steps are sampled.
    pub sampled: u8,
    /// 1: what is said of the ends' files still holds: only this thread can change its descriptors, and it has not closed
    /// or replaced any since.
    pub known: u8,
    /// How many of them are in `payload`.
    pub payload_len: u32,
    /// 1: it was told that the process moves bytes in ways that are not followed.
    pub unseen: u64,
    /// 1: a call was interrupted, or a handler returned: the next call's beginning and end are told.
    pub watched: u64,
}

/// A word of a thread's memory and the bytes behind it.
pub type Kept = Behind<PAYLOAD>;

/// What a thread's storage holds.
#[repr(C)]
struct Stored {
    task: Task,
    /// The first bytes of the write it is in, behind the type of a message.
    kept: Kept,
    /// The message it sends or receives.
    message: Message,
    /// What its call has copied from a socket.
    pieces: Pieces,
    /// Where the bytes of its call on a socket are.
    place: Place,
}

/// A call on a message queue.
#[repr(C)]
pub struct Message {
    /// The message (`msg_msg`); 0: none was made or freed yet.
    pub address: u64,
    /// When it was freed.
    pub freed: u64,
    /// Its type.
    pub msg_type: i64,
    /// The queue (`msg_queue`), as found last; 0: there is none.
    pub queue: u64,
    /// The namespaces it was found in.
    pub nsproxy: u64,
    /// Its id.
    pub id: u32,
    /// The number of its namespace.
    pub namespace: u32,
    /// 1: what hardly ever changes of that queue was told.
    pub told: u64,
    /// 1: the call made a queue.
    pub created: u32,
    /// Its length.
    pub len: u32,
}

/// Where the bytes of a call on a socket are.
///
/// Kept here and not on the stack between two functions: what is read back the verifier knows nothing of, so it need not
/// look at each way that led here together with each that goes on.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Place {
    /// What was moved, or an error.
    pub ret: i64,
    /// Bytes asked for.
    pub requested: u64,
    /// The buffer, or the vector of them; 0: not in this process's memory.
    pub at: u64,
    /// How many buffers; 0: it is no vector.
    pub buffers: u64,
    /// `MSG_*`.
    pub flags: u64,
    /// An address given with it, and how long it is.
    pub name: u64,
    /// See `name`.
    pub name_len: u64,
    /// The socket's `sock`; 0: the descriptor is not what it was.
    pub sock: u64,
}

/// Buffers of one call that are noted; a power of two.
pub const PIECES: usize = 8;

/// What a call has copied from a socket so far, in order.
#[repr(C)]
pub struct Pieces {
    /// How many buffers; only the first [`PIECES`] are in the list.
    pub count: u32,
    /// Where in the stream of a TCP connection: `copied_seq` when the first byte was copied, `write_seq` when a send began.
    pub seq: u32,
    /// When the first was copied, by the one who holds the socket's lock; 0: none was.
    pub time: u64,
    /// How often the thread had gone to sleep by then.
    pub sleeps: u64,
    /// Bytes copied from a TCP connection.
    pub copied: u32,
    /// 1: what was copied need not stand together in the stream: it waited in between, and others may have received.
    pub parted: u32,
    /// The `sock` that got the datagram that is sent; 0: none yet, 1: several.
    pub receiver: u64,
    /// They.
    pub list: [Piece; PIECES],
}

/// A buffer (`sk_buff`) of a UNIX socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Piece {
    /// The buffer.
    pub skb: u64,
    /// When it was copied from.
    pub time: u64,
    /// The `sock` it came from.
    pub sock: u64,
    /// That socket's inode number; 0: not looked up.
    pub ino: u64,
    /// How many bytes were copied.
    pub copied: u32,
    /// How many the buffer has.
    pub len: u32,
}

impl Task {
    /// A thread in no call.
    #[inline(always)]
    pub fn new(tid: u32, tgid: u32, held: u8) -> Self {
        Self {
            entered: 0,
            returned: 0,
            ret: 0,
            requested: 0,
            mask: 0,
            args: [0; 6],
            word: LONG,
            ends: [End::NONE; 2],
            tid,
            tgid,
            nr: -1,
            raw: -1,
            class: 0,
            held,
            sampled: 0,
            known: 0,
            payload_len: 0,
            unseen: 0,
            watched: 0,
        }
    }

    /// The call's number, a 32-bit call's like that of any other.
    #[inline(always)]
    pub fn number(&self) -> i32 {
        self.nr & !BIT_32
    }
}

/// A thread's ids, and whether it is held.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Member {
    /// Its id.
    pub tid: u32,
    /// Its process.
    pub tgid: u32,
    /// 1: held by us before its exec.
    pub held: u32,
}

/// All traced threads by the address of their `task_struct`.
#[map]
static TASKS: HashMap<u64, Member> = HashMap::with_max_entries(THREADS, 0);

/// A map in the threads themselves; the library has no type for it.
#[repr(C)]
struct TaskStorage {
    r#type: *const [i32; 29],
    key: *const i32,
    value: *const Stored,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; 1],
}

// SAFETY: never read; only its type information counts.
unsafe impl Sync for TaskStorage {}

/// The calls of traced threads.
#[unsafe(link_section = ".maps")]
#[unsafe(no_mangle)]
static CALLS: TaskStorage = TaskStorage {
    r#type: ptr::null(),
    key: ptr::null(),
    value: ptr::null(),
    max_entries: ptr::null(),
    map_flags: ptr::null(),
};

/// `BPF_LOCAL_STORAGE_GET_F_CREATE`.
const CREATE: u64 = 1;

#[inline(always)]
fn storage(task: Ptr, flags: u64) -> Option<&'static mut Stored> {
    // SAFETY: task is a task_struct to the verifier; the value lives as long as the program runs.
    unsafe {
        let map = (&raw const CALLS).cast::<c_void>().cast_mut();
        let value = bpf_task_storage_get(map, task as *mut task_struct, ptr::null_mut(), flags);
        value.cast::<Stored>().as_mut()
    }
}

/// The call of a thread, if it is traced. Not in interrupts.
#[inline(always)]
pub fn traced(task: Ptr) -> Option<&'static mut Task> {
    // A place that is not filled in yet has no ids.
    storage(task, 0).map(|stored| &mut stored.task).filter(|task| task.tid != 0)
}

/// Where the first bytes of a thread's write are kept, and how many are, together with its call.
#[inline(always)]
pub fn with_payload(task: Ptr) -> Option<(&'static mut Task, &'static mut [u8; PAYLOAD])> {
    storage(task, 0).map(|stored| (&mut stored.task, &mut stored.kept.bytes))
}

/// The call of a thread, if it is traced, with the message and the first bytes it sends.
#[inline(always)]
pub fn with_message(task: Ptr) -> Option<(&'static mut Task, &'static mut Message, &'static mut Kept)> {
    let stored = storage(task, 0)?;
    (stored.task.tid != 0).then_some((&mut stored.task, &mut stored.message, &mut stored.kept))
}

/// Where it is noted what a thread's call has copied from a socket.
#[inline(always)]
pub fn with_pieces(task: Ptr) -> Option<&'static mut Pieces> {
    storage(task, 0).map(|stored| &mut stored.pieces)
}

/// The call of a thread with the place of its bytes, if it is traced.
#[inline(always)]
pub fn with_place(task: Ptr) -> Option<(&'static mut Task, &'static mut Place)> {
    let stored = storage(task, 0)?;
    (stored.task.tid != 0).then_some((&mut stored.task, &mut stored.place))
}

/// The ids of a thread, if it is traced: from its storage where that is safe in interrupts.
#[inline(always)]
pub fn ids(task: Ptr) -> Option<(u32, u32)> {
    if setting!(storage_in_interrupts) != 0 {
        traced(task).map(|task| (task.tid, task.tgid))
    } else {
        member(task).map(|member| (member.tid, member.tgid))
    }
}

/// The entry of a thread, if it is traced.
#[inline(always)]
pub fn member(task: Ptr) -> Option<&'static mut Member> {
    // SAFETY: values live as long as the program runs.
    TASKS.get_ptr_mut(task as u64).map(|entry| unsafe { &mut *entry })
}

/// Follows a thread from now on; false: there is no room.
#[inline(always)]
pub fn follow(task: Ptr, entry: &Task) -> bool {
    let member = Member { tid: entry.tid, tgid: entry.tgid, held: u32::from(entry.held) };
    if TASKS.insert(task as u64, member, 0).is_err() {
        return false;
    }
    let Some(stored) = storage(task, CREATE) else { return false };
    stored.task = *entry;
    true
}

/// Follows it no more; its storage goes with it.
#[inline(always)]
pub fn forget(task: Ptr) {
    let _ = TASKS.remove(task as u64);
}
