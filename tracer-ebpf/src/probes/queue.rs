//! System V message queues, and the messages of POSIX ones ([`mqueue`](super::mqueue)).
//!
//! Which message a call puts in or takes out is told by its address: the kernel makes a message in `load_msg`, on the
//! sender's call, and frees it in `free_msg`, on the receiver's (ipc/msgutil.c). The two hooks on the allocator see
//! every allocation of the machine and leave after comparing where it comes from. No table is kept here: between the two
//! the address belongs to one message only, so user space matches by address and time. A message that somebody makes who
//! is not traced is told too, lest its address be taken for an earlier one's.

use aya_ebpf::programs::BtfTracePointContext;
use ipcscope_common::{
    call::class,
    descriptor::object,
    queue::{QUEUE_CALL, QUEUE_MESSAGE, QueueCall, QueueMessage, state},
    settings::lost,
};

use super::{
    call::leave,
    ipc::{self, Ids, Table},
    payload::{Bytes, at_entry, emit_with},
};
use crate::{
    emit::{emit, header},
    kernel::{LONG, Ptr, argument, copy_user_behind, current, field, now, offset, peek, peek_user, setting, site},
    task::{Message, PAYLOAD, Task, with_message},
};

/// In `kmalloc`, on whichever CPU. `kmalloc(unsigned long call_site, const void *ptr, …)`
#[inline(always)]
pub fn allocated(ctx: &BtfTracePointContext) {
    let from: u64 = ctx.arg(0);
    let is_message = from.wrapping_sub(site!(load_msg)) < site!(load_msg_len);
    let is_queue = from.wrapping_sub(site!(newque)) < site!(newque_len);
    if !is_message && !is_queue {
        return;
    }
    let address = argument(ctx, 1);
    let is_on_queue = |class| matches!(class, class::MSGSND..=class::LAST_QUEUE | class::MQ_SEND);
    let traced = with_message(current()).filter(|(task, ..)| is_on_queue(task.class));
    match traced {
        Some((_, message, _)) if is_queue => message.created = 1,
        _ if is_queue => {}
        Some((task, message, _)) if matches!(task.class, class::MSGSND | class::MQ_SEND) => {
            // The rest of a long message follows.
            if message.address == 0 {
                message.address = address;
                let header = header(QUEUE_MESSAGE, now(), task.tid, task.tgid);
                emit(lost::QUEUE, QueueMessage { header, entered: task.entered, address });
            }
        }
        // A copy of MSG_COPY takes an address as well.
        _ => {
            let header = header(QUEUE_MESSAGE, now(), 0, 0);
            emit(lost::QUEUE, QueueMessage { header, entered: 0, address });
        }
    }
}

/// In `kfree`. `kfree(unsigned long call_site, const void *ptr)`
#[inline(always)]
pub fn freed(ctx: &BtfTracePointContext) {
    let from: u64 = ctx.arg(0);
    if from.wrapping_sub(site!(free_msg)) >= site!(free_msg_len) {
        return;
    }
    let Some((task, message, _)) = with_message(current()) else { return };
    // The message itself goes before the rest of a long one.
    if matches!(task.class, class::MSGRCV | class::MQ_RECEIVE) && message.address == 0 {
        let address = argument(ctx, 1);
        message.address = address;
        message.freed = now();
        let [msg_type, len] = type_and_len(address);
        (message.msg_type, message.len) = (msg_type as i64, len as u32);
    }
}

/// A message's type (of a POSIX queue: its priority) and length: one read where they are neighbours.
#[inline(always)]
fn type_and_len(message: u64) -> [u64; 2] {
    if offset!(message_len) == offset!(message_type) + 8 {
        peek(message + offset!(message_type) as u64)
    } else {
        [peek(message + offset!(message_type) as u64), peek(message + offset!(message_len) as u64)]
    }
}

/// A call on a queue begins.
#[inline(always)]
pub fn begin(me: Ptr) {
    let Some((task, message, kept)) = with_message(me) else { return };
    message.address = 0;
    message.created = 0;
    message.len = 0;
    let [arg0, arg1, size, ..] = task.args;
    if task.class == class::MSGSND {
        // struct msgbuf { long mtype; char mtext[]; }, as it is now: another thread may change it.
        let len = at_entry(size);
        if task.word == LONG && copy_user_behind(kept, arg1, len) {
            (message.msg_type, task.payload_len) = (kept.word as i64, len);
        } else {
            (message.msg_type, task.payload_len) = (type_at(task, arg1), 0);
        }
    }
    if task.class != class::MSGGET {
        find(message, me, arg0 as u32);
        let end = &mut task.ends[0];
        end.object = object::QUEUE;
        end.in_use = u32::from(message.queue != 0);
        // What was known of a descriptor's file is not known any more.
        (end.file, end.address) = (0, 0);
        (end.ino, end.dev) = (u64::from(arg0 as u32), message.namespace);
    }
}

/// The type in a `struct msgbuf` of the current process.
#[inline(always)]
fn type_at(task: &Task, at: u64) -> i64 {
    if task.word == LONG { peek_user::<i64>(at) } else { peek_user::<i32>(at).map(i64::from) }.unwrap_or(0)
}

/// Where a queue is, in the namespace of the current thread: as the last time if that is the same. It may have been
/// removed since ([`ipc::is`]).
#[inline(always)]
fn find(message: &mut Message, me: Ptr, id: u32) {
    let nsproxy = field!(me, task_nsproxy as Ptr);
    if message.queue != 0 && message.id == id && message.nsproxy == nsproxy as u64 {
        return;
    }
    let ids = Ids::of(nsproxy as u64, Table::Msg);
    message.nsproxy = nsproxy as u64;
    message.id = id;
    message.namespace = ids.namespace;
    message.queue = ids.find(id);
    message.told = 0;
}

/// Bytes in a queue, messages in it, bytes it may hold: one read where they are neighbours.
#[inline(always)]
fn contents(queue: u64) -> [u64; 3] {
    if offset!(queue_qnum) == offset!(queue_cbytes) + 8 && offset!(queue_qbytes) == offset!(queue_cbytes) + 16 {
        peek(queue + offset!(queue_cbytes) as u64)
    } else {
        [
            peek(queue + offset!(queue_cbytes) as u64),
            peek(queue + offset!(queue_qnum) as u64),
            peek(queue + offset!(queue_qbytes) as u64),
        ]
    }
}

/// It returned.
#[inline(always)]
pub fn finish(me: Ptr) {
    let Some((task, message, kept)) = with_message(me) else { return };
    tell(task, message, &kept.bytes, me);
    leave(task, me);
}

#[inline(always)]
fn tell(task: &Task, message: &mut Message, payload: &[u8; PAYLOAD], me: Ptr) {
    let [_, at, size, ..] = task.args;
    let ret = task.ret;
    let is_send = task.class == class::MSGSND;
    let limit = setting!(payload_limit);
    let moved = match task.class {
        class::MSGSND if ret == 0 => size,
        class::MSGRCV if ret > 0 => ret as u64,
        _ => 0,
    };
    let keep = if moved < u64::from(limit) { moved as u32 } else { limit };
    let kept = (is_send && keep <= task.payload_len).then_some(payload);
    let bytes = Bytes { keep, from: at + task.word, kept };
    // SAFETY: every field is written.
    unsafe {
        emit_with(
            lost::QUEUE,
            &bytes,
            #[inline(always)]
            |room| write(room, task, message, me),
        );
    }
}

/// Writes the record of a call.
///
/// # Safety
///
/// `room` has to be valid for writing.
#[inline(always)]
unsafe fn write(room: *mut QueueCall, task: &Task, message: &mut Message, me: Ptr) {
    let [arg0, arg1, arg2, arg3, arg4, _] = task.args;
    let ret = task.ret;
    let (id, flags, requested) = match task.class {
        class::MSGSND => (arg0 as u32, arg3, arg2),
        class::MSGRCV => (arg0 as u32, arg4, arg2),
        class::MSGGET => (ret as u32, arg1, 0),
        _ => (arg0 as u32, arg1, 0),
    };
    if task.class != class::MSGGET || ret >= 0 {
        find(message, me, id);
    }
    let mut queue = message.queue;
    let found = ipc::is(queue, id);
    if !found {
        queue = 0;
        message.queue = 0;
    }
    // What hardly ever changes is told when the thread comes to the queue, and by the calls that tell of nothing else.
    let whole = found && (message.told == 0 || task.class > class::MSGRCV);
    let mut told = if found { state::FOUND } else { 0 };
    if whole {
        told |= state::WHOLE;
        message.told = 1;
    }
    if message.created != 0 {
        told |= state::CREATED;
    }
    if site!(load_msg_len) != 0 {
        told |= state::SEEN;
    }
    // SAFETY: as the caller promises.
    unsafe {
        (*room).header = header(QUEUE_CALL, task.returned, task.tid, task.tgid);
        (*room).entered = task.entered;
        (*room).ret = ret;
        (*room).requested = requested;
        (*room).msg_type = match task.class {
            class::MSGSND => message.msg_type,
            class::MSGRCV if ret >= 0 && message.address != 0 => message.msg_type,
            class::MSGRCV if ret >= 0 => type_at(task, arg1),
            class::MSGRCV if task.word == LONG => arg3 as i64,
            class::MSGRCV => i64::from(arg3 as i32),
            _ => 0,
        };
        (*room).message = message.address;
        (*room).freed = message.freed;
        [(*room).fill, (*room).depth, (*room).capacity] = if found { contents(queue) } else { [0; 3] };
        (*room).id = id as i32;
        (*room).nr = task.nr;
        (*room).flags = flags as i32;
        (*room).namespace = message.namespace;
        if whole {
            ((*room).key, (*room).uid, (*room).mode) = ipc::facts(queue);
        } else {
            ((*room).key, (*room).uid, (*room).mode) = (arg0 as u32, 0, 0);
        }
        (*room).state = told;
        (*room).payload_len = 0;
        (*room).message_len = message.len;
    }
}
