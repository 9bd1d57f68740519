//! POSIX message queues.
//!
//! A queue is an inode of a file system of its own (ipc/mqueue.c), so its descriptors are followed as any others are.
//! Which message a call puts in or takes out is told as of System V queues: both use `load_msg` and `free_msg`
//! ([`queue`](super::queue)). A message that a sender hands to a receiver that waits keeps its address as well.

use aya_ebpf::{
    helpers::generated::{bpf_probe_read_kernel_str, bpf_probe_read_user_str},
    programs::BtfTracePointContext,
};
use ipcscope_common::{
    Header,
    call::class,
    descriptor::change,
    mqueue::{
        MQUEUE_CALL, MQUEUE_FACTS, MQUEUE_REFUSED, MQUEUE_REMOVED, MqueueCall, MqueueFacts, MqueueName, NAME_LEN, state,
    },
    pipe,
    settings::lost,
};

use super::{
    call::{self, leave},
    descriptor,
    payload::{Bytes, at_entry, emit_with},
};
use crate::{
    emit::{header, reserve},
    kernel::{Ptr, copy_user, current, field, offset, peek, peek_user, setting, site},
    task::{End, Message, PAYLOAD, Task, traced, with_message},
};

/// `O_CREAT | O_EXCL`.
const CREATE_NEW: u64 = 0o300;
/// In `kmem_cache_alloc`, on whichever CPU: a queue is made. `kmem_cache_alloc(unsigned long call_site, …)`
#[inline(always)]
pub fn inode_made(ctx: &BtfTracePointContext) {
    let from: u64 = ctx.arg(0);
    if from.wrapping_sub(site!(mqueue_alloc_inode)) >= site!(mqueue_alloc_inode_len) {
        return;
    }
    if let Some((task, message, _)) = with_message(current())
        && task.class == class::MQ_OPEN
    {
        message.created = 1;
    }
}

/// A call on a queue begins; its descriptor has been followed.
#[inline(always)]
pub fn begin(me: Ptr) {
    let Some((task, message, kept)) = with_message(me) else { return };
    message.address = 0;
    message.created = 0;
    if task.class == class::MQ_SEND {
        // As it is now: another thread may change it.
        let [_, text, size, ..] = task.args;
        let len = at_entry(size);
        task.payload_len = if len != 0 && copy_user::<PAYLOAD>(&raw mut kept.bytes, text, len) { len } else { 0 };
    }
}

/// It returned.
#[inline(always)]
pub fn finish(me: Ptr) {
    let Some((task, message, kept)) = with_message(me) else { return };
    let [arg0, arg1, ..] = task.args;
    let is_told = task.class <= class::MQ_RECEIVE && task.ends[0].in_use != 0;
    match task.class {
        class::MQ_SEND | class::MQ_RECEIVE if is_told => tell(task, message, &kept.bytes),
        class::MQ_OPEN if task.ret >= 0 => {
            let is_new = message.created != 0 || arg1 & CREATE_NEW == CREATE_NEW;
            let change = if is_new { change::CREATED } else { change::OPENED };
            tell_mqueue(task.ret as u64, 0);
            descriptor::tell_descriptor(task.ret as u64, -1, change);
        }
        class::MQ_OPEN => tell_name(task, me, arg0, MQUEUE_REFUSED),
        class::MQ_UNLINK => tell_name(task, me, arg0, MQUEUE_REMOVED),
        // Asking for the attributes changes none.
        class::MQ_SETATTR if task.ret == 0 && arg1 != 0 => {
            descriptor::tell_descriptor(arg0, -1, change::CHANGED);
        }
        _ => {}
    }
    if !is_told && task.watched != 0 {
        call::end(task, task.ret, task.returned);
    }
    leave(task, me);
}

#[inline(always)]
fn tell(task: &Task, message: &Message, payload: &[u8; PAYLOAD]) {
    let [_, text, size, ..] = task.args;
    let limit = setting!(payload_limit);
    let moved = match task.class {
        class::MQ_SEND if task.ret == 0 => size,
        class::MQ_RECEIVE if task.ret > 0 => task.ret as u64,
        _ => 0,
    };
    let keep = if moved < u64::from(limit) { moved as u32 } else { limit };
    let kept = (task.class == class::MQ_SEND && keep <= task.payload_len).then_some(payload);
    let bytes = Bytes { keep, from: text, kept };
    // SAFETY: every field is written.
    unsafe {
        emit_with(
            lost::QUEUE,
            &bytes,
            #[inline(always)]
            |room| write(room, task, message),
        )
    };
}

/// Writes the record of a call.
///
/// # Safety
///
/// `room` has to be valid for writing.
#[inline(always)]
unsafe fn write(room: *mut MqueueCall, task: &Task, message: &Message) {
    let [arg0, _, requested, arg3, ..] = task.args;
    let end = &task.ends[0];
    // Another thread may have closed the last descriptor meanwhile.
    let found = is_queue(end);
    let mut told = if found { state::FOUND } else { 0 };
    if site!(load_msg_len) != 0 {
        told |= state::SEEN;
    }
    if end.flags & pipe::flag::NONBLOCK != 0 {
        told |= state::NONBLOCK;
    }
    let priority = match task.class {
        class::MQ_SEND => Some(arg3 as u32),
        _ if task.ret < 0 => None,
        // The program need not ask for it.
        _ if message.address != 0 => Some(message.msg_type as u32),
        _ => peek_user::<u32>(arg3),
    };
    if priority.is_some() {
        told |= state::PRIORITY;
    }
    // SAFETY: as the caller promises.
    unsafe {
        (*room).header = header(MQUEUE_CALL, task.returned, task.tid, task.tgid);
        (*room).entered = task.entered;
        (*room).ret = task.ret;
        (*room).requested = requested;
        (*room).message = message.address;
        (*room).freed = message.freed;
        (*room).fill = if found { peek(end.address + offset!(mqueue_fill) as u64) } else { 0 };
        (*room).depth = if found { peek(end.address + offset!(mqueue_depth) as u64) } else { 0 };
        (*room).ino = end.ino;
        (*room).dev = end.dev;
        (*room).fd = arg0 as i32;
        (*room).nr = task.nr;
        (*room).priority = priority.unwrap_or(0);
        (*room).state = told;
        (*room).payload_len = 0;
    }
}

/// Whether the queue is there still.
#[inline(always)]
fn is_queue(end: &End) -> bool {
    peek::<u64>(end.address + offset!(mqueue_inode) as u64 + offset!(inode_ino) as u64) == end.ino
}

/// Tells of a call that has a queue's name, and no descriptor.
#[inline(always)]
fn tell_name(task: &Task, me: Ptr, name: u64, kind: u16) {
    let header = header(kind, task.returned, task.tid, task.tgid);
    let Some(mut record) = reserve::<MqueueName>(lost::QUEUE) else { return };
    // SAFETY: the record's room.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).header = header;
        (*room).entered = task.entered;
        (*room).ret = task.ret;
        let space: u64 = peek(field!(me, task_nsproxy as u64) + offset!(nsproxy_ipc) as u64);
        let mount: u64 = peek(space + offset!(ipc_mqueues) as u64);
        let super_block: u64 = peek(mount + offset!(mount_super_block) as u64);
        (*room).dev = peek(super_block + offset!(super_block_dev) as u64);
        (*room).nr = task.nr;
        let to = (&raw mut (*room).name).cast();
        if bpf_probe_read_user_str(to, NAME_LEN as u32, name as *const _) <= 0 {
            (*room).name[0] = 0;
        }
    }
    record.submit();
}

/// Tells what the queue behind a descriptor of the current thread is, if it is one; `time` 0: when its call returned. A
/// global function: the verifier proves it once. It is not called by the one that tells of the descriptor, since there the
/// stack is used up.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_mqueue(fd: u64, time: u64) -> i32 {
    let me = current();
    let file = descriptor::file_of(me, fd);
    if setting!(mqueues) == 0 || file == 0 {
        return 0;
    }
    let inode: u64 = peek(file + offset!(file_inode) as u64);
    if descriptor::magic(peek(inode + offset!(inode_sb) as u64)) != descriptor::MQUEUE_MAGIC
        || !descriptor::is_regular(peek(inode + offset!(inode_mode) as u64))
    {
        return 0;
    }
    let Some(task) = traced(me) else { return 0 };
    let header = header(MQUEUE_FACTS, if time == 0 { task.returned } else { time }, task.tid, task.tgid);
    let Some(mut record) = reserve::<MqueueFacts>(lost::QUEUE) else { return 0 };
    // SAFETY: the record's room.
    unsafe { describe(record.as_mut_ptr(), header, file) };
    record.submit();
    1
}

/// Writes what the queue behind a file is.
///
/// # Safety
///
/// `room` has to be valid for writing.
#[inline(always)]
pub unsafe fn describe(room: *mut MqueueFacts, header: Header, file: u64) {
    let inode: u64 = peek(file + offset!(file_inode) as u64);
    let super_block: u64 = peek(inode + offset!(inode_sb) as u64);
    let queue = inode - offset!(mqueue_inode) as u64;
    let entry: u64 = peek(file + offset!(file_dentry) as u64);
    let name: u64 = peek(entry + offset!(dentry_name) as u64);
    // SAFETY: as the caller promises.
    unsafe {
        (*room).header = header;
        (*room).ino = peek(inode + offset!(inode_ino) as u64);
        (*room).messages = peek(queue + offset!(mqueue_messages) as u64);
        (*room).message_size = peek(queue + offset!(mqueue_message_size) as u64);
        (*room).dev = peek(super_block + offset!(super_block_dev) as u64);
        (*room).mode = u32::from(peek::<u16>(inode + offset!(inode_mode) as u64));
        (*room).owner = peek(inode + offset!(inode_uid) as u64);
        (*room).reserved = 0;
        let to = (&raw mut (*room).name).cast();
        if bpf_probe_read_kernel_str(to, NAME_LEN as u32, name as *const _) <= 0 {
            (*room).name[0] = 0;
        }
    }
}
