//! Datagrams that look alike as far as they are kept, and that nobody asks the source of: each says who it is at its end.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::net::UnixDatagram,
    },
};

use super::sys::{check, fork, read, reap, say, write};

/// More than a recording keeps.
const LENGTH: usize = 6000;
/// Room for all that are on their way.
const ROOM: i32 = 32 << 20;

/// Runs a workload; `false` if there is none of that name.
pub fn run(words: &[&str]) -> bool {
    match words {
        ["alike", senders, count] => {
            let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            alike(&receiver, senders.parse().unwrap(), count.parse().unwrap());
        }
        ["alike", senders, count, namespace, address] => {
            let own = File::open("/proc/self/ns/net").unwrap();
            enter(&File::open(namespace).unwrap());
            let receiver = UdpSocket::bind((address.parse::<IpAddr>().unwrap(), 0)).unwrap();
            enter(&own);
            alike(&receiver, senders.parse().unwrap(), count.parse().unwrap());
        }
        ["queued"] => queued(),
        ["peek-behind"] => peek_behind(),
        _ => return false,
    }
    true
}

fn enter(namespace: &File) {
    // SAFETY: takes a number.
    check("setns", unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }.into());
}

fn set(socket: i32, option: i32, value: i32) {
    // SAFETY: the option is an int, and lives until the call returns.
    let result = unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, option, (&raw const value).cast(), 4) };
    check("setsockopt", result.into());
}

/// Each of some children sends some, all at the same time.
fn alike(receiver: &UdpSocket, senders: u32, count: u32) {
    set(receiver.as_raw_fd(), libc::SO_RCVBUFFORCE, ROOM);
    let to = receiver.local_addr().unwrap();
    say("to", to);
    let children: Vec<i32> = (0..senders)
        .map(|_| {
            fork(|| {
                let sender = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
                for number in 0..count {
                    let end = format!("{}:{number}", std::process::id());
                    sender.send_to(format!("{end:=>LENGTH$}").as_bytes(), to).unwrap();
                }
            })
        })
        .collect();
    let mut buffer = [0; LENGTH];
    let mut got = Vec::new();
    for _ in 0..senders * count {
        let bytes = receiver.recv(&mut buffer).unwrap();
        got.push(String::from_utf8_lossy(&buffer[..bytes]).trim_start_matches('=').to_owned());
    }
    say("got", got.join(","));
    for child in children {
        reap(child);
    }
}

/// Three are sent and then received: by UDP, and through a pair of UNIX sockets.
fn queued() {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (one, other) = UnixDatagram::pair().unwrap();
    let mut buffer = [0; 8];
    for number in 0..3 {
        sender.send_to(&[0; 3][number..], receiver.local_addr().unwrap()).unwrap();
        one.send(&[0; 3][number..]).unwrap();
    }
    for _ in 0..3 {
        receiver.recv(&mut buffer).unwrap();
        other.recv(&mut buffer).unwrap();
    }
}

/// Two send at one end; who looks at the other end passes over what was looked at before.
fn peek_behind() {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors, which are nobody else's.
    let (one, other) = unsafe {
        check("socketpair", i64::from(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, fds.as_mut_ptr())));
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    };
    write(one.as_raw_fd(), b"abc");
    write(one.as_raw_fd(), b"defg");
    set(other.as_raw_fd(), libc::SO_PEEK_OFF, 0);
    for count in [2, 3, 9] {
        let mut buffer = [0_u8; 10];
        // SAFETY: a buffer of more than that.
        let peeked = unsafe { libc::recv(other.as_raw_fd(), buffer.as_mut_ptr().cast(), count, libc::MSG_PEEK) };
        check("recv", peeked as i64);
    }
    read(other.as_raw_fd(), 10);
}
