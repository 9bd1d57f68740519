//! Reading the kernel: field offsets and settings as frozen constants, and the two ways to load a field.
//!
//! [`field!`] loads directly from a pointer whose type the verifier knows (an argument of the tracepoint, the current
//! task, or one hop from there): one instruction, and a fault reads as 0. Everything else goes through
//! `bpf_probe_read_kernel` ([`peek`]).

use aya_ebpf::{
    EbpfContext as _,
    bindings::task_struct,
    helpers::{bpf_probe_read_user, generated},
    programs::BtfTracePointContext,
};
use core::{
    ffi::c_void,
    intrinsics::{AtomicOrdering, atomic_xchg},
    mem::MaybeUninit,
};
use ipcscope_common::{
    call::{NO_NUMBER, NUMBERS},
    offsets::Offsets,
    settings::{Settings, Sites},
};

/// Places of the fields, set by user space before loading.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::NONE;
/// What to capture, set by user space before loading.
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings::NONE;
/// Where functions are, set by user space before loading.
#[unsafe(no_mangle)]
pub static SITES: Sites = Sites::NONE;
/// What to do about each system call, set by user space before loading.
#[unsafe(no_mangle)]
pub static CLASSES: [u8; NUMBERS] = [0; NUMBERS];
/// The number on x86-64 of each 32-bit system call, set by user space before loading.
#[unsafe(no_mangle)]
pub static NUMBERS_OF_32_BIT: [u16; NUMBERS] = [NO_NUMBER; NUMBERS];

/// The offset of a field.
macro_rules! offset {
    ($field:ident) => {
        $crate::kernel::frozen(&$crate::kernel::OFFSETS.$field)
    };
}
pub(crate) use offset;

/// Reads what user space has set. Volatile, so that the compiler does not take the value from the source.
#[inline(always)]
pub fn frozen(value: &u32) -> u32 {
    // SAFETY: a plain read.
    unsafe { core::ptr::read_volatile(value) }
}

/// A setting.
macro_rules! setting {
    ($field:ident) => {
        $crate::kernel::frozen(&$crate::kernel::SETTINGS.$field)
    };
}
pub(crate) use setting;

/// Where a function is.
macro_rules! site {
    ($field:ident) => {
        $crate::kernel::frozen_long(&$crate::kernel::SITES.$field)
    };
}
pub(crate) use site;

/// Reads what user space has set, as [`frozen`].
#[inline(always)]
pub fn frozen_long(value: &u64) -> u64 {
    // SAFETY: a plain read.
    unsafe { core::ptr::read_volatile(value) }
}

/// Loads a field directly, through a pointer whose type the verifier knows.
macro_rules! field {
    ($base:expr, $field:ident as $type:ty) => {
        $crate::kernel::load::<$type>($base as *const u8, $crate::kernel::offset!($field))
    };
}
pub(crate) use field;

/// What [`field!`] does.
#[inline(always)]
pub fn load<T>(base: *const u8, offset: u32) -> T {
    // SAFETY: the verifier proves that base is a kernel structure of that type; faults read as zero.
    unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
}

/// A kernel structure's address, with a type known to the verifier where it came from a tracepoint.
pub type Ptr = *const c_void;

// For the mask below.
const _: () = assert!(NUMBERS.is_power_of_two());

/// What a system call is, by number.
#[inline(always)]
pub fn class_of(nr: u64) -> u8 {
    entry(&CLASSES, nr).unwrap_or(0)
}

/// What stands in a table (as long as a power of two) at an index.
#[inline(always)]
pub fn entry<T: Copy, const N: usize>(table: &'static [T; N], mut index: u64) -> Option<T> {
    if index >= N as u64 {
        return None;
    }
    // SAFETY: changes a register, and no bit of a number in bounds. The verifier before 6.8 forgets what a test told of a
    // value once it has been on the stack; the mask stands right before the use.
    unsafe { core::arch::asm!("{0} &= {1}", inout(reg) index, const N - 1, options(nomem, nostack)) };
    // SAFETY: in bounds by the test above.
    Some(unsafe { core::ptr::read_volatile(table.as_ptr().add(index as usize)) })
}

/// An argument of a tracepoint, whatever its type: verifiers before 6.13 or so let nobody load a `void *` directly.
#[inline(always)]
pub fn argument(ctx: &BtfTracePointContext, index: u64) -> u64 {
    peek(ctx.as_ptr() as u64 + index * 8)
}

/// Reads kernel memory at any address; 0 where it cannot be read. Without a branch: the helper then clears the place
/// itself (bpf_probe_read_kernel_common), and a `memset` of ours would be one more call with stack of its own.
#[inline(always)]
pub fn peek<T: Copy + Default>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper tolerates any address and always writes the value, which may be all zero.
    unsafe {
        generated::bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const c_void);
        value.assume_init()
    }
}

/// Reads memory of the current process.
#[inline(always)]
pub fn peek_user<T: Copy>(address: u64) -> Option<T> {
    // SAFETY: the helper tolerates any address.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}

/// Bytes of a word: in structures of 64-bit and of 32-bit calls.
pub const LONG: u64 = 8;
pub const SHORT: u64 = 4;

/// The words of a structure in the current process's memory.
#[inline(always)]
pub fn words<const N: usize>(at: u64, word: u64) -> Option<[u64; N]> {
    if word == SHORT {
        return peek_user::<[u32; N]>(at).map(|words| words.map(u64::from));
    }
    peek_user::<[u64; N]>(at)
}

/// A length below `N` (a power of two), masked: the verifier wants to see that, and the compiler would see that it changes
/// nothing.
#[inline(always)]
fn below<const N: usize>(len: u32) -> u64 {
    let mut masked = u64::from(len);
    // SAFETY: changes a register, and no bit of a length in bounds.
    unsafe { core::arch::asm!("{0} &= {1}", inout(reg) masked, const N - 1, options(nomem, nostack)) };
    masked
}

/// Copies `len` bytes of the current process, at most `N` (a power of two); false: they cannot be read.
#[inline(always)]
pub fn copy_user<const N: usize>(to: *mut [u8; N], from: u64, len: u32) -> bool {
    let to = to.cast::<c_void>();
    let from = from as *const c_void;
    // SAFETY: the helper tolerates any address; the length is N or masked below it.
    unsafe {
        if len as usize >= N {
            return generated::bpf_probe_read_user(to, N as u32, from) == 0;
        }
        generated::bpf_probe_read_user(to, below::<N>(len) as u32, from) == 0
    }
}

/// A word and the bytes behind it.
#[repr(C)]
pub struct Behind<const N: usize> {
    /// The word.
    pub word: u64,
    /// What is behind it.
    pub bytes: [u8; N],
}

/// Copies a word of the current process and `len` bytes behind it, as [`copy_user`], at once.
#[inline(always)]
pub fn copy_user_behind<const N: usize>(to: &mut Behind<N>, from: u64, len: u32) -> bool {
    let to = (&raw mut *to).cast::<c_void>();
    let from = from as *const c_void;
    // SAFETY: as there.
    unsafe {
        if len as usize >= N {
            return generated::bpf_probe_read_user(to, 8 + N as u32, from) == 0;
        }
        generated::bpf_probe_read_user(to, 8 + below::<N>(len) as u32, from) == 0
    }
}

/// Copies bytes by words, one after the other: the compiler would make a call of it that copies byte by byte.
///
/// # Safety
///
/// `to` has to be valid for writing, and both aligned to words; `N` is a multiple of eight.
#[inline(always)]
pub unsafe fn copy_words<const N: usize>(to: *mut [u8; N], from: *const u8) {
    let (to, from) = (to.cast::<u64>(), from.cast::<u64>());
    for i in 0..N / 8 {
        // SAFETY: as the caller promises.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
    }
}

/// Copies at most `N` bytes (a power of two) of the current process from the buffers of a vector, of which it looks at
/// the first `MOST`; `ROOM` is twice `N`. Gives the bytes that could be read.
#[inline(always)]
pub fn copy_vector<const N: usize, const ROOM: usize, const MOST: u64>(
    to: *mut [u8; ROOM],
    (vector, word): (u64, u64),
    buffers: u64,
    len: u32,
) -> u32 {
    let to = to.cast::<u8>();
    let mut at = 0u32;
    for i in steps::<MOST>() {
        if i >= buffers || at >= len {
            break;
        }
        // struct iovec { base, len }.
        let Some([base, size]) = words::<2>(vector + i * 2 * word, word) else { break };
        let left = len - at;
        let run = if size < u64::from(left) { size as u32 } else { left };
        let base = base as *const c_void;
        // SAFETY: a buffer that fills all of N, or a start and a length below N; the helper tolerates any address.
        let result = unsafe {
            if run as usize >= N {
                generated::bpf_probe_read_user(to.cast::<c_void>(), N as u32, base)
            } else {
                let (start, bytes) = (below::<N>(at), below::<N>(run));
                generated::bpf_probe_read_user(to.add(start as usize).cast::<c_void>(), bytes as u32, base)
            }
        };
        if result != 0 {
            break;
        }
        at += run;
    }
    at
}

/// The numbers below `MOST`, for a loop that ends earlier by itself.
///
/// Verifiers before 6.8 end a loop only where its counter is compared with a constant. If the other condition implies that
/// one, the compiler leaves it away; so it is kept from knowing what it counts. For loops with little behind them: every
/// step is looked at, with all that follows, where those of a plain range may be taken for one.
#[inline(always)]
pub fn steps<const MOST: u64>() -> Steps<MOST> {
    Steps { next: 0 }
}

/// See [`steps`].
pub struct Steps<const MOST: u64> {
    next: u64,
}

impl<const MOST: u64> Iterator for Steps<MOST> {
    type Item = u64;

    #[inline(always)]
    fn next(&mut self) -> Option<u64> {
        let mut step = self.next;
        // SAFETY: changes nothing. No instruction at all would leave two lines of source at one place, which is refused.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) step, options(nomem, nostack)) };
        if step >= MOST {
            return None;
        }
        self.next = step + 1;
        Some(step)
    }
}

/// The current thread.
#[inline(always)]
pub fn current() -> Ptr {
    // SAFETY: always allowed in tracing programs.
    unsafe { generated::bpf_get_current_task_btf() as Ptr }
}

/// The registers a thread entered the kernel with.
#[inline(always)]
pub fn registers(task: Ptr) -> Ptr {
    // SAFETY: task is a task_struct to the verifier.
    unsafe { generated::bpf_task_pt_regs(task as *mut task_struct) as Ptr }
}

/// The clock of all records.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: always allowed.
    unsafe { generated::bpf_ktime_get_ns() }
}

/// A thread's ids in its own pid namespace: (thread id, process id).
#[inline(always)]
pub fn namespaced_tid(task: Ptr) -> u32 {
    let pid = field!(task, task_thread_pid as u64);
    let level: u32 = peek(pid + offset!(pid_level) as u64);
    // struct upid { int nr; struct pid_namespace *ns; }: 16 bytes each.
    peek(pid + offset!(pid_numbers) as u64 + (level as u64 & 31) * 16 + offset!(upid_nr) as u64)
}

/// Puts a value in its place, at once for all CPUs; gives the one before.
#[inline(always)]
pub fn exchange(place: &mut u64, value: u64) -> u64 {
    // SAFETY: an aligned place that lives as long as the program runs.
    unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(place, value) }
}

/// The length of a vector of buffers; `u64::MAX` if there are more than `MOST`, or they cannot be read.
#[inline(always)]
pub fn vector_len<const MOST: u64>(vector: u64, count: u64, word: u64) -> u64 {
    if count > MOST {
        return u64::MAX;
    }
    let mut sum = 0;
    for i in steps::<MOST>() {
        if i >= count {
            break;
        }
        // struct iovec { base, len }.
        match words::<1>(vector + i * 2 * word + word, word) {
            Some([len]) => sum += len,
            None => return u64::MAX,
        }
    }
    sum
}
