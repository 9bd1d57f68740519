//! Remote procedure calls, spelled byte by byte; both sides know what they asked and answered.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixStream,
};

use super::sys::{fork, pid, reap, say, sleep};

/// Runs a workload; `false` if there is none of that name.
pub fn run(words: &[&str]) -> bool {
    match words {
        ["http", clients, requests] => http(clients.parse().unwrap(), requests.parse().unwrap()),
        ["http-pipelined"] => pipelined(),
        ["dbus", calls] => dbus(calls.parse().unwrap()),
        ["onc", "udp", calls] => onc_udp(calls.parse().unwrap()),
        ["onc", "tcp", calls] => onc_tcp(calls.parse().unwrap()),
        ["not-rpc"] => not_rpc(),
        _ => return false,
    }
    true
}

/// Reads a head, and as many bytes as its Content-Length says.
fn message(stream: &mut impl Read) -> Option<(String, usize)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap() == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length = length.map_or(0, |length| length.parse().unwrap());
    stream.read_exact(&mut vec![0; length]).unwrap();
    Some((head, length))
}

/// An echo server on port 6789: it says how long the body was, and does not know `/missing`.
fn serve(stream: &mut (impl Read + Write)) {
    while let Some((head, length)) = message(stream) {
        let target = head.split(' ').nth(1).unwrap();
        let status = if target.starts_with("/missing") { "404 Not Found" } else { "200 OK" };
        let body = format!("{target} {length}\n").repeat(if target.ends_with('7') { 500 } else { 1 });
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
    }
}

/// Request `number` of a client: some with a body longer than what is looked at, some in two sends.
fn ask(stream: &mut (impl Read + Write), number: u32) {
    let target = if number % 5 == 4 { format!("/missing{number}") } else { format!("/{}/{number}", pid()) };
    let body = if number % 3 == 2 { 5000 } else { 0 };
    let method = if body > 0 { "POST" } else { "GET" };
    let text = format!("{method} {target} HTTP/1.1\r\nHost: here\r\nContent-Length: {body}\r\n\r\n{:body$}", "");
    let (first, second) = text.split_at(if number % 2 == 1 { 9 } else { text.len() });
    stream.write_all(first.as_bytes()).unwrap();
    stream.write_all(second.as_bytes()).unwrap();
    let (head, _) = message(stream).unwrap();
    let status = head.lines().next().unwrap().split_once(' ').unwrap().1.to_owned();
    println!("call-{}-{number} {method} {target}|{status}", pid());
}

fn http(clients: u32, requests: u32) {
    let listener = TcpListener::bind(("127.0.0.1", 6789)).unwrap();
    let mut children = Vec::new();
    for _ in 0..clients {
        children.push(fork(|| {
            let mut stream = TcpStream::connect(("127.0.0.1", 6789)).unwrap();
            stream.set_nodelay(true).unwrap();
            (0..requests).for_each(|number| ask(&mut stream, number));
        }));
    }
    for _ in 0..clients {
        let (mut stream, _) = listener.accept().unwrap();
        children.push(fork(|| {
            stream.set_nodelay(true).unwrap();
            serve(&mut stream);
        }));
    }
    for child in children {
        reap(child);
    }
}

/// Three requests in one send; the answers come in their order.
fn pipelined() {
    let (mut one, mut other) = UnixStream::pair().unwrap();
    let child = fork(|| {
        // SAFETY: the parent's end, not used in this process.
        unsafe { libc::close(std::os::fd::AsRawFd::as_raw_fd(&one)) };
        // All are there before the first is answered.
        sleep(20);
        serve(&mut other);
    });
    drop(other);
    one.write_all(b"GET /one HTTP/1.1\r\n\r\nGET /missing HTTP/1.1\r\n\r\nGET /three HTTP/1.1\r\n\r\n").unwrap();
    for _ in 0..3 {
        message(&mut one).unwrap();
    }
    drop(one);
    reap(child);
}

/// A D-Bus message without a body; fields are `(code, type, value)`.
fn dbus_message(kind: u8, flags: u8, serial: u32, fields: &[(u8, u8, &str)], answers: u32, big: bool) -> Vec<u8> {
    let word = |number: u32| if big { number.to_be_bytes() } else { number.to_le_bytes() };
    let mut array = Vec::new();
    for (code, kind, value) in fields {
        array.resize(array.len().next_multiple_of(8), 0);
        array.extend([*code, 1, *kind, 0]);
        array.extend(word(value.len() as u32));
        array.extend(value.as_bytes());
        array.push(0);
    }
    if answers != 0 {
        array.resize(array.len().next_multiple_of(8), 0);
        array.extend([5, 1, b'u', 0]);
        array.extend(word(answers));
    }
    let mut bytes = vec![if big { b'B' } else { b'l' }, kind, flags, 1];
    bytes.extend([word(0), word(serial), word(array.len() as u32)].concat());
    bytes.extend(array);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Calls of `org.example.Echo.Say` in either byte order, each with a signal in the same send; every fourth fails.
fn dbus(calls: u32) {
    let (mut one, mut other) = UnixStream::pair().unwrap();
    let child = fork(|| {
        // SAFETY: the parent's end, not used in this process.
        unsafe { libc::close(std::os::fd::AsRawFd::as_raw_fd(&one)) };
        let mut buffer = [0; 4096];
        let _ = other.read(&mut buffer).unwrap();
        other.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n").unwrap();
        let _ = other.read(&mut buffer).unwrap();
        for serial in 1..=calls {
            if serial > 1 {
                let _ = other.read(&mut buffer).unwrap();
            }
            let error: &[_] = if serial % 4 == 0 { &[(4, b's', "org.example.Error.No")] } else { &[] };
            let kind = if error.is_empty() { 2 } else { 3 };
            other.write_all(&dbus_message(kind, 0, 1000 + serial, error, serial, serial % 2 == 0)).unwrap();
        }
    });
    drop(other);
    one.write_all(b"\0AUTH EXTERNAL 30\r\n").unwrap();
    let mut buffer = [0; 4096];
    let _ = one.read(&mut buffer).unwrap();
    let fields = |member| [(1, b'o', "/org/example"), (2, b's', "org.example.Echo"), (3, b's', member)];
    for serial in 1..=calls {
        let mut bytes = if serial == 1 { b"BEGIN\r\n".to_vec() } else { Vec::new() };
        bytes.extend(dbus_message(1, 0, serial, &fields("Say"), 0, serial % 2 == 0));
        bytes.extend(dbus_message(4, 1, serial + 500, &fields("Said"), 0, false));
        one.write_all(&bytes).unwrap();
        let _ = one.read(&mut buffer).unwrap();
    }
    say("calls", calls);
    drop(one);
    reap(child);
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Call `number`: portmap's GETPORT, or NFS 3's LOOKUP.
fn onc_call(number: u32) -> Vec<u8> {
    let (program, version, procedure) = if number.is_multiple_of(2) { (100_000, 2, 3) } else { (100_003, 3, 3) };
    words(&[0x1000 + number, 0, 2, program, version, procedure, 0, 0, 0, 0, 100_003, 3, 6, 0])
}

/// Its answer; every fourth is denied.
fn onc_answer(call: &[u8]) -> Vec<u8> {
    let xid = u32::from_be_bytes(call[..4].try_into().unwrap());
    if xid % 4 == 3 { words(&[xid, 1, 1, 1, 1]) } else { words(&[xid, 1, 0, 0, 0, 0, 2049]) }
}

fn onc_udp(calls: u32) {
    let server = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let address = server.local_addr().unwrap();
    let child = fork(|| {
        for _ in 0..calls {
            let mut buffer = [0; 512];
            let (got, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(&onc_answer(&buffer[..got]), from).unwrap();
        }
    });
    let client = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    for number in 0..calls {
        client.send_to(&onc_call(number), address).unwrap();
        let _ = client.recv(&mut [0; 512]).unwrap();
    }
    say("server", child);
    reap(child);
}

fn onc_tcp(calls: u32) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let record = |bytes: Vec<u8>| [words(&[1 << 31 | bytes.len() as u32]), bytes].concat();
    let receive = |stream: &mut TcpStream| {
        let mut mark = [0; 4];
        stream.read_exact(&mut mark).unwrap();
        let mut bytes = vec![0; (u32::from_be_bytes(mark) & 0x7fff_ffff) as usize];
        stream.read_exact(&mut bytes).unwrap();
        bytes
    };
    let child = fork(|| {
        let mut stream = listener.accept().unwrap().0;
        for _ in 0..calls {
            let call = receive(&mut stream);
            stream.write_all(&record(onc_answer(&call))).unwrap();
        }
    });
    let mut client = TcpStream::connect(address).unwrap();
    for number in 0..calls {
        client.write_all(&record(onc_call(number))).unwrap();
        receive(&mut client);
    }
    say("server", child);
    reap(child);
}

/// Much that looks a little like something, and is nothing.
fn not_rpc() {
    let (mut one, mut other) = UnixStream::pair().unwrap();
    let pieces: [&[u8]; 8] = [
        b"GET ",
        b"rich quick\n",
        b"HTTP/2 is not for us\r\n\r\n",
        b"l\x01\0\x01",
        &[b'B'; 300],
        &[0x80, 0, 0, 0x28, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3],
        &[0; 64],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for piece in pieces {
        one.write_all(piece).unwrap();
        other.read_exact(&mut vec![0; piece.len()]).unwrap();
    }
    say("sends", pieces.len());
}
