//! 32-bit calls (`int 0x80`): numbered differently, with arguments in other registers, and words of four bytes in the
//! structures they are given. One of each kind on pipes, sockets, System V queues and semaphores, and signals.

use std::{
    ffi::c_int,
    mem, ptr,
    sync::atomic::{AtomicI32, Ordering},
};

use super::sys::{name, pipe, read, say, write};

/// Numbers of arch/x86/entry/syscalls/syscall_32.tbl.
const READ: i64 = 3;
const WRITE: i64 = 4;
const GETPID: i64 = 20;
const KILL: i64 = 37;
const SOCKETCALL: i64 = 102;
const IPC: i64 = 117;
const READV: i64 = 145;
const WRITEV: i64 = 146;
const PIPE2: i64 = 331;
/// Calls that socketcall(2) stands for (linux/net.h): socketpair, send, recvfrom, sendmsg, recvmsg.
const SOCKETPAIR: u32 = 8;
const SEND: u32 = 9;
const RECVFROM: u32 = 12;
const SENDMSG: u32 = 16;
const RECVMSG: u32 = 17;
/// Calls that ipc(2) stands for (linux/ipc.h): semop, semget, semctl, msgsnd, msgrcv, msgget, msgctl.
const SEMOP: u32 = 1;
const SEMGET: u32 = 2;
const SEMCTL: u32 = 3;
const MSGSND: u32 = 11;
const MSGRCV: u32 = 12;
const MSGGET: u32 = 13;
const MSGCTL: u32 = 14;

/// Memory that 32-bit calls can be given: below 4 GiB.
struct Low {
    start: *mut u8,
    used: usize,
}

impl Low {
    fn new() -> Self {
        // SAFETY: new pages.
        let start = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
            libc::mmap(ptr::null_mut(), 1 << 16, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        assert_ne!(start, libc::MAP_FAILED);
        Self { start: start.cast(), used: 0 }
    }

    /// Puts a value there; its address.
    fn put<T: Copy>(&mut self, value: T) -> u32 {
        assert!(self.used + size_of::<T>() < 1 << 16);
        // SAFETY: there is room, and every place is aligned to 16 bytes.
        let at = unsafe {
            let at = self.start.add(self.used);
            at.cast::<T>().write(value);
            at
        };
        self.used = (self.used + size_of::<T>()).next_multiple_of(16);
        u32::try_from(at as usize).unwrap()
    }

    /// What is at an address that `put` gave.
    fn at<T: Copy>(address: u32) -> T {
        // SAFETY: callers ask for what they put there.
        unsafe { ptr::with_exposed_provenance::<T>(address as usize).read_volatile() }
    }
}

/// Makes a 32-bit call; its result, or the negative error.
fn call(number: i64, [first, second, third, fourth, fifth]: [u32; 5]) -> i64 {
    let result: i64;
    // SAFETY: the registers are those that the call takes and gives; `rbx` is the compiler's own.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}", "int 0x80", "xchg rbx, {first}",
            first = inout(reg) u64::from(first) => _,
            inout("rax") number => result,
            in("rcx") u64::from(second),
            in("rdx") u64::from(third),
            in("rsi") u64::from(fourth),
            in("rdi") u64::from(fifth),
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    i64::from(result as i32)
}

/// A descriptor as an argument.
fn word(fd: c_int) -> u32 {
    u32::try_from(fd).unwrap()
}

pub fn compat() {
    if call(GETPID, [0; 5]) != i64::from(std::process::id()) {
        say("compat", "none");
        return;
    }
    say("compat", "all");
    let mut low = Low::new();
    pipes(&mut low);
    sockets(&mut low);
    queues(&mut low);
    semaphores(&mut low);
    signals(&mut low);
}

/// 6 bytes by a 32-bit write between plain ones; then vectors on a pipe that a 32-bit call made.
fn pipes(low: &mut Low) {
    let (r, w) = pipe(0);
    say("pipe", name(r));
    write(w, b"plain");
    read(r, 100);
    let text = low.put(*b"narrow");
    say("wrote", call(WRITE, [word(w), text, 6, 0, 0]));
    write(w, b"behind");
    read(r, 6);
    read(r, 100);

    let ends = low.put([0_u32; 2]);
    assert_eq!(call(PIPE2, [ends, 0, 0, 0, 0]), 0);
    let [r, w] = Low::at::<[u32; 2]>(ends);
    say("vectored", name(r as c_int));
    let vector = low.put([text, 4, text, 6]);
    say("gathered", call(WRITEV, [w, vector, 2, 0, 0]));
    let room = low.put([0_u8; 16]);
    let vector = low.put([room, 3, room + 3, 13]);
    say("scattered", call(READV, [r, vector, 2, 0, 0]));
}

/// A pair of stream sockets: `send`, `recvfrom`, and a message that passes a descriptor.
fn sockets(low: &mut Low) {
    let socketcall = |low: &mut Low, which: u32, arguments: [u32; 6]| {
        let arguments = low.put(arguments);
        call(SOCKETCALL, [which, arguments, 0, 0, 0])
    };
    let ends = low.put([0_u32; 2]);
    assert_eq!(socketcall(low, SOCKETPAIR, [libc::AF_UNIX as u32, libc::SOCK_STREAM as u32, 0, ends, 0, 0]), 0);
    let [one, other] = Low::at::<[u32; 2]>(ends);
    say("socket", name(one as c_int).replace("socket:", "unix:"));
    let text = low.put(*b"twelve bytes");
    let room = low.put([0_u8; 64]);
    // Behind the four arguments of send(2) stands what is none.
    say("sent", socketcall(low, SEND, [one, text, 12, 0, 0xdead, 0xbeef]));
    say("received", socketcall(low, RECVFROM, [other, room, 64, 0, 0, 0]));

    let (r, w) = pipe(0);
    say("passed", name(r));
    // struct iovec, struct cmsghdr { len, level, type } and a descriptor, struct msghdr.
    let vector = low.put([text, 7]);
    let control = low.put([16, libc::SOL_SOCKET as u32, libc::SCM_RIGHTS as u32, word(w)]);
    let message = low.put([0, 0, vector, 1, control, 16, 0]);
    say("message", socketcall(low, SENDMSG, [one, message, 0, 0, 0, 0]));
    let vector = low.put([room, 64]);
    let control = low.put([0_u32; 4]);
    let message = low.put([0, 0, vector, 1, control, 16, 0]);
    say("got", socketcall(low, RECVMSG, [other, message, 0, 0, 0, 0]));
    say("descriptor", Low::at::<[u32; 4]>(control)[3]);
}

/// Messages of types 5 and 7 on a System V queue; 7 is received first, through `struct ipc_kludge`.
fn queues(low: &mut Low) {
    let ipc = |which, first: c_int, second: u32, third: u32, pointer: u32| {
        call(IPC, [which, first as u32, second, third, pointer])
    };
    let queue = ipc(MSGGET, libc::IPC_PRIVATE, (libc::IPC_CREAT | 0o600) as u32, 0, 0);
    assert!(queue >= 0);
    say("queue", queue);
    let queue = queue as c_int;
    // struct msgbuf { type, text }: words of four bytes.
    for kind in [5_u32, 7] {
        let message = low.put([kind, 0x6161_6161, 0x6262_6262]);
        assert_eq!(ipc(MSGSND, queue, 8, 0, message), 0);
    }
    let room = low.put([0_u32; 8]);
    let kludge = low.put([room, 7]);
    say("seven", ipc(MSGRCV, queue, 28, 0, kludge));
    let kludge = low.put([room, 0]);
    say("five", ipc(MSGRCV, queue, 28, 0, kludge));
    assert_eq!(ipc(MSGCTL, queue, libc::IPC_RMID as u32, 0, 0), 0);
}

/// A semaphore that is raised by three and lowered by one.
fn semaphores(low: &mut Low) {
    let ipc = |which, first: c_int, second: u32, third: u32, pointer: u32| {
        call(IPC, [which, first as u32, second, third, pointer])
    };
    let set = ipc(SEMGET, libc::IPC_PRIVATE, 1, (libc::IPC_CREAT | 0o600) as u32, 0);
    assert!(set >= 0);
    say("set", set);
    let set = set as c_int;
    for by in [3_i16, -1] {
        // struct sembuf { number, operation, flags }.
        let operation = low.put([0_i16, by, 0]);
        assert_eq!(ipc(SEMOP, set, 1, 0, operation), 0);
    }
    let none = low.put(0_u32);
    assert_eq!(ipc(SEMCTL, set, 0, libc::IPC_RMID as u32, none), 0);
}

/// The end that the handler writes to.
static ANSWER: AtomicI32 = AtomicI32::new(-1);

extern "C" fn answer(_: c_int) {
    write(ANSWER.load(Ordering::Relaxed), b"!");
}

/// SIGUSR1 by a 32-bit kill; then SIGALRM in a blocked 32-bit read, which is made again, and one that is not.
fn signals(low: &mut Low) {
    let (r, w) = pipe(0);
    ANSWER.store(w, Ordering::Relaxed);
    let handle = |signal, flags| {
        // SAFETY: an action that is complete; the handler does nothing but write(2).
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = answer as extern "C" fn(c_int) as usize;
            action.sa_flags = flags;
            assert_eq!(libc::sigaction(signal, &raw const action, ptr::null_mut()), 0);
        }
    };
    let alarm = || {
        let once = libc::itimerval {
            it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
            it_value: libc::timeval { tv_sec: 0, tv_usec: 100_000 },
        };
        // SAFETY: a plain call.
        unsafe { libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const once, ptr::null_mut::<u8>()) };
    };
    handle(libc::SIGUSR1, 0);
    assert_eq!(call(KILL, [std::process::id(), libc::SIGUSR1 as u32, 0, 0, 0]), 0);
    let room = low.put([0_u8; 16]);
    assert_eq!(call(READ, [word(r), room, 16, 0, 0]), 1);
    handle(libc::SIGALRM, libc::SA_RESTART);
    alarm();
    say("restarted", call(READ, [word(r), room, 16, 0, 0]));
    handle(libc::SIGALRM, 0);
    alarm();
    say("interrupted", call(READ, [word(r), room, 16, 0, 0]));
}
