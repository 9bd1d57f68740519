//! Datagrams over a loopback that its owner has told to double them, or to keep some back.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsRawFd as _,
    time::Duration,
};

use super::sys::{check, fork, reap, say, sleep};

/// What tc-htb(8) puts into class 1:10 and 1:20.
const SLOW: u32 = 0x1_0010;
const FAST: u32 = 0x1_0020;

/// A child sends datagrams to its parent, the two after the first by the slow class.
pub fn unruly(count: u32) {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = receiver.local_addr().unwrap();
    say("to", to);
    let child = fork(|| {
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for number in 0..count {
            set_priority(&sender, if (1..=2).contains(&number) { SLOW } else { FAST });
            // Of a size that the slow class takes some time for.
            sender.send_to(format!("{number:<100}").as_bytes(), to).unwrap();
            sleep(10);
        }
    });
    say("child", child);
    receiver.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut buffer = [0; 200];
    let mut got = Vec::new();
    loop {
        let bytes = match receiver.recv_from(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            received => received.unwrap().0,
        };
        got.push(String::from_utf8_lossy(&buffer[..bytes]).trim().to_owned());
    }
    say("got", got.join(","));
    reap(child);
}

fn set_priority(socket: &UdpSocket, priority: u32) {
    // SAFETY: the option is an int, and lives until the call returns.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PRIORITY, (&raw const priority).cast(), 4)
    };
    check("setsockopt", result.into());
}
