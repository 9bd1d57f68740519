//! Calls that block, in the making: how a child makes one, and how others let it go on.

use std::{ffi::CString, mem::zeroed, os::raw::c_int, ptr::null};

use super::sys::{check, fork, pipe, read, sleep, write};

macro_rules! sys {
    ($nr:ident $(, $argument:expr)*) => {
        // SAFETY: a plain call; what its arguments point to lives until it returns.
        unsafe { libc::syscall(libc::$nr $(, $argument)*) }
    };
}

pub(super) use sys;

/// What a write that cannot be done at once asks for.
pub const LARGE: usize = 200_000;

/// A call in the making: how a child makes it, and how others let it go on.
pub struct Subject {
    /// Makes it; gives what it returned.
    pub call: Box<dyn Fn() -> i64>,
    /// Lets that child go on.
    pub release: Box<dyn Fn(c_int)>,
}

pub fn subject(call: impl Fn() -> i64 + 'static, release: impl Fn(c_int) + 'static) -> Subject {
    Subject { call: Box::new(call), release: Box::new(release) }
}

/// One that ends by itself.
pub fn timed(call: impl Fn() -> i64 + 'static) -> Subject {
    subject(call, |_| {})
}

/// Waits for bytes in a pipe.
pub fn reads(call: fn(c_int) -> i64) -> Subject {
    let (r, w) = pipe(0);
    subject(
        move || call(r),
        move |_| {
            write(w, b"x");
        },
    )
}

pub const IORING_ENTER_GETEVENTS: c_int = 1;

/// A ring for requests, in which there are none; -1: the kernel has none, or does not allow it.
pub fn ring() -> c_int {
    // struct io_uring_params: 120 bytes.
    let mut parameters = [0_u64; 15];
    sys!(SYS_io_uring_setup, 1, parameters.as_mut_ptr()) as c_int
}

/// A pipe without room.
pub fn full() -> (c_int, c_int) {
    let (r, w) = pipe(0);
    for _ in 0..16 {
        write(w, &[0; 4096]);
    }
    (r, w)
}

/// Waits for room in a pipe: a small write in a full one, or a large one in an empty one.
pub fn writes(count: usize) -> Subject {
    let (r, w) = if count < LARGE { full() } else { pipe(0) };
    subject(move || write(w, &vec![0; count]), move |_| drain(r))
}

/// Takes all there is, and all that comes while somebody is at it.
pub fn drain(fd: c_int) {
    check("fcntl", sys!(SYS_fcntl, fd, libc::F_SETFL, libc::O_NONBLOCK));
    for _ in 0..20 {
        while read(fd, 65536).0 > 0 {}
        sleep(2);
    }
}

pub fn open_fifo() -> Subject {
    let path = CString::new(format!("/tmp/ipcscope-verdict-{}", super::sys::pid())).unwrap();
    check("mkfifo", sys!(SYS_mknodat, libc::AT_FDCWD, path.as_ptr(), libc::S_IFIFO | 0o600, 0));
    let other = path.clone();
    subject(
        move || sys!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDONLY),
        move |_| {
            sys!(SYS_openat, libc::AT_FDCWD, other.as_ptr(), libc::O_WRONLY | libc::O_NONBLOCK);
            sleep(20);
            sys!(SYS_unlinkat, libc::AT_FDCWD, other.as_ptr(), 0);
        },
    )
}

pub fn futex(timeout: *const libc::timespec) -> Subject {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    let word = check("mmap", sys!(SYS_mmap, null::<u8>(), 4096, protection, flags, -1, 0_i64));
    subject(
        move || sys!(SYS_futex, word, libc::FUTEX_WAIT, 0, timeout, null::<u8>(), 0),
        move |_| {
            sys!(SYS_futex, word, libc::FUTEX_WAKE, 1, null::<u8>(), null::<u8>(), 0);
        },
    )
}

/// Waits for a child of its own, which waits for a byte.
pub fn waits(call: fn(c_int) -> i64) -> Subject {
    let (r, w) = pipe(0);
    subject(
        move || {
            let child = fork(|| {
                read(r, 1);
            });
            call(child)
        },
        move |_| {
            write(w, b"x");
        },
    )
}

pub fn socket(flags: c_int) -> c_int {
    check("socket", sys!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM | flags, 0)) as c_int
}

/// A listening socket that the kernel gave a name.
pub fn listener(backlog: c_int) -> (c_int, libc::sockaddr_un, u32) {
    let listener = socket(0);
    // SAFETY: all zero is an address without a name.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    check("bind", sys!(SYS_bind, listener, &raw const address, 2));
    check("listen", sys!(SYS_listen, listener, backlog));
    let mut length = size_of_val(&address) as u32;
    check("getsockname", sys!(SYS_getsockname, listener, &raw mut address, &raw mut length));
    (listener, address, length)
}

pub fn pair() -> (c_int, c_int) {
    let mut ends = [0; 2];
    check("socketpair", sys!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()));
    (ends[0], ends[1])
}

pub fn receive(fd: c_int) -> i64 {
    let mut byte = 0_u8;
    sys!(SYS_recvfrom, fd, &raw mut byte, 1, 0, null::<u8>(), null::<u8>())
}

pub fn receives(call: fn(c_int) -> i64) -> Subject {
    let (ours, theirs) = pair();
    subject(
        move || call(ours),
        move |_| {
            write(theirs, b"x");
        },
    )
}

/// A file without a name.
pub fn temporary() -> c_int {
    check("memfd_create", sys!(SYS_memfd_create, c"verdict".as_ptr(), 0)) as c_int
}

/// The same file, opened anew.
pub fn again(fd: c_int) -> c_int {
    let path = CString::new(format!("/proc/self/fd/{fd}")).unwrap();
    check("open", sys!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDWR)) as c_int
}
