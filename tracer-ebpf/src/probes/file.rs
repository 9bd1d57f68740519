//! Named pipes as files: mknod(2), and open(2) where the kernel refuses it.
//!
//! A refused open leaves no file behind to look at, so the path is told as it was given, with the directory that it begins
//! in. Whether a named pipe is there user space finds out.

use aya_ebpf::helpers::generated::bpf_probe_read_user_str;
use ipcscope_common::{
    call::class,
    file::{FILE_CALL, FileCall, GIVEN_LEN},
    settings::lost,
};

use super::{
    call::{end, interrupted, leave},
    descriptor::file_of,
    path::walk,
};
use crate::{
    emit::{header, reserve},
    kernel::{Ptr, field, offset, peek, peek_user},
    task::{Task, traced},
};

/// The numbers of calls whose first argument is the path: open(2), creat(2), mknod(2); of the others it is the second.
const OPEN: i32 = 2;
const CREAT: i32 = 85;
const MKNOD: i32 = 133;
/// openat(2), mknodat(2): flags or mode come as the third.
const OPENAT: i32 = 257;
const MKNODAT: i32 = 259;
/// openat2(2).
const OPENAT2: i32 = 437;
/// `AT_FDCWD`: the path begins in the current directory.
const CURRENT_DIRECTORY: i32 = -100;
/// `S_IFMT`, `S_IFIFO`.
const FILE_TYPE: u32 = 0o170_000;
const FIFO: u32 = 0o010_000;
/// `EPERM`, `ENXIO` (nobody reads, `O_NONBLOCK`), `EACCES`.
const REFUSED: [i64; 3] = [-1, -6, -13];

/// Whether a call that opens was refused in a way that a named pipe may have.
#[inline(always)]
pub fn is_refused(task: &Task) -> bool {
    REFUSED.contains(&task.ret) && matches!(task.number(), OPEN | CREAT | OPENAT | OPENAT2)
}

/// The call returned.
#[inline(always)]
pub fn finish(me: Ptr) {
    let Some(task) = traced(me) else { return };
    tell(task, me);
    if interrupted(task.ret) || task.watched != 0 {
        end(task, task.ret, task.returned);
    }
    leave(task, me);
}

#[inline(always)]
fn tell(task: &Task, me: Ptr) {
    let [first, second, third, ..] = task.args;
    let (directory, path, flags) = match task.number() {
        OPEN | CREAT | MKNOD => (CURRENT_DIRECTORY, first, second as u32),
        OPENAT | MKNODAT => (first as i32, second, third as u32),
        _ => (first as i32, second, 0),
    };
    if task.class == class::MKNOD && (flags & FILE_TYPE != FIFO || task.ret != 0) {
        return;
    }
    let place = field!(me, task_fs as Ptr);
    let (mut entry, mut mount) = (0, 0);
    if peek_user::<u8>(path) == Some(b'/') {
        (entry, mount) = (field!(place, fs_root_entry as u64), field!(place, fs_root_mount as u64));
    } else if directory == CURRENT_DIRECTORY {
        (entry, mount) = (field!(place, fs_entry as u64), field!(place, fs_mount as u64));
    } else {
        let file = file_of(me, directory as u64);
        if file != 0 {
            entry = peek(file + offset!(file_dentry) as u64);
            mount = peek(file + offset!(file_mount) as u64);
        }
    }
    if entry == 0 {
        return;
    }
    let namespaces = field!(me, task_nsproxy as Ptr);
    let mounts = field!(namespaces, nsproxy_mounts as Ptr);
    let header = header(FILE_CALL, task.returned, task.tid, task.tgid);
    let Some(mut record) = reserve::<FileCall>(lost::DESCRIPTOR) else { return };
    // SAFETY: the record's room, written field by field.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).header = header;
        (*room).entered = task.entered;
        (*room).ret = task.ret;
        (*room).ino = 0;
        ((*room).dev, (*room).mode, (*room).owner) = (0, 0, 0);
        (*room).nr = task.nr;
        (*room).flags = flags;
        (*room).given[0] = 0;
        bpf_probe_read_user_str((&raw mut (*room).given).cast(), GIVEN_LEN as u32, path as *const _);
        (*room).namespace = field!(mounts, mounts_inum as u32);
        (*room).reserved = 0;
        (*room).count = walk(&mut (*room).parts, entry, mount);
    }
    record.submit();
}
