//! System calls: classes, and how calls that have no family of their own ended.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, kinds};

kinds! {
    /// [`CallEnd`]
    CALL_END = 0x28;
    /// [`CallBegin`]
    CALL_BEGIN = 0x29;
}

/// How many system call numbers the class table knows.
pub const NUMBERS: usize = 512;
/// In the number of a call that any record tells of: it was a 32-bit call, and the number is that of the call of x86-64 that
/// does the same (arch/x86/entry/syscalls: syscall_32.tbl, syscall_64.tbl).
pub const BIT_32: i32 = 1 << 30;
/// In the table of 32-bit calls: x86-64 has no such call.
pub const NO_NUMBER: u16 = u16::MAX;

/// What the probes do about a system call; user space fills a table by number.
pub mod class {
    /// Nothing.
    pub const NONE: u8 = 0;
    /// read(2): descriptor, buffer, count.
    pub const READ: u8 = 1;
    /// write(2).
    pub const WRITE: u8 = 2;
    /// readv(2), preadv2(2): descriptor, vector, count of vectors.
    pub const READV: u8 = 3;
    /// writev(2), pwritev2(2).
    pub const WRITEV: u8 = 4;
    /// splice(2): descriptors in argument 0 and 2.
    pub const SPLICE: u8 = 5;
    /// tee(2): descriptors in argument 0 and 1.
    pub const TEE: u8 = 6;
    /// vmsplice(2).
    pub const VMSPLICE: u8 = 7;
    /// sendfile(2): to argument 0, from argument 1.
    pub const SENDFILE: u8 = 8;
    /// pipe(2), pipe2(2): an array of two descriptors.
    pub const PIPE: u8 = 16;
    /// dup(2): returns the copy.
    pub const DUP: u8 = 17;
    /// dup2(2), dup3(2): argument 1 becomes the copy.
    pub const DUP_TO: u8 = 18;
    /// close(2).
    pub const CLOSE: u8 = 19;
    /// close_range(2).
    pub const CLOSE_RANGE: u8 = 20;
    /// fcntl(2).
    pub const FCNTL: u8 = 21;
    /// open(2) and its kin, pidfd_getfd(2): return a descriptor.
    pub const OPEN: u8 = 22;
    /// recvmsg(2): may bring descriptors.
    pub const RECVMSG: u8 = 23;
    /// sendmsg(2): may take descriptors along.
    pub const SENDMSG: u8 = 24;
    /// io_uring_setup(2), io_setup(2): from here on the process may move bytes without system calls of their own.
    pub const RING: u8 = 25;
    /// kill(2) and its kin: nothing but the moment of entry, which names the call.
    pub const KILL: u8 = 32;
    /// wait4(2), waitid(2), timer_delete(2), timer_settime(2): told when they succeed.
    pub const WAIT: u8 = 33;
    /// rt_sigreturn(2): its [`super::CallEnd`] has the mask and the stack pointer in `args`.
    pub const SIGRETURN: u8 = 34;
    /// io_uring_enter(2): may close descriptors.
    pub const OTHER_CLOSE: u8 = 35;
    /// Nothing, but the number is that of a 32-bit call that is of interest.
    pub const ONLY_32_BIT: u8 = 36;
    /// Calls that may block and belong to no family: nothing but the moment of entry.
    pub const BLOCKS: u8 = 40;
    /// rt_sigaction(2).
    pub const SIGACTION: u8 = 37;
    /// rt_sigprocmask(2).
    pub const SIGMASK: u8 = 38;
    /// rt_sigtimedwait(2).
    pub const SIGWAIT: u8 = 39;
    /// msgsnd(2).
    pub const MSGSND: u8 = 48;
    /// msgrcv(2).
    pub const MSGRCV: u8 = 49;
    /// msgget(2).
    pub const MSGGET: u8 = 50;
    /// msgctl(2).
    pub const MSGCTL: u8 = 51;
    /// The last of the calls on System V queues.
    pub const LAST_QUEUE: u8 = 63;
    /// sendto(2).
    pub const SENDTO: u8 = 64;
    /// recvfrom(2).
    pub const RECVFROM: u8 = 65;
    /// sendmmsg(2).
    pub const SENDMMSG: u8 = 66;
    /// recvmmsg(2).
    pub const RECVMMSG: u8 = 67;
    /// connect(2).
    pub const CONNECT: u8 = 68;
    /// accept(2), accept4(2).
    pub const ACCEPT: u8 = 69;
    /// bind(2).
    pub const BIND: u8 = 70;
    /// listen(2).
    pub const LISTEN: u8 = 71;
    /// shutdown(2).
    pub const SHUTDOWN: u8 = 72;
    /// socket(2).
    pub const SOCKET: u8 = 73;
    /// socketpair(2): an array of two descriptors in argument 3.
    pub const SOCKETPAIR: u8 = 74;
    /// The last of the calls on sockets.
    pub const LAST_SOCKET: u8 = 79;
    /// mq_timedsend(2).
    pub const MQ_SEND: u8 = 80;
    /// mq_timedreceive(2).
    pub const MQ_RECEIVE: u8 = 81;
    /// mq_open(2).
    pub const MQ_OPEN: u8 = 82;
    /// mq_unlink(2).
    pub const MQ_UNLINK: u8 = 83;
    /// mq_getsetattr(2).
    pub const MQ_SETATTR: u8 = 84;
    /// The last of the calls on POSIX queues.
    pub const LAST_MQUEUE: u8 = 87;
    /// shmget(2).
    pub const SHMGET: u8 = 88;
    /// shmat(2).
    pub const SHMAT: u8 = 89;
    /// shmdt(2).
    pub const SHMDT: u8 = 90;
    /// shmctl(2).
    pub const SHMCTL: u8 = 91;
    /// The last of the calls on shared memory.
    pub const LAST_SHM: u8 = 95;
    /// semop(2), semtimedop(2).
    pub const SEMOP: u8 = 96;
    /// semget(2).
    pub const SEMGET: u8 = 97;
    /// semctl(2).
    pub const SEMCTL: u8 = 98;
    /// The last of the calls on semaphores.
    pub const LAST_SEM: u8 = 103;
    /// mmap(2).
    pub const MMAP: u8 = 104;
    /// munmap(2), mremap(2).
    pub const MUNMAP: u8 = 105;
    /// ftruncate(2).
    pub const TRUNCATE: u8 = 106;
    /// unlink(2): the path is argument 0.
    pub const UNLINK: u8 = 107;
    /// unlinkat(2): the path is argument 1.
    pub const UNLINK_AT: u8 = 108;
    /// The last of the calls on memory.
    pub const LAST_MEMORY: u8 = 111;
    /// futex(2) and its successors.
    pub const FUTEX: u8 = 112;
    /// timerfd_settime(2).
    pub const TIMER_SET: u8 = 120;
    /// ioctl(2): TIOCGPTPEER returns a descriptor.
    pub const IOCTL: u8 = 121;
    /// mknod(2), mknodat(2).
    pub const MKNOD: u8 = 122;
    /// clone(2), clone3(2): may give a descriptor of the child.
    pub const CLONE: u8 = 123;
}

/// Mechanisms whose calls have programs of their own, with a stack of their own, that the common ones go on to.
pub mod family {
    /// System V message queues.
    pub const QUEUE: u32 = 0;
    /// POSIX message queues.
    pub const MQUEUE: u32 = 1;
    /// Sockets.
    pub const SOCKET: u32 = 2;
    /// Calls between a pipe and a socket: exits only.
    pub const PIPE_AND_SOCKET: u32 = 3;
    /// System V shared memory: exits only.
    pub const SHM: u32 = 4;
    /// System V semaphores.
    pub const SEM: u32 = 5;
    /// Other objects with descriptors.
    pub const OBJECT: u32 = 6;
    /// Memory that is mapped: exits only.
    pub const MEMORY: u32 = 7;
    /// Futexes.
    pub const FUTEX: u32 = 8;
    /// Named pipes as files: exits only, of calls that made one and of open(2) where it was refused.
    pub const FILE: u32 = 9;
    /// How many there are.
    pub const COUNT: u32 = 10;
    /// None of them.
    pub const NONE: u32 = COUNT;
}

/// A call ended in a way that matters to somebody: interrupted, reaped a child, returned from a handler, or the first to
/// end after one of these.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CallEnd {
    /// Common part.
    pub header: Header,
    /// When it was entered; 0: unknown.
    pub entered: u64,
    /// What the kernel's function returned: restart codes (-512 to -516) included.
    pub ret: i64,
    /// Its first three arguments; of waitid(2) the third is the child that was reaped, 0 if none was.
    pub args: [u64; 3],
    /// Its number.
    pub nr: i32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

/// The first call that a thread enters after one was interrupted, or after a handler: the same call again, if the kernel
/// restarts it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CallBegin {
    /// Common part.
    pub header: Header,
    /// When it was entered.
    pub entered: u64,
    /// Its first three arguments.
    pub args: [u64; 3],
    /// Its number.
    pub nr: i32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}
