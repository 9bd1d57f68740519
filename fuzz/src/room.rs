//! No allocation is large, whatever an input says of sizes. libFuzzer's own `-malloc_limit_mb` is a sanitizer's: without one
//! it would notice only memory that is really used, not what is asked for.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    process,
};

/// Bytes at once: many times what any recording of this size may need (a block is 16 MiB at most).
const MOST: usize = 256 << 20;

struct Room;

#[global_allocator]
static ROOM: Room = Room;

fn judge(size: usize) {
    if size > MOST {
        // A panic would allocate; libFuzzer keeps the input of an abort as well.
        eprintln!("an allocation of {size} bytes");
        process::abort();
    }
}

// SAFETY: the system's allocator does it all; sizes are only looked at.
unsafe impl GlobalAlloc for Room {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        judge(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        judge(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        judge(size);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}
