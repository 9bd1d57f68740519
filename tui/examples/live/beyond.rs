//! Bytes that move beyond what a trace sees: through ends that others got, by rings of requests.

use std::os::{
    fd::AsRawFd as _,
    unix::net::{UnixListener, UnixStream},
};

use super::{
    pipes::{receive, send},
    sys::{name, pipe, read, say, write},
};

/// Gives the writing end of a pipe to whoever listens on a socket, and reads what that puts.
pub fn give(path: &str) {
    let (r, w) = pipe(0);
    say("channel", name(r));
    let socket = UnixStream::connect(path).unwrap();
    write(w, b"ours");
    say("ours", read(r, 100).0);
    send(socket.as_raw_fd(), w);
    say("theirs", read(r, 100).0);
    write(w, b"again");
    say("again", read(r, 100).0);
}

/// Takes one end from a socket and writes to it, when told to by a connection.
pub fn take(path: &str) {
    let socket = UnixListener::bind(path).unwrap();
    let (stream, _) = socket.accept().unwrap();
    let w = receive(stream.as_raw_fd());
    write(w, b"from outside");
}

/// Asks a ring for operations on a pipe and on a pair of sockets: a write of 5 bytes and a read of it, and one that fails.
pub fn requests() {
    let Ok(mut ring) = io_uring::IoUring::new(4) else {
        say("ring", -1);
        return;
    };
    say("ring", 0);
    let (r, w) = pipe(0);
    say("pipe", name(r));
    let (one, other) = UnixStream::pair().unwrap();
    say("socket", name(one.as_raw_fd()));
    let mut got = [0_u8; 16];
    let room = (got.as_mut_ptr(), got.len() as u32);
    let fd = |fd| io_uring::types::Fd(fd);
    let (one, other) = (fd(one.as_raw_fd()), fd(other.as_raw_fd()));
    let operations = [
        io_uring::opcode::Write::new(fd(w), b"hello".as_ptr(), 5).build(),
        io_uring::opcode::Read::new(fd(r), room.0, room.1).build(),
        io_uring::opcode::Send::new(one, b"world".as_ptr(), 5).build(),
        io_uring::opcode::Recv::new(other, room.0, room.1).build(),
        // The wrong end.
        io_uring::opcode::Write::new(fd(r), b"hello".as_ptr(), 5).build(),
    ];
    let mut results = Vec::new();
    for operation in operations {
        // SAFETY: what it reads and writes lives until it is over.
        unsafe { ring.submission().push(&operation).unwrap() };
        ring.submit_and_wait(1).unwrap();
        results.extend(ring.completion().map(|done| done.result().to_string()));
    }
    say("results", results.join(" "));
}

/// Sets up a ring of requests; from then on bytes may move without calls.
pub fn ring() {
    let (r, w) = pipe(0);
    say("channel", name(r));
    write(w, b"before");
    say("first", read(r, 100).0);
    let mut parameters = [0_u64; 15];
    // SAFETY: io_uring_params is 120 bytes long, all zero is plain.
    say("ring", unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, parameters.as_mut_ptr()) });
    write(w, b"after");
    say("second", read(r, 100).0);
}
