//! Bytes that move beyond what a trace sees: through ends that others got, by rings of requests.

use std::{
    ffi::CString,
    net::{SocketAddr, TcpListener},
    os::{
        fd::AsRawFd as _,
        unix::net::{UnixListener, UnixStream},
    },
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

/// Asks a ring for operations on a pipe and on a pair of sockets: a write of 5 bytes and a read of it, and one that fails;
/// then end-of-file on the pipe.
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
        // Nobody writes any more.
        io_uring::opcode::Close::new(fd(w)).build(),
        io_uring::opcode::Read::new(fd(r), room.0, room.1).build(),
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

/// A TCP server and its two clients, all by a ring: one request accepts both, one receives what the first client sends. Then
/// a FIFO is opened and a pipe is made (from Linux 6.16 on) in the same way. `results`: what became of each, in order.
pub fn serve(fifo: &str) {
    use io_uring::{opcode, squeue::Entry, types};

    let (Ok(mut ring), Ok(listener)) = (io_uring::IoUring::new(8), TcpListener::bind("127.0.0.1:0")) else {
        say("ring", -1);
        return;
    };
    say("ring", 0);
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { return };
    say("port", address.port());
    let to = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    };
    let mut buffers = [0_u8; 4 * 16];
    let mut results = Vec::new();
    let mut ask = |entry: Entry, completions: usize| -> i32 {
        // SAFETY: what it reads and writes lives until it is over.
        unsafe { ring.submission().push(&entry).unwrap() };
        ring.submit_and_wait(completions).unwrap();
        let done: Vec<i32> = ring.completion().map(|done| done.result()).collect();
        results.extend(&done);
        *done.last().unwrap_or(&-1)
    };
    let fd = types::Fd;
    ask(opcode::ProvideBuffers::new(buffers.as_mut_ptr(), 16, 4, 1, 0).build(), 1);
    ask(opcode::AcceptMulti::new(fd(listener.as_raw_fd())).build().user_data(1), 0);
    let mut clients = Vec::new();
    for number in 0..2 {
        let client = ask(opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build(), 1);
        let connect = opcode::Connect::new(fd(client), (&raw const to).cast(), size_of_val(&to) as u32).build();
        // The accept completes again, before or after.
        ask(connect.user_data(10 + number), 2);
        clients.push(client);
    }
    let accepted = clients[1] + 1;
    let first = clients[0] + 1;
    ask(opcode::RecvMulti::new(fd(first), 1).build().user_data(2), 0);
    for message in ["one", "three"] {
        ask(opcode::Send::new(fd(clients[0]), message.as_ptr(), message.len() as u32).build().user_data(20), 2);
    }
    ask(opcode::Shutdown::new(fd(clients[0]), libc::SHUT_WR).build().user_data(30), 2);
    for open in [first, clients[0], accepted, clients[1]] {
        ask(opcode::Close::new(fd(open)).build().user_data(40), 1);
    }
    say("clients", format!("{} {}", clients[0], clients[1]));
    let fifo = CString::new(fifo).unwrap();
    let open = opcode::OpenAt::new(fd(libc::AT_FDCWD), fifo.as_ptr()).flags(libc::O_RDWR);
    let opened = ask(open.build().user_data(50), 1);
    let mut ends = [-1; 2];
    let made = ask(opcode::Pipe::new(ends.as_mut_ptr()).build().user_data(60), 1);
    say("fifo", opened);
    say("pipe", if made == 0 { name(ends[0]) } else { String::new() });
    say("results", results.iter().map(i32::to_string).collect::<Vec<_>>().join(" "));
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
