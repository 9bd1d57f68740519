//! Many channels at once, of one kind: each gets one message, all are held until the end. And many one after the other.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket},
    os::{fd::AsRawFd as _, raw::c_int, unix::net::UnixStream},
};

use super::sys::{check, close, pipe, read, say, write};

/// One of them.
enum Channel {
    /// What is written to the second is read from the first.
    Ends(c_int, c_int),
    Stream(UnixStream, UnixStream),
    Datagrams(UdpSocket),
    Queue(c_int),
}

/// Makes up to `count` of a kind, as many as this process may; uses each once.
pub fn many(kind: &str, count: u32) {
    let count = count.min(room() / if matches!(kind, "pipe" | "unix-stream") { 2 } else { 1 });
    let channels: Vec<Channel> = (0..count).map(|_| make(kind)).collect();
    for (number, channel) in (0_u64..).zip(&channels) {
        // What an eventfd takes and gives: eight bytes, not zero.
        let message = (number + 1).to_ne_bytes();
        let mut got = [0; 8];
        match channel {
            Channel::Ends(r, w) => {
                write(*w, &message);
                got.copy_from_slice(&read(*r, 8).1);
            }
            Channel::Stream(one, other) => {
                write(one.as_raw_fd(), &message);
                got.copy_from_slice(&read(other.as_raw_fd(), 8).1);
            }
            Channel::Datagrams(socket) => {
                socket.send_to(&message, socket.local_addr().unwrap()).unwrap();
                socket.recv_from(&mut got).unwrap();
            }
            Channel::Queue(queue) => use_queue(*queue, message, &mut got),
        }
        assert_eq!(got, message);
    }
    say("channels", count);
    for channel in channels {
        match channel {
            Channel::Ends(r, w) => {
                close(r);
                if w != r {
                    close(w);
                }
            }
            Channel::Queue(queue) => remove(queue),
            Channel::Stream(..) | Channel::Datagrams(_) => {}
        }
    }
}

/// So many TCP connections, one after the other; in each, who accepted it sends and goes first.
pub fn one_after_the_other(count: u32) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for number in 0..count {
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        for message in 0..20 {
            server.write_all(&[message; 100]).unwrap();
        }
        drop(server);
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), 2000, "{number}");
        // The connection is over then, and its port gone.
        client.shutdown(Shutdown::Both).unwrap();
    }
    say("connections", count);
}

/// Descriptors that may be open besides those that are; as many as the system allows.
fn room() -> u32 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a place for the limits, then those limits.
    unsafe {
        check("getrlimit", libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit).into());
        limit.rlim_cur = limit.rlim_max;
        check("setrlimit", libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit).into());
    }
    u32::try_from(limit.rlim_max).unwrap_or(u32::MAX) - 64
}

fn make(kind: &str) -> Channel {
    match kind {
        "pipe" => {
            let (r, w) = pipe(0);
            Channel::Ends(r, w)
        }
        "eventfd" => {
            // SAFETY: no memory is involved, as below.
            let fd = check("eventfd", unsafe { libc::eventfd(0, 0) }.into()) as c_int;
            Channel::Ends(fd, fd)
        }
        "unix-stream" => {
            let (one, other) = UnixStream::pair().unwrap();
            Channel::Stream(one, other)
        }
        "udp" => Channel::Datagrams(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()),
        "sysv-mq" => {
            // SAFETY: as above.
            let queue = unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) };
            Channel::Queue(check("msgget", queue.into()) as c_int)
        }
        other => unreachable!("{other}"),
    }
}

fn use_queue(queue: c_int, message: [u8; 8], got: &mut [u8; 8]) {
    // struct msgbuf: the type, then the text.
    let mut buffer = [1_u64.to_ne_bytes(), message];
    // SAFETY: a type and eight bytes of text.
    unsafe {
        check("msgsnd", libc::msgsnd(queue, buffer.as_ptr().cast(), 8, 0).into());
        buffer = [[0; 8]; 2];
        check("msgrcv", libc::msgrcv(queue, buffer.as_mut_ptr().cast(), 8, 0, 0) as i64);
    }
    *got = buffer[1];
}

fn remove(queue: c_int) {
    // SAFETY: IPC_RMID takes no memory.
    check("msgctl", unsafe { libc::msgctl(queue, libc::IPC_RMID, std::ptr::null_mut()) }.into());
}
