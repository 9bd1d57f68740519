//! What a thread waits for in poll(2) and its kin: a record for each descriptor, when it goes to sleep.
//!
//! The sets are read where they are: in the thread's own memory, or, for epoll(7), in the kernel's tree of what is watched.
//! Another thread may change that tree meanwhile, so every walk is bounded. All in global functions with numbers for
//! arguments: the verifier proves each once, and counts their stack on top of that of a switch, so they use little.

use ipcscope_common::{
    descriptor::{END_READ, END_WRITE},
    sched::{WAIT, Wait},
    settings::lost,
};

use super::{
    descriptor::file_of,
    object::{identify, word},
};
use crate::{
    emit::{header, reserve},
    kernel::{current, offset, peek, peek_user, setting, steps},
    task::traced,
};

/// Descriptors told of a pollfd array or of an epoll set.
const MOST: u64 = 32;
/// Words of an `fd_set`: `FD_SETSIZE` is 1024.
const WORDS: u64 = 16;
/// Steps up or down in a tree of [`MOST`] and more.
const HEIGHT: u64 = 16;
/// POLLIN, POLLPRI; POLLOUT (asm-generic/poll.h).
const IN: u32 = 3;
const OUT: u32 = 4;
/// `struct rb_root_cached`: root, leftmost. `struct rb_node`: parent and colour, right, left.
const LEFTMOST: u64 = 8;
const RIGHT: u64 = 8;
const LEFT: u64 = 16;

/// Whether a call waits for a set of descriptors: poll, ppoll; select, pselect6; epoll_wait, epoll_pwait, epoll_pwait2.
#[inline(always)]
pub fn is_for_set(nr: i32) -> bool {
    matches!(nr, 7 | 271 | 23 | 270 | 232 | 281 | 441)
}

/// Tells what the current thread's call waits for: its number and first three arguments.
#[inline(always)]
pub fn tell_waits(nr: u32, first: u64, second: u64, third: u64) -> i32 {
    match nr {
        7 | 271 => tell_polled(first, second),
        23 | 270 => tell_selected(first, second, third),
        _ => tell_watched(first),
    }
}

/// `struct pollfd`: descriptor, events, returned events.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_polled(set: u64, count: u64) -> i32 {
    for index in steps::<MOST>() {
        if index >= count {
            return 0;
        }
        let Some(entry) = peek_user::<u64>(set + index * 8) else { return 0 };
        if entry as i32 >= 0 {
            tell_wait(entry & 0x7fff_ffff, (entry >> 32) as u32 & 0xffff, 0);
        }
    }
    tell_cut(count)
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_selected(count: u64, readable: u64, writable: u64) -> i32 {
    for index in steps::<WORDS>() {
        if index * 64 >= count {
            return 0;
        }
        let word = |set: u64| if set == 0 { 0 } else { peek_user::<u64>(set + index * 8).unwrap_or(0) };
        let (readable, writable) = (word(readable), word(writable));
        if readable | writable != 0 {
            tell_bits(index * 64, readable, writable);
        }
    }
    0
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_bits(base: u64, readable: u64, writable: u64) -> i32 {
    for index in steps::<64>() {
        let events = (readable >> index & 1) | (writable >> index & 1) * OUT as u64;
        if events != 0 {
            tell_wait(base + index, events as u32, 0);
        }
    }
    0
}

/// `struct eventpoll`: what it watches is in a tree of `epitem`, which begin with their node.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_watched(epoll: u64) -> i32 {
    let file = file_of(current(), epoll);
    if file == 0 {
        return 0;
    }
    let set: u64 = peek(file + offset!(file_private_data) as u64);
    let mut item: u64 = peek(set + offset!(eventpoll_rbr) as u64 + LEFTMOST);
    for _ in steps::<MOST>() {
        if item == 0 {
            return 0;
        }
        let fd: u32 = peek(item + offset!(epitem_fd) as u64);
        let events: u32 = peek(item + offset!(epitem_events) as u64);
        tell_wait(u64::from(fd), events, peek(item + offset!(epitem_file) as u64));
        item = next_item(item);
    }
    tell_cut(MOST + u64::from(item != 0))
}

/// The node that follows in order (`rb_next`); 0: none.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn next_item(node: u64) -> u64 {
    let mut at: u64 = peek(node + RIGHT);
    if at != 0 {
        for _ in steps::<HEIGHT>() {
            let left: u64 = peek(at + LEFT);
            if left == 0 {
                return at;
            }
            at = left;
        }
        return 0;
    }
    at = node;
    for _ in steps::<HEIGHT>() {
        let parent = peek::<u64>(at) & !3;
        if parent == 0 || peek::<u64>(parent + RIGHT) != at {
            return parent;
        }
        at = parent;
    }
    0
}

/// More than so many are not told.
#[inline(always)]
fn tell_cut(count: u64) -> i32 {
    if count > MOST {
        tell_wait(u64::from(u32::MAX), 0, 0);
    }
    0
}

/// Tells of one descriptor, or of one file of the kernel's; the descriptor -1: there are more.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_wait(fd: u64, events: u32, known: u64) -> i32 {
    let me = current();
    let Some(task) = traced(me) else { return 0 };
    let file = if known != 0 { known } else { file_of(me, fd) };
    // The time of the switch, so that it stands right before that.
    let header = header(WAIT, task.returned, task.tid, task.tgid);
    let Some(mut record) = reserve::<Wait>(lost::SCHED) else { return 0 };
    // SAFETY: the record's room, every field of it.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).header = header;
        let inode = word(file + offset!(file_inode) as u64);
        let super_block = word(inode + offset!(inode_sb) as u64);
        (*room).ino = word(inode + offset!(inode_ino) as u64);
        (*room).dev = word(super_block + offset!(super_block_dev) as u64) as u32;
        (*room).fd = fd as i32;
        (*room).mode = word(inode + offset!(inode_mode) as u64) as u16;
        if setting!(terminals) | setting!(events) != 0 {
            let other = identify(file);
            if other != 0 {
                ((*room).ino, (*room).dev) = (other, 0);
            }
        }
        let readable = if events & IN != 0 { END_READ } else { 0 };
        (*room).events = readable | if events & OUT != 0 { END_WRITE } else { 0 };
        (*room).reserved = 0;
    }
    record.submit();
    0
}
