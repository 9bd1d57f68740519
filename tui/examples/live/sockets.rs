//! Sockets: every message names who sent it and its number, so that what a receiver gets tells whose bytes they are.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
    },
};

use super::sys::{check, fork, outcome, pid, read, reap, say, sleep, write};

/// Runs a workload; `false` if there is none of that name.
pub fn run(words: &[&str]) -> bool {
    match words {
        ["socketpair", messages] => pair(messages.parse().unwrap()),
        ["server", clients, messages] => server(clients.parse().unwrap(), messages.parse().unwrap()),
        ["dgrams", senders, messages] => datagrams(senders.parse().unwrap(), messages.parse().unwrap()),
        ["writers", count, messages] => writers(count.parse().unwrap(), messages.parse().unwrap()),
        ["crowd", kind, writers, readers, messages] => {
            crowd(kind, writers.parse().unwrap(), readers.parse().unwrap(), messages.parse().unwrap());
        }
        ["udp", writers, readers, messages] => {
            udp(writers.parse().unwrap(), readers.parse().unwrap(), messages.parse().unwrap());
        }
        ["overflow", messages] => overflow(messages.parse().unwrap()),
        ["multicast", receivers, messages] => multicast(receivers.parse().unwrap(), messages.parse().unwrap()),
        ["seqpacket"] => packets(),
        ["half"] => half(),
        ["reset"] => reset(),
        ["filled"] => filled(),
        ["waitall", "tcp"] => wait_for_all(&connection()),
        ["waitall", _] => {
            let (one, other) = sockets(libc::SOCK_STREAM);
            wait_for_all(&[one, other]);
        }
        ["vectors"] => vectors(),
        ["early"] => early(),
        ["large", bytes] => large(bytes.parse().unwrap()),
        ["tcp", messages] => tcp(messages.parse().unwrap()),
        ["tcp-serve", address] => tcp_serve(address),
        ["tcp-ask", address, messages] => tcp_ask(address, messages.parse().unwrap()),
        ["moved"] => moved(),
        _ => return false,
    }
    true
}

/// Message `number` of a process: between 12 and 60 bytes.
fn message(number: u32) -> Vec<u8> {
    let mut text = format!("{:07} {number:05};", pid()).into_bytes();
    text.resize(14 + (number * 7 % 46) as usize, b'a' + (number % 26) as u8);
    text
}

/// Sends a message and waits for as many bytes, over and over.
fn ask(stream: &mut (impl std::io::Read + std::io::Write), messages: u32) -> usize {
    let mut bytes = 0;
    for number in 0..messages {
        let text = message(number);
        stream.write_all(&text).unwrap();
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).unwrap();
        bytes += text.len();
    }
    bytes
}

/// Answers whatever comes with as many bytes.
fn answer(stream: &mut (impl std::io::Read + std::io::Write)) {
    let mut buffer = [0; 100];
    let mut number = 0;
    loop {
        let got = stream.read(&mut buffer).unwrap();
        if got == 0 {
            return;
        }
        let mut text = message(number);
        text.resize(got, b'.');
        stream.write_all(&text).unwrap();
        number += 1;
    }
}

fn pair(messages: u32) {
    let (mut one, mut other) = UnixStream::pair().unwrap();
    let child = fork(|| {
        // SAFETY: the parent's end, not used in this process.
        unsafe { libc::close(one.as_raw_fd()) };
        answer(&mut other);
    });
    drop(other);
    say("bytes", ask(&mut one, messages));
    say("child", child);
    drop(one);
    reap(child);
}

fn server(clients: u32, messages: u32) {
    let path = std::env::temp_dir().join(format!("sockets-{}", pid()));
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    say("path", path.display());
    let mut children = Vec::new();
    for _ in 0..clients {
        children.push(fork(|| {
            let mut stream = UnixStream::connect(&path).unwrap();
            ask(&mut stream, messages);
        }));
    }
    for _ in 0..clients {
        let (mut stream, _) = listener.accept().unwrap();
        children.push(fork(|| answer(&mut stream)));
    }
    say("messages", clients * messages);
    for child in children {
        reap(child);
    }
    fs::remove_file(path).unwrap();
}

fn datagrams(senders: u32, messages: u32) {
    let path = std::env::temp_dir().join(format!("dgrams-{}", pid()));
    let _ = fs::remove_file(&path);
    let receiver = UnixDatagram::bind(&path).unwrap();
    let mut children = Vec::new();
    for sender in 0..senders {
        children.push(fork(|| {
            let socket = UnixDatagram::unbound().unwrap();
            if sender % 2 == 0 {
                socket.connect(&path).unwrap();
            }
            for number in 0..messages {
                let text = message(number);
                let sent = if sender % 2 == 0 { socket.send(&text) } else { socket.send_to(&text, &path) };
                sent.unwrap();
            }
        }));
    }
    let mut buffer = [0; 40];
    for _ in 0..senders * messages {
        receiver.recv(&mut buffer).unwrap();
    }
    say("messages", senders * messages);
    for child in children {
        reap(child);
    }
    fs::remove_file(path).unwrap();
}

/// Several processes write to one end.
fn writers(writers: u32, messages: u32) {
    let (one, mut other) = UnixStream::pair().unwrap();
    let mut children = Vec::new();
    for _ in 0..writers {
        children.push(fork(|| {
            // SAFETY: the reader's end, not used in this process.
            unsafe { libc::close(other.as_raw_fd()) };
            for number in 0..messages {
                (&one).write_all(&message(number)).unwrap();
            }
        }));
    }
    drop(one);
    let mut buffer = [0; 60];
    let mut bytes = 0;
    loop {
        match other.read(&mut buffer).unwrap() {
            0 => break,
            got => bytes += got,
        }
    }
    say("bytes", bytes);
    for child in children {
        reap(child);
    }
}

/// Several processes send datagrams to one socket, and several read from it until each has got one of one byte.
fn udp(writers: u32, readers: u32, messages: u32) {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Room for all, if that is allowed.
    let _ = room(&receiver, libc::SO_RCVBUFFORCE, 64 << 20);
    let to = receiver.local_addr().unwrap();
    say("to", to);
    let reading: Vec<_> =
        (0..readers).map(|_| fork(|| while receiver.recv_from(&mut [0; 100]).unwrap().0 != 1 {})).collect();
    let writing: Vec<_> = (0..writers)
        .map(|writer| {
            fork(|| {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                if writer % 2 == 0 {
                    socket.connect(to).unwrap();
                }
                for number in 0..messages {
                    let text = message(number);
                    let sent = if writer % 2 == 0 { socket.send(&text) } else { socket.send_to(&text, to) };
                    assert_eq!(sent.unwrap(), text.len());
                }
            })
        })
        .collect();
    for child in writing {
        reap(child);
    }
    let last = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut reading = reading;
    while !reading.is_empty() {
        for _ in &reading {
            last.send_to(b".", to).unwrap();
        }
        // Those for whom there was no room are sent again.
        for _ in 0..200 {
            sleep(10);
            // SAFETY: a plain call.
            reading.retain(|child| unsafe { libc::waitpid(*child, std::ptr::null_mut(), libc::WNOHANG) } == 0);
            if reading.is_empty() {
                break;
            }
        }
    }
}

/// Gives a socket room for what waits to be received; `false` if that is not allowed.
fn room(socket: &UdpSocket, option: libc::c_int, bytes: libc::c_int) -> bool {
    // SAFETY: an int and its size.
    unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const bytes).cast(), 4) == 0 }
}

/// Datagrams that all look alike, to a receiver with little room that does not look until all are sent.
fn overflow(messages: u32) {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    // The kernel makes it the least that it allows.
    assert!(room(&receiver, libc::SO_RCVBUF, 1));
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let mut got = 0;
    for _ in 0..3 {
        for _ in 0..messages {
            sender.send(b"all the same").unwrap();
        }
        while receiver.recv_from(&mut [0; 100]).is_ok() {
            got += 1;
        }
    }
    say("got", got);
    say("dropped", 3 * messages - got);
}

/// One sender, a group of receivers on this machine alone.
fn multicast(receivers: u32, messages: u32) {
    let group = Ipv4Addr::new(239, 255, 67, 89);
    let first = UdpSocket::bind((group, 0)).unwrap();
    let to = first.local_addr().unwrap();
    drop(first);
    let (ready_r, ready_w) = super::sys::pipe(0);
    let children: Vec<_> = (0..receivers)
        .map(|_| {
            fork(|| {
                // SAFETY: plain calls on a descriptor of ours.
                let socket = unsafe {
                    let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
                    let one: libc::c_int = 1;
                    libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, (&raw const one).cast(), 4);
                    let address = libc::sockaddr_in {
                        sin_family: libc::AF_INET as u16,
                        sin_port: to.port().to_be(),
                        sin_addr: libc::in_addr { s_addr: u32::from(group).to_be() },
                        sin_zero: [0; 8],
                    };
                    assert_eq!(libc::bind(fd, (&raw const address).cast(), 16), 0);
                    UdpSocket::from_raw_fd(fd)
                };
                socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
                write(ready_w, b"r");
                for _ in 0..messages {
                    socket.recv_from(&mut [0; 100]).unwrap();
                }
            })
        })
        .collect();
    for _ in 0..receivers {
        assert_eq!(read(ready_r, 1).0, 1);
    }
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..messages {
        sender.send_to(&message(number), to).unwrap();
    }
    say("to", to);
    for child in children {
        reap(child);
    }
}

/// The two ends of a connection of some kind: where writers write, where readers read.
fn ends(kind: &str) -> (OwnedFd, OwnedFd) {
    match kind {
        "dgram" => sockets(libc::SOCK_DGRAM),
        "seqpacket" => sockets(libc::SOCK_SEQPACKET),
        "tcp" => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            one.set_nodelay(true).unwrap();
            (one.into(), listener.accept().unwrap().0.into())
        }
        _ => sockets(libc::SOCK_STREAM),
    }
}

/// Several processes write to one end and several read from the other, until each reader has got a message of one byte.
fn crowd(kind: &str, writers: u32, readers: u32, messages: u32) {
    let (one, other) = ends(kind);
    let is_stream = matches!(kind, "stream" | "tcp");
    let reading: Vec<_> = (0..readers)
        .map(|_| {
            fork(|| {
                loop {
                    let got = read(other.as_raw_fd(), 60).0;
                    if got == 0 || got == 1 && !is_stream {
                        break;
                    }
                }
            })
        })
        .collect();
    let writing: Vec<_> = (0..writers)
        .map(|_| {
            fork(|| {
                for number in 0..messages {
                    let text = message(number);
                    assert_eq!(write(one.as_raw_fd(), &text), text.len() as i64);
                }
            })
        })
        .collect();
    for child in writing {
        reap(child);
    }
    if !is_stream {
        for _ in 0..readers {
            write(one.as_raw_fd(), b".");
        }
    }
    // SAFETY: a plain call.
    unsafe { libc::shutdown(one.as_raw_fd(), libc::SHUT_WR) };
    for child in reading {
        reap(child);
    }
}

fn sockets(kind: i32) -> (OwnedFd, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors, which are nobody else's.
    unsafe {
        check("socketpair", i64::from(libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr())));
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    }
}

/// Packets keep their bounds; what does not fit is cut off; a look leaves them there.
fn packets() {
    let (one, other) = sockets(libc::SOCK_SEQPACKET);
    for text in [&b"first packet"[..], b"second", b"third one"] {
        write(one.as_raw_fd(), text);
    }
    let mut buffer = [0_u8; 100];
    // SAFETY: a buffer and its length.
    let peeked = unsafe { libc::recv(other.as_raw_fd(), buffer.as_mut_ptr().cast(), 100, libc::MSG_PEEK) };
    say("peeked", peeked);
    for room in [5, 100, 4] {
        say(&format!("room-{room}"), read(other.as_raw_fd(), room).0);
    }
    drop(one);
    say("end", read(other.as_raw_fd(), 10).0);
}

/// An abstract name; one side says that it is done, the other goes on; then nobody is there any more.
fn half() {
    // SAFETY: a plain call.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let name = format!("half-{}", pid());
    say("name", format!("@{name}"));
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let mut client = UnixStream::connect_addr(&address).unwrap();
    client.write_all(b"sent before it is accepted").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut buffer = [0; 100];
    say("got", server.read(&mut buffer).unwrap());
    client.shutdown(Shutdown::Write).unwrap();
    say("end", server.read(&mut buffer).unwrap());
    server.write_all(b"still there").unwrap();
    say("answer", client.read(&mut buffer).unwrap());
    server.set_nonblocking(true).unwrap();
    drop(client);
    say("gone", outcome(write(server.as_raw_fd(), b"nobody")));
    drop(listener);
    let refused = UnixStream::connect_addr(&address).is_err();
    say("refused", refused);
}

/// One send that is larger than the socket's room, received in pieces.
fn large(bytes: usize) {
    let (one, mut other) = UnixStream::pair().unwrap();
    let child = fork(|| {
        // SAFETY: the reader's end, not used in this process.
        unsafe { libc::close(other.as_raw_fd()) };
        assert_eq!(write(one.as_raw_fd(), &vec![b'x'; bytes]), bytes as i64);
    });
    drop(one);
    let mut buffer = vec![0; 10_000];
    let mut sum = 0;
    loop {
        match other.read(&mut buffer).unwrap() {
            0 => break,
            got => sum += got,
        }
    }
    say("bytes", sum);
    reap(child);
}

fn tcp(messages: u32) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let child = fork(|| {
        let mut stream = TcpStream::connect(server).unwrap();
        say("channel", format!("tcp:{}-{server}", stream.local_addr().unwrap()));
        say("bytes", ask(&mut stream, messages));
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        say("rest", rest.len());
    });
    let (mut stream, _) = listener.accept().unwrap();
    answer(&mut stream);
    stream.write_all(b"the last word").unwrap();
    drop(stream);
    say("child", child);
    reap(child);
}

/// Connections whose server closes them with bytes unread.
fn reset() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let child = fork(|| {
        let mut stream = TcpStream::connect(server).unwrap();
        say("channel", format!("tcp:{}-{server}", stream.local_addr().unwrap()));
        stream.write_all(b"never read").unwrap();
        say("tcp", outcome(read(stream.as_raw_fd(), 10).0));
        say("again", outcome(read(stream.as_raw_fd(), 10).0));
    });
    let (stream, _) = listener.accept().unwrap();
    stream.peek(&mut [0]).unwrap();
    drop(stream);
    say("child", child);
    reap(child);
    let (one, mut other) = UnixStream::pair().unwrap();
    other.write_all(b"never read").unwrap();
    drop(one);
    say("unix", outcome(read(other.as_raw_fd(), 10).0));
}

/// One end of a connection: answers one who asks.
fn tcp_serve(address: &str) {
    // Who never gets asked does not stay.
    // SAFETY: alarm(2) takes no pointers.
    unsafe { libc::alarm(600) };
    let (mut stream, _) = TcpListener::bind(address).unwrap().accept().unwrap();
    answer(&mut stream);
}

/// The other one, which waits for the first to be there.
fn tcp_ask(address: &str, messages: u32) {
    let connected = (0..1_200).find_map(|_| {
        let stream = TcpStream::connect(address).ok();
        if stream.is_none() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        stream
    });
    let mut stream = connected.unwrap();
    say("channel", format!("tcp:{}-{address}", stream.local_addr().unwrap()));
    say("bytes", ask(&mut stream, messages));
}

/// Both ends of a TCP connection.
fn connection() -> [OwnedFd; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    [client.into(), server.into()]
}

/// Sets how the calling thread is scheduled.
fn schedule(policy: i32, priority: i32) {
    // SAFETY: reads the parameter.
    let result = unsafe { libc::sched_setscheduler(0, policy, &libc::sched_param { sched_priority: priority }) };
    check("sched_setscheduler", result.into());
}

/// A thread waits for 40 bytes (MSG_WAITALL) and has 16 of them when another takes the next 16; then come the rest. `got`:
/// what the other one got.
fn wait_for_all([one, other]: &[OwnedFd; 2]) {
    // SAFETY: a set of processors is plain; both threads are to have one.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        check("sched_setaffinity", libc::sched_setaffinity(0, size_of_val(&set), &raw const set).into());
    }
    std::thread::scope(|scope| {
        let receive = |len: usize, flags: i32| {
            let mut buffer = [0_u8; 40];
            // SAFETY: room for as many.
            unsafe { libc::recv(other.as_raw_fd(), buffer.as_mut_ptr().cast(), len, flags) }
        };
        let waits = scope.spawn(move || receive(40, libc::MSG_WAITALL));
        sleep(20);
        write(one.as_raw_fd(), &[b'a'; 16]);
        sleep(20);
        schedule(libc::SCHED_FIFO, 10);
        write(one.as_raw_fd(), &[b'b'; 16]);
        let got = receive(16, libc::MSG_DONTWAIT);
        schedule(libc::SCHED_OTHER, 0);
        sleep(20);
        write(one.as_raw_fd(), &[b'c'; 24]);
        say("got", got);
        say("all", waits.join().unwrap());
    });
}

/// A client that has sent and closed before it is accepted.
fn early() {
    let address = SocketAddr::from_abstract_name(format!("early-{}", pid())).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let client = UnixStream::connect_addr(&address).unwrap();
    say("channel", super::sys::name(client.as_raw_fd()));
    write(client.as_raw_fd(), b"hello");
    drop(client);
    let (server, _) = listener.accept().unwrap();
    say("got", read(server.as_raw_fd(), 100).0);
}

/// A writev of a page and some more, which is read as one.
fn vectors() {
    let (one, other) = sockets(libc::SOCK_STREAM);
    let parts = [[b'x'; 4096].as_slice(), b"yz"];
    let vector = parts.map(|part| libc::iovec { iov_base: part.as_ptr() as *mut _, iov_len: part.len() });
    // SAFETY: the buffers live.
    say("sent", unsafe { libc::writev(one.as_raw_fd(), vector.as_ptr(), 2) });
    say("got", read(other.as_raw_fd(), 5000).0);
}

/// Connections with both ends in one process, so that it is known what is in them.
fn filled() {
    let [client, server] = connection();
    let (one, other) = UnixStream::pair().unwrap();
    for (one, other) in [(client.as_raw_fd(), server.as_raw_fd()), (one.as_raw_fd(), other.as_raw_fd())] {
        write(one, &[b'x'; 1_000]);
        write(one, &[b'x'; 500]);
        write(other, &[b'y'; 70]);
        assert_eq!(read(other, 700).0, 700);
        assert_eq!(read(one, 100).0, 70);
        assert_eq!(read(other, 800).0, 800);
    }
}

/// An end that moves to another process through a socket, and is used there.
fn moved() {
    let (carrier, far) = sockets(libc::SOCK_STREAM);
    let (mut one, other) = UnixStream::pair().unwrap();
    let child = fork(|| {
        // SAFETY: the parent's ends, not used in this process.
        unsafe {
            libc::close(one.as_raw_fd());
            libc::close(other.as_raw_fd());
        }
        let fd = super::pipes::receive(far.as_raw_fd());
        write(fd, b"from elsewhere");
    });
    super::pipes::send(carrier.as_raw_fd(), other.as_raw_fd());
    drop(other);
    let mut buffer = [0; 100];
    say("got", one.read(&mut buffer).unwrap());
    say("child", child);
    reap(child);
}
