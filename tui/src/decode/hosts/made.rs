//! What the kernel side would have recorded on a host that talks over TCP, made for tests.

use ipcscope_common::{
    Header,
    mark::{self, Start, Tick},
    process::{self, Found},
    socket::{self as wire, AF_INET, Endpoint, SocketCall, SocketChange, change, flag},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

/// The server's port.
const PORT: u16 = 80;
/// The client's.
pub const CLIENT_PORT: u16 = 40_000;

/// A host with one process, which is one end of a connection. Times are true ones; the host's clock shows other ones.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The records, each with its time by the host's clock.
    pub records: Vec<(u64, Vec<u8>)>,
    /// What the clock shows at the true time 0.
    pub ahead: u64,
    /// The one that connects; else the one that accepts.
    pub is_client: bool,
    /// Its process.
    pub pid: u32,
    /// The last byte of the server's address: another server, another connection.
    pub server: u8,
    seq: u32,
}

impl Machine {
    /// A host whose trace begins at a true time.
    pub fn new(is_client: bool, pid: u32, ahead: u64, start: u64) -> Self {
        let mut machine = Self { records: Vec::new(), ahead, is_client, pid, server: 2, seq: 0 };
        let begin = Start { header: machine.header(start, mark::START), flags: mark::flag::FOLLOW, reserved: 0 };
        machine.push(start, begin.as_bytes());
        let mut found = Found::new_zeroed();
        found.header = machine.header(start, process::FOUND);
        let name: &[u8] = if is_client { b"client" } else { b"server" };
        found.comm.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
        (found.nr, found.ns_tid, found.ns_tgid) = (-1, pid, pid);
        machine.push(start, found.as_bytes());
        machine
    }

    /// When it began, by its own clock.
    pub fn start(&self) -> u64 {
        self.records.first().map_or(0, |(time, _)| *time)
    }

    fn push(&mut self, time: u64, bytes: &[u8]) {
        self.records.push((time + self.ahead, bytes.to_vec()));
    }

    fn header(&mut self, time: u64, kind: u16) -> Header {
        let numbered = !matches!(kind, mark::START | mark::TICK | process::FOUND);
        self.seq += u32::from(numbered);
        Header { time: time + self.ahead, seq: self.seq, cpu: 0, kind, tid: self.pid, tgid: self.pid }
    }

    fn end(&self) -> Endpoint {
        let address = |last: u8| {
            let mut bytes = [0; 16];
            bytes.iter_mut().zip([10, 0, 0, last]).for_each(|(to, from)| *to = from);
            bytes
        };
        let (client, server) = ((address(1), CLIENT_PORT), (address(self.server), PORT));
        let ((local, local_port), (remote, remote_port)) =
            if self.is_client { (client, server) } else { (server, client) };
        let (family, kind, protocol, state) = (AF_INET, wire::STREAM, 6, 1);
        // Both hosts have the same inode number: what is one and what is not must not hang on it.
        let (sock, ino, dev, netns) = (0xff00, 77, 8, 0xf000_0000);
        let end = Endpoint { sock, ino, dev, netns, local, remote, local_port, remote_port, ..Endpoint::default() };
        Endpoint { family, kind, protocol, state, ..end }
    }

    /// It connects, or accepts; its own bytes are counted from there.
    pub fn joins(&mut self, time: u64, count: u32) {
        let header = self.header(time, wire::SOCKET_CHANGE);
        let change = if self.is_client { change::CONNECTED } else { change::ACCEPTED };
        let nr = if self.is_client { 42 } else { 288 };
        let record = SocketChange {
            header,
            entered: header.time - 1,
            end: self.end(),
            fd: 3,
            nr,
            change,
            argument: count,
            file: 1,
            ..SocketChange::default()
        };
        self.push(time, record.as_bytes());
    }

    /// A send or a receive of so many bytes from a count on, between two times.
    pub fn call(&mut self, sends: bool, (entered, time): (u64, u64), count: u32, payload: &[u8]) {
        let header = self.header(time, wire::SOCKET_CALL);
        let bytes = payload.len() as u32;
        let record = SocketCall {
            header,
            entered: entered + self.ahead,
            ret: i64::from(bytes),
            requested: u64::from(bytes),
            end: self.end(),
            seq: [count, if sends { count.wrapping_add(bytes) } else { 0 }],
            fd: 3,
            // read(2) is 0, write(2) is 1.
            nr: i32::from(sends),
            flags: flag::SEQ | if sends { flag::SEND } else { 0 },
            index: 1 << 16,
            payload_len: bytes,
            ..SocketCall::default()
        };
        let all = [record.as_bytes(), payload].concat();
        self.push(time, &all);
    }

    /// Time goes on, and nothing happens.
    pub fn tick(&mut self, time: u64) {
        let tick = Tick { header: self.header(time, mark::TICK) };
        self.push(time, tick.as_bytes());
    }
}

/// Two hosts, client and server, that exchange `hello` and `HI`, so many times: each message takes so long on its way. Their
/// clocks are so far ahead. The client counts its bytes from 1000, the server from 5000.
pub fn conversation(ahead: [u64; 2], messages: u32, delay: [u64; 2]) -> [Machine; 2] {
    let mut client = Machine::new(true, 4711, ahead[0], 1_000);
    let mut server = Machine::new(false, 4711, ahead[1], 3_000);
    client.joins(5_000, 1_000);
    server.joins(5_000 + delay[0], 5_000);
    let mut t = 10_000 + delay[0];
    for n in 0..messages {
        client.call(true, (t, t + 500), 1_000 + 5 * n, b"hello");
        t += delay[0];
        server.call(false, (t - 300, t), 1_000 + 5 * n, b"hello");
        server.call(true, (t + 100, t + 600), 5_000 + 2 * n, b"HI");
        t += 100 + delay[1];
        client.call(false, (t - 300, t), 5_000 + 2 * n, b"HI");
        t += 1_000;
    }
    client.tick(t + 10);
    server.tick(t + 20);
    [client, server]
}
