//! Which system calls the probes look at, and what 32-bit calls are.

use ipcscope_common::{
    call::{NO_NUMBER, NUMBERS, class},
    settings::Settings,
};
use syscalls::{Sysno, x86};

/// futex_wake(2), futex_wait(2), futex_requeue(2): newer than the library.
const FUTEX_WAKE: libc::c_long = 454;
const FUTEX_WAIT: libc::c_long = 455;
const FUTEX_REQUEUE: libc::c_long = 456;

/// Calls that may block, or that a signal can interrupt, and that no family looks at.
const BLOCKING: &[libc::c_long] = &[
    libc::SYS_restart_syscall,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_pause,
    libc::SYS_rt_sigsuspend,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    FUTEX_WAKE,
    FUTEX_WAIT,
    FUTEX_REQUEUE,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_select,
    libc::SYS_pselect6,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_sendto,
    libc::SYS_sendmmsg,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_flock,
    libc::SYS_mq_timedreceive,
    libc::SYS_mq_timedsend,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_copy_file_range,
    libc::SYS_getrandom,
    libc::SYS_io_getevents,
    libc::SYS_ioctl,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fallocate,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_clone,
    libc::SYS_clone3,
];

/// The calls of families that have programs of their own, while they are captured.
fn own_classes(settings: &Settings) -> impl Iterator<Item = (libc::c_long, u8)> {
    use libc as l;
    let families: [(u32, &[(libc::c_long, u8)]); 10] = [
        (
            settings.queues,
            &[
                (l::SYS_msgsnd, class::MSGSND),
                (l::SYS_msgrcv, class::MSGRCV),
                (l::SYS_msgget, class::MSGGET),
                (l::SYS_msgctl, class::MSGCTL),
            ],
        ),
        (
            settings.sockets,
            &[
                (l::SYS_sendto, class::SENDTO),
                (l::SYS_recvfrom, class::RECVFROM),
                (l::SYS_sendmmsg, class::SENDMMSG),
                (l::SYS_recvmmsg, class::RECVMMSG),
                (l::SYS_connect, class::CONNECT),
                (l::SYS_accept, class::ACCEPT),
                (l::SYS_accept4, class::ACCEPT),
                (l::SYS_bind, class::BIND),
                (l::SYS_listen, class::LISTEN),
                (l::SYS_shutdown, class::SHUTDOWN),
                (l::SYS_socket, class::SOCKET),
                (l::SYS_socketpair, class::SOCKETPAIR),
            ],
        ),
        (
            settings.mqueues,
            &[
                (l::SYS_mq_timedsend, class::MQ_SEND),
                (l::SYS_mq_timedreceive, class::MQ_RECEIVE),
                (l::SYS_mq_open, class::MQ_OPEN),
                (l::SYS_mq_unlink, class::MQ_UNLINK),
                (l::SYS_mq_getsetattr, class::MQ_SETATTR),
            ],
        ),
        (
            settings.shm,
            &[
                (l::SYS_shmget, class::SHMGET),
                (l::SYS_shmat, class::SHMAT),
                (l::SYS_shmdt, class::SHMDT),
                (l::SYS_shmctl, class::SHMCTL),
            ],
        ),
        (
            settings.sems,
            &[
                (l::SYS_semop, class::SEMOP),
                (l::SYS_semtimedop, class::SEMOP),
                (l::SYS_semget, class::SEMGET),
                (l::SYS_semctl, class::SEMCTL),
            ],
        ),
        (
            settings.events,
            &[
                (l::SYS_eventfd, class::OPEN),
                (l::SYS_eventfd2, class::OPEN),
                (l::SYS_signalfd, class::OPEN),
                (l::SYS_signalfd4, class::OPEN),
                (l::SYS_timerfd_create, class::OPEN),
                (l::SYS_timerfd_settime, class::TIMER_SET),
                (l::SYS_pidfd_open, class::OPEN),
                (l::SYS_clone, class::CLONE),
                (l::SYS_clone3, class::CLONE),
            ],
        ),
        (
            settings.memory,
            &[
                (l::SYS_memfd_create, class::OPEN),
                (l::SYS_mmap, class::MMAP),
                (l::SYS_munmap, class::MUNMAP),
                (l::SYS_mremap, class::MUNMAP),
                (l::SYS_ftruncate, class::TRUNCATE),
                (l::SYS_unlink, class::UNLINK),
                (l::SYS_unlinkat, class::UNLINK_AT),
            ],
        ),
        (settings.futexes, &[(l::SYS_futex, class::FUTEX), (FUTEX_WAKE, class::FUTEX), (FUTEX_WAIT, class::FUTEX)]),
        (settings.terminals, &[(l::SYS_ioctl, class::IOCTL)]),
        (settings.pipes, &[(l::SYS_mknod, class::MKNOD), (l::SYS_mknodat, class::MKNOD)]),
    ];
    families.into_iter().filter(|(captured, _)| *captured != 0).flat_map(|(_, calls)| calls.iter().copied())
}

/// What to do about each system call of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl); `of_32_bit`: what 32-bit calls are.
pub fn classes(settings: &Settings, of_32_bit: &[u16; NUMBERS]) -> [u8; NUMBERS] {
    use libc as l;
    let mut table = [0; NUMBERS];
    for (numbers, class) in [
        (&[l::SYS_read][..], class::READ),
        (&[l::SYS_write], class::WRITE),
        (&[l::SYS_readv, l::SYS_preadv2], class::READV),
        (&[l::SYS_writev, l::SYS_pwritev2], class::WRITEV),
        (&[l::SYS_splice], class::SPLICE),
        (&[l::SYS_tee], class::TEE),
        (&[l::SYS_vmsplice], class::VMSPLICE),
        (&[l::SYS_sendfile], class::SENDFILE),
        (&[l::SYS_pipe, l::SYS_pipe2], class::PIPE),
        (&[l::SYS_dup], class::DUP),
        (&[l::SYS_dup2, l::SYS_dup3], class::DUP_TO),
        (&[l::SYS_close], class::CLOSE),
        (&[l::SYS_close_range], class::CLOSE_RANGE),
        (&[l::SYS_fcntl], class::FCNTL),
        (&[l::SYS_open, l::SYS_openat, l::SYS_openat2, l::SYS_creat, l::SYS_pidfd_getfd], class::OPEN),
        (&[l::SYS_recvmsg], class::RECVMSG),
        (&[l::SYS_sendmsg], class::SENDMSG),
        (&[l::SYS_io_uring_setup, l::SYS_io_setup], class::RING),
        (
            &[
                l::SYS_kill,
                l::SYS_tkill,
                l::SYS_tgkill,
                l::SYS_rt_sigqueueinfo,
                l::SYS_rt_tgsigqueueinfo,
                l::SYS_pidfd_send_signal,
            ],
            class::KILL,
        ),
        // A timer that is deleted or set anew takes its signal back.
        (&[l::SYS_wait4, l::SYS_waitid, l::SYS_timer_delete, l::SYS_timer_settime], class::WAIT),
        (&[l::SYS_rt_sigtimedwait], class::SIGWAIT),
        (&[l::SYS_rt_sigaction], class::SIGACTION),
        (&[l::SYS_rt_sigprocmask], class::SIGMASK),
        (&[l::SYS_rt_sigreturn], class::SIGRETURN),
        (&[l::SYS_io_uring_enter], class::OTHER_CLOSE),
        (BLOCKING, class::BLOCKS),
    ] {
        for &number in numbers {
            if let Some(entry) = table.get_mut(number as usize) {
                *entry = class;
            }
        }
    }
    for (number, class) in own_classes(settings) {
        if let Some(entry) = table.get_mut(number as usize) {
            *entry = class;
        }
    }
    let of_interest = |number: &u16| table.get(usize::from(*number)).is_some_and(|class| *class != class::NONE);
    let only: Vec<usize> = (0..NUMBERS)
        .filter(|raw| MULTIPLEXERS.contains(raw) || of_32_bit.get(*raw).is_some_and(of_interest))
        .filter(|raw| !of_interest(&(*raw as u16)))
        .collect();
    for raw in only {
        if let Some(entry) = table.get_mut(raw) {
            *entry = class::ONLY_32_BIT;
        }
    }
    table
}

/// socketcall(2), ipc(2): the probes look which call they stand for.
const MULTIPLEXERS: [usize; 2] = [x86::Sysno::socketcall as usize, x86::Sysno::ipc as usize];

/// 32-bit calls that do the same as a call of x86-64 with another name, the first arguments being the same. With a `64` or a
/// `_time64` behind the name they are found without.
const RENAMED: &[(x86::Sysno, Sysno)] = &[
    (x86::Sysno::waitpid, Sysno::wait4),
    (x86::Sysno::_newselect, Sysno::select),
    (x86::Sysno::mmap2, Sysno::mmap),
    (x86::Sysno::sigaction, Sysno::rt_sigaction),
    (x86::Sysno::sigprocmask, Sysno::rt_sigprocmask),
    (x86::Sysno::sigsuspend, Sysno::rt_sigsuspend),
    (x86::Sysno::sigreturn, Sysno::rt_sigreturn),
];
/// Those that have the name of a call of x86-64, but other arguments.
const DIFFERENT: [x86::Sysno; 2] = [x86::Sysno::select, x86::Sysno::mmap];

/// The number on x86-64 of each 32-bit call.
pub fn numbers_of_32_bit() -> [u16; NUMBERS] {
    let mut table = [NO_NUMBER; NUMBERS];
    for (raw, place) in table.iter_mut().enumerate() {
        let Some(call) = x86::Sysno::new(raw).filter(|call| !DIFFERENT.contains(call)) else { continue };
        let name = call.name();
        let named = |name: &str| name.parse::<Sysno>().ok();
        let renamed = RENAMED.iter().find(|(other, _)| *other == call).map(|(_, same)| *same);
        let shorter = || name.strip_suffix("_time64").or_else(|| name.strip_suffix("64")).and_then(named);
        if let Some(same) = renamed.or_else(|| named(name)).or_else(shorter) {
            *place = same.id() as u16;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_32_bit_programs_are_those_of_64_bit_ones() {
        let table = numbers_of_32_bit();
        let number = |raw: usize| table.get(raw).copied().map(i64::from);
        // arch/x86/entry/syscalls/syscall_32.tbl.
        for (raw, call) in [
            (0, libc::SYS_restart_syscall),
            (3, libc::SYS_read),
            (4, libc::SYS_write),
            (7, libc::SYS_wait4),
            (119, libc::SYS_rt_sigreturn),
            (142, libc::SYS_select),
            (173, libc::SYS_rt_sigreturn),
            (192, libc::SYS_mmap),
            (221, libc::SYS_fcntl),
            (239, libc::SYS_sendfile),
            (331, libc::SYS_pipe2),
            (420, libc::SYS_semtimedop),
            (422, libc::SYS_futex),
            (437, libc::SYS_openat2),
        ] {
            assert_eq!(number(raw), Some(call), "{raw}");
        }
        for raw in [82, 90, 102, 117, 511] {
            assert_eq!(number(raw), Some(NO_NUMBER.into()), "{raw}");
        }
    }

    #[test]
    fn what_a_32_bit_program_may_call_passes_the_first_look() {
        let table = classes(&Settings { pipes: 1, ..Settings::NONE }, &numbers_of_32_bit());
        // write, close, pipe2; getpid is of no interest to either.
        assert_eq!(
            [4, 6, 331, 39, 20].map(|raw: usize| table.get(raw).copied()),
            [
                Some(class::ONLY_32_BIT),
                Some(class::ONLY_32_BIT),
                Some(class::ONLY_32_BIT),
                Some(class::NONE),
                Some(class::WRITEV)
            ]
        );
    }
}
