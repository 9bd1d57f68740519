//! Memory that processes share by mmap(2): who maps which file in memory, and what is unmapped.
//!
//! What is done with the memory no probe sees. Which mappings a munmap(2) ends user space knows: all are told.

use aya_ebpf::helpers::generated::bpf_probe_read_user_str;
use ipcscope_common::{
    call::class,
    memory::{MEMORY_CALL, MEMORY_REMOVED, MemoryCall, MemoryName},
    object::NAME_LEN,
    settings::lost,
};

use super::{
    call::{end, interrupted, leave},
    descriptor::file_of,
    object::identify,
};
use crate::{
    emit::{emit, header, reserve},
    kernel::{Ptr, peek_user},
    task::{Task, traced},
};

/// `MAP_SHARED`, which `MAP_SHARED_VALIDATE` contains; `MAP_FIXED`, `MAP_ANONYMOUS`.
const SHARED: u64 = 1;
const FIXED: u64 = 0x10;
const ANONYMOUS: u64 = 0x20;
/// The highest error number.
const MAX_ERRNO: i64 = 4095;
/// Where shm_open(3) has its files.
const DIRECTORY: &[u8; 8] = b"/dev/shm";

/// A call on memory returned.
#[inline(always)]
pub fn finish(me: Ptr) {
    let Some(task) = traced(me) else { return };
    match task.class {
        class::UNLINK => tell_unlinked(task, task.args[0]),
        class::UNLINK_AT => tell_unlinked(task, task.args[1]),
        _ if !(-MAX_ERRNO..0).contains(&task.ret) => tell(task, me),
        _ => {}
    }
    if interrupted(task.ret) || task.watched != 0 {
        end(task, task.ret, task.returned);
    }
    leave(task, me);
}

#[inline(always)]
fn tell(task: &Task, me: Ptr) {
    let [address, length, third, fourth, fifth, sixth] = task.args;
    let (mut ino, mut fd, mut flags) = (0, -1, 0);
    if task.class == class::TRUNCATE {
        fd = address as i32;
    } else if task.class == class::MMAP {
        flags = fourth;
        if flags & ANONYMOUS == 0 && flags & SHARED != 0 {
            fd = fifth as i32;
        }
    }
    if fd >= 0 {
        let file = file_of(me, fd as u64);
        ino = if file == 0 { 0 } else { identify(file) };
    }
    let is_shared = ino != 0 || flags & ANONYMOUS != 0 && flags & SHARED != 0;
    // What is mapped over a mapping ends it.
    if task.class != class::MUNMAP && !is_shared && flags & FIXED == 0 {
        return;
    }
    let header = header(MEMORY_CALL, task.returned, task.tid, task.tgid);
    emit(
        lost::IPC,
        MemoryCall {
            header,
            entered: task.entered,
            ret: task.ret,
            ino,
            address,
            length,
            offset: if task.class == class::MMAP { sixth } else { third },
            protection: third as u32,
            flags: flags as u32,
            fd,
            nr: task.nr,
        },
    );
}

/// A path was unlinked: told if it is one of shm_open(3).
#[inline(always)]
fn tell_unlinked(task: &Task, path: u64) {
    if peek_user::<[u8; 8]>(path) != Some(*DIRECTORY) || peek_user::<u8>(path + 8) != Some(b'/') {
        return;
    }
    let header = header(MEMORY_REMOVED, task.returned, task.tid, task.tgid);
    let Some(mut record) = reserve::<MemoryName>(lost::IPC) else { return };
    // SAFETY: the record's room.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).header = header;
        (*room).entered = task.entered;
        (*room).ret = task.ret;
        (*room).nr = task.nr;
        (*room).reserved = 0;
        (*room).name = [0; NAME_LEN];
        bpf_probe_read_user_str((&raw mut (*room).name).cast(), NAME_LEN as u32, (path + 9) as *const _);
    }
    record.submit();
}
