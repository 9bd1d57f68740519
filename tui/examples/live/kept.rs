//! Mistakes by which something is kept that nobody takes, and each done right: an end in flight, memory with a name,
//! connections that are not accepted.

use std::os::{fd::AsRawFd as _, raw::c_int};

use super::{
    mistakes::read_to_end,
    sys::{check, close, fork, pid, pipe, reap, say, sleep},
};

/// A write end that was passed through a socket, and that nobody has received yet.
pub fn end_in_flight(wrong: bool) {
    let (r, w) = pipe(0);
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    say("culprit", pid());
    pass(one.as_raw_fd(), w);
    close(w);
    if !wrong {
        close(received(other.as_raw_fd()));
    }
    read_to_end(r);
}

/// Room for one descriptor in a control message.
#[repr(C, align(8))]
struct Control([u8; 24]);

fn message<T>(control: &mut Control, with: impl FnOnce(&mut libc::msghdr) -> T) -> T {
    let mut byte = [b'x'];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: zeroes are a message without anything.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    (message.msg_control, message.msg_controllen) = (control.0.as_mut_ptr().cast(), 24);
    with(&mut message)
}

fn pass(socket: c_int, fd: c_int) {
    let mut control = Control([0; 24]);
    message(&mut control, |message| {
        // SAFETY: there is room for a header and a descriptor.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
            libc::CMSG_DATA(header).cast::<c_int>().write_unaligned(fd);
            check("sendmsg", libc::sendmsg(socket, message, 0) as i64);
        }
    });
}

fn received(socket: c_int) -> c_int {
    let mut control = Control([0; 24]);
    message(&mut control, |message| {
        // SAFETY: as above.
        unsafe {
            check("recvmsg", libc::recvmsg(socket, message, 0) as i64);
            libc::CMSG_DATA(libc::CMSG_FIRSTHDR(message)).cast::<c_int>().read_unaligned()
        }
    })
}

/// Shared memory that has a name and that nobody unlinks; whoever started this does, afterwards.
pub fn memory_left(wrong: bool) {
    let name = std::ffi::CString::new(format!("/left-{}", pid())).unwrap();
    say("culprit", pid());
    say("left-name", name.to_str().unwrap());
    // SAFETY: a name, and a descriptor of our own.
    unsafe {
        let fd = check("shm_open", i64::from(libc::shm_open(name.as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600)));
        check("ftruncate", i64::from(libc::ftruncate(fd as c_int, 4096)));
        if !wrong {
            check("shm_unlink", i64::from(libc::shm_unlink(name.as_ptr())));
        }
    }
}

/// More connect than there is room for, and nobody accepts them.
pub fn listen_full(wrong: bool) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    say("culprit", pid());
    if wrong {
        // SAFETY: a descriptor of our own.
        check("listen", i64::from(unsafe { libc::listen(listener.as_raw_fd(), 1) }));
    }
    let address = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let client = fork(|| drop(std::net::TcpStream::connect(address)));
            sleep(20);
            client
        })
        .collect();
    if wrong {
        sleep(1500);
    }
    for _ in &clients {
        drop(listener.accept().unwrap());
    }
    for client in clients {
        reap(client);
    }
}
