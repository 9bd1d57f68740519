//! The path of a named pipe, from its directory entry up to the root, across mounts.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use ipcscope_common::{
    descriptor::{CHANNEL_PATH, ChannelPath, PART_LEN, PATH_PARTS, object},
    settings::lost,
};

use super::descriptor;
use crate::{
    emit::{header, reserve},
    kernel::{current, offset, peek},
    task::traced,
};

/// Mounts whose root is another mount's root.
const STACKED: usize = 3;

/// Tells of the path behind a descriptor of the current thread, if it is a named pipe. A global function: the verifier
/// proves it once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_path(fd: u64) -> i32 {
    let me = current();
    let Some(task) = traced(me) else { return 0 };
    let Some(end) = descriptor::found(descriptor::file_of(me, fd), fd as i32) else { return 0 };
    if end.object != object::FIFO {
        return 0;
    }
    let header = header(CHANNEL_PATH, task.returned, task.tid, task.tgid);
    let Some(mut record) = reserve::<ChannelPath>(lost::DESCRIPTOR) else { return 0 };
    // SAFETY: the record's room, written field by field.
    unsafe {
        let room = record.as_mut_ptr();
        let inode: u64 = peek(end.file + offset!(file_inode) as u64);
        (*room).header = header;
        (*room).ino = end.ino;
        (*room).dev = end.dev;
        (*room).mode = u32::from(peek::<u16>(inode + offset!(inode_mode) as u64));
        (*room).owner = peek(inode + offset!(inode_uid) as u64);
        (*room).opened_to_read = peek(end.pipe + offset!(pipe_r_counter) as u64);
        (*room).opened_to_write = peek(end.pipe + offset!(pipe_w_counter) as u64);
        let entry: u64 = peek(end.file + offset!(file_dentry) as u64);
        let mount: u64 = peek(end.file + offset!(file_mount) as u64);
        (*room).count = walk(&mut (*room).parts, entry, mount);
    }
    record.submit();
    1
}

/// The components of a path, the last one first; answers how many, more than there is room for if the root was not reached.
#[inline(always)]
pub fn walk(parts: &mut [[u8; PART_LEN]; PATH_PARTS], mut entry: u64, mut mount: u64) -> u32 {
    let mut count = PATH_PARTS as u32 + 1;
    for (i, part) in parts.iter_mut().enumerate() {
        part[0] = 0;
        for _ in 0..STACKED {
            if entry != peek::<u64>(mount + offset!(mount_root) as u64) {
                break;
            }
            // struct vfsmount is a part of struct mount (fs/mount.h).
            let whole = mount - offset!(mount_place) as u64;
            mount = peek::<u64>(whole + offset!(mount_parent) as u64) + offset!(mount_place) as u64;
            entry = peek(whole + offset!(mount_point) as u64);
        }
        let parent: u64 = peek(entry + offset!(dentry_parent) as u64);
        if parent == entry || parent == 0 {
            if count > PATH_PARTS as u32 {
                count = i as u32;
            }
            continue;
        }
        let name: u64 = peek(entry + offset!(dentry_name) as u64);
        // SAFETY: writes into the record alone.
        unsafe { bpf_probe_read_kernel_str(part.as_mut_ptr().cast(), PART_LEN as u32, name as *const _) };
        entry = parent;
    }
    count
}
