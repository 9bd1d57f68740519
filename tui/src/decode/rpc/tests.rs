//! Messages as bytes, and what is read out of them.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::event::{Comm, Way};

/// One connection, and what has been told of it.
#[derive(Default)]
struct Run {
    rpcs: Rpcs,
    next: u64,
    t: u64,
    told: Vec<Rpc>,
}

impl Run {
    /// `side` sends; only `kept` bytes are seen.
    fn cut(&mut self, side: u64, bytes: &[u8], kept: usize) -> &mut Self {
        self.put(side, bytes, kept, ChannelType::Tcp, 10)
    }

    fn put(&mut self, side: u64, bytes: &[u8], kept: usize, mechanism: ChannelType, took_ns: u64) -> &mut Self {
        self.t += 100;
        let call = Call {
            op: OpId(self.t),
            syscall: "write",
            took_ns,
            blocked_ns: None,
            restarts: 0,
            interrupted_by: Vec::new(),
            via: None,
            unfinished: false,
        };
        let mut transfer = Transfer::new(ChannelId::from("tcp:x"), mechanism, Some(3), call);
        transfer.bytes = Some(bytes.len() as u64);
        transfer.payload = Some(bytes.get(..kept).unwrap_or(bytes).to_vec());
        transfer.way = Some(Way { own: side, other: 3 - side });
        let task = Some(Task { pid: side as u32, tid: side as u32 });
        let comm = Some(Comm::new(b"x"));
        let event = Event {
            t: Nanos(self.t),
            seq: 0,
            task,
            comm,
            ns_pid: None,
            host: None,
            kind: Kind::Send(Box::new(transfer)),
        };
        for told in self.rpcs.take(&event, self.next) {
            self.note(told);
        }
        self
    }

    fn note(&mut self, told: Event) {
        assert_eq!(told.seq, self.next);
        self.next += 1;
        let Kind::Rpc(rpc) = told.kind else { unreachable!("{told:?}") };
        self.told.push(*rpc);
    }

    fn send(&mut self, side: u64, bytes: &[u8]) -> &mut Self {
        self.cut(side, bytes, usize::MAX)
    }

    /// `ROLE METHOD STATUS CALL`, and takes them away.
    fn told(&mut self) -> Vec<String> {
        let text = |rpc: Rpc| {
            let method = rpc.method.unwrap_or_default();
            let call = rpc.call.map_or(String::new(), |call| format!(" ←{call}"));
            let cut = if rpc.cut { " cut" } else { "" };
            format!("{} {method} {}{call}{cut}", rpc.role.name(), rpc.status.unwrap_or_default())
        };
        self.told.drain(..).map(text).collect()
    }
}

#[test]
fn http_by_order_with_bodies_in_between() {
    let mut run = Run::default();
    run.send(1, b"POST /a HTTP/1.1\r\nContent-Len").send(1, b"gth: 4\r\n\r\nGET GET /b HTTP/1.1\r\n\r\n");
    assert_eq!(run.told(), ["call POST /a ", "call GET /b "]);
    run.send(2, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nHTTP/\r\n");
    assert_eq!(run.told(), ["reply POST /a 200 OK ←0"]);
    run.send(2, b"3\r\nxyz\r\n0\r\nA: b\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(run.told(), ["error GET /b 404 Not Found ←1"]);
    run.send(1, b"HEAD /c HTTP/1.1\r\n\r\n").send(2, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    run.send(1, b"GET /d HTTP/1.1\r\n\r\n").send(2, b"HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(
        run.told(),
        ["call HEAD /c ", "reply HEAD /c 200 OK ←4", "call GET /d ", "reply GET /d 204 No Content ←6"]
    );
}

#[test]
fn http_that_was_cut() {
    let mut run = Run::default();
    // A body may be cut: its length is known.
    let body = [b"POST /a HTTP/1.1\r\nContent-Length: 9000\r\n\r\n".as_slice(), &[b'x'; 9000]].concat();
    run.cut(1, &body, 1024).send(2, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    run.send(1, b"GET /b HTTP/1.1\r\n\r\n").send(2, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(run.told(), ["call POST /a ", "reply POST /a 200 OK ←0", "call GET /b ", "reply GET /b 200 OK ←2"]);
    // A head may not: what is behind it is not read until the request has been answered.
    run.cut(1, b"POST /c HTTP/1.1\r\nCookie: xxxxxxxxxx\r\n\r\n", 30).send(1, b"GET /body HTTP/1.1\r\n\r\n");
    assert_eq!(run.told(), ["call POST /c  cut"]);
    run.send(2, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").send(1, b"GET /d HTTP/1.1\r\n\r\n");
    assert_eq!(run.told(), ["reply POST /c 200 OK ←4", "call GET /d "]);
    let mut run = Run::default();
    run.cut(1, b"GET /a/very/long/path HTTP/1.1\r\n\r\n", 12);
    assert_eq!(run.told(), ["call GET /a/very/  cut"]);
}

#[test]
fn an_answer_may_come_before_its_call() {
    let mut run = Run::default();
    run.send(2, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(run.told().is_empty());
    // Its send began long before, and has returned only now.
    run.put(1, b"GET / HTTP/1.1\r\n\r\n", usize::MAX, ChannelType::Tcp, 150);
    assert_eq!(run.told(), ["call GET / ", "reply GET / 200 OK ←0"]);
    run.send(2, b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    for late in run.rpcs.overdue(Nanos(u64::MAX), run.next) {
        run.note(late);
    }
    assert_eq!(run.told(), ["error  500 No"]);
}

/// A D-Bus message with a body of so many bytes.
fn dbus(big: bool, kind: u8, serial: u32, fields: &[(u8, u8, &[u8])], body: u32) -> Vec<u8> {
    let word = |number: u32| if big { number.to_be_bytes() } else { number.to_le_bytes() };
    let mut array = Vec::new();
    for (code, kind, value) in fields {
        array.resize(array.len().next_multiple_of(8), 0);
        array.extend([*code, 1, *kind, 0]);
        match kind {
            b'u' => array.extend(word(u32::from_be_bytes((*value).try_into().unwrap()))),
            b'g' => array.extend([&[value.len() as u8], *value, b"\0"].concat()),
            _ => array.extend([&word(value.len() as u32), *value, b"\0"].concat()),
        }
    }
    let mut bytes = vec![if big { b'B' } else { b'l' }, kind, 0, 1];
    bytes.extend([word(body), word(serial), word(array.len() as u32)].concat());
    bytes.extend(array);
    bytes.resize(bytes.len().next_multiple_of(8) + body as usize, 7);
    bytes
}

const CALL: [(u8, u8, &[u8]); 4] = [(1, b'o', b"/x"), (2, b's', b"org.example.X"), (8, b'g', b"su"), (3, b's', b"Do")];

#[test]
fn dbus_by_serial_in_both_byte_orders() {
    let mut run = Run::default();
    run.send(1, b"\0").send(1, b"AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\n").send(2, b"OK 012\r\nAGREE_UNIX_FD\r\n");
    let both = [b"BEGIN\r\n".to_vec(), dbus(false, 1, 7, &CALL, 100), dbus(true, 1, 8, &CALL, 0)].concat();
    let (first, second) = both.split_at(60);
    run.send(1, first).send(1, second);
    assert_eq!(run.told(), ["call org.example.X.Do ", "call org.example.X.Do "]);
    let error: [(u8, u8, &[u8]); 2] = [(4, b's', b"org.example.No"), (5, b'u', &[0, 0, 0, 8])];
    run.send(2, &[dbus(true, 3, 90, &error, 5), dbus(false, 2, 91, &[(5, b'u', &[0, 0, 0, 7])], 0)].concat());
    assert_eq!(run.told(), ["error org.example.X.Do org.example.No ←1", "reply org.example.X.Do  ←0"]);
    // Cut within its body, then within its head.
    let long = dbus(false, 4, 9, &CALL, 5000);
    run.cut(1, &long, 1024).cut(1, &long, 50).send(1, &long);
    assert_eq!(run.told(), ["signal org.example.X.Do ", "signal   cut", "signal org.example.X.Do "]);
}

#[test]
fn what_is_no_dbus_message() {
    let good = dbus(false, 1, 7, &CALL, 0);
    assert_eq!(dbus::probe(&good), Probe::Yes);
    for (place, byte) in [(0, b'x'), (1, 5), (3, 2), (8, 0), (16, 9), (17, 2), (24, b'x')] {
        let mut bad = good.clone();
        *bad.get_mut(place).unwrap() = byte;
        assert_eq!(dbus::probe(&bad), Probe::No, "{place}");
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

#[test]
fn onc_by_xid_over_tcp_and_udp() {
    let call = words(&[5, 0, 2, 100_003, 3, 6, 1, 8, 0, 0, 0, 0]);
    let record = |last: u32, bytes: &[u8]| [words(&[last << 31 | bytes.len() as u32]), bytes.to_vec()].concat();
    let mut run = Run::default();
    // An answer alone is nothing.
    run.send(2, &record(1, &words(&[5, 1, 0, 0, 0, 0])));
    let fragments = [record(0, &call), record(1, &[0; 400])].concat();
    run.send(1, fragments.get(..3).unwrap()).send(1, fragments.get(3..).unwrap());
    run.send(2, &record(1, &words(&[6, 1, 0, 0, 0, 0]))).send(2, &record(1, &words(&[5, 1, 0, 0, 0, 3])));
    assert_eq!(run.told(), ["call nfs v3 READ ", "error nfs v3 READ PROC_UNAVAIL ←0"]);
    let mut run = Run::default();
    let mut udp = |side, bytes: &[u8]| {
        run.put(side, bytes, usize::MAX, ChannelType::Udp, 10);
    };
    udp(2, &words(&[9, 1, 0, 0, 0, 0]));
    udp(1, &words(&[4, 0, 2, 100_000, 2, 3, 0, 0, 0, 0]));
    // Sent again: the first counts.
    udp(1, &words(&[4, 0, 2, 100_000, 2, 3, 0, 0, 0, 0]));
    udp(2, &words(&[4, 1, 1, 0, 2, 2]));
    assert_eq!(
        run.told(),
        ["call portmap v2 GETPORT ", "call portmap v2 GETPORT ", "error portmap v2 GETPORT RPC_MISMATCH ←0"]
    );
    for bad in [[4, 0, 3, 100_000, 2, 3, 0, 0], [4, 0, 2, 0, 2, 3, 0, 0], [4, 0, 2, 100_000, 2, 3, 0, 401]] {
        assert_eq!(onc::datagram(&words(&bad), 32), None, "{bad:?}");
    }
}

#[test]
fn a_sender_outside_the_trace_is_read_where_it_is_received() {
    let mut run = Run::default();
    run.send(1, b"x");
    let call = Call {
        op: OpId(1),
        syscall: "read",
        took_ns: 1,
        blocked_ns: None,
        restarts: 0,
        interrupted_by: Vec::new(),
        via: None,
        unfinished: false,
    };
    let mut transfer = Transfer::new(ChannelId::from("tcp:y"), ChannelType::Tcp, Some(3), call);
    (transfer.bytes, transfer.payload) = (Some(18), Some(b"GET / HTTP/1.1\r\n\r\n".to_vec()));
    (transfer.way, transfer.from_unknown) = (Some(Way { own: 5, other: 0 }), Some(FromUnknown::External));
    let task = Some(Task { pid: 5, tid: 5 });
    let event =
        Event { t: Nanos(9), seq: 0, task, comm: None, ns_pid: None, host: None, kind: Kind::Recv(Box::new(transfer)) };
    let told = run.rpcs.take(&event, 0);
    assert!(
        matches!(told.as_slice(), [Event { task: None, kind: Kind::Rpc(rpc), .. }] if rpc.of.is_none()),
        "{told:?}"
    );
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        prop::sample::select(vec![
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec(),
            b"ffffffffffffffff\r\n".to_vec(),
            b"\0AUTH EXTERNAL\r\n".to_vec(),
            dbus(false, 1, 7, &CALL, 3),
            dbus(true, 2, 7, &[(5, b'u', &[0, 0, 0, 7])], 0),
            words(&[(1 << 31) + 40, 5, 0, 2, 100_003, 3, 6, 0, 0, 0, 0]),
            words(&[(1 << 31) + 24, 5, 1, 0, 0, 0, 0]),
        ]),
    ]
}

proptest! {
    /// Whatever is sent: no panic, numbers without a gap, an answer names a call that was told, and nothing is kept for good.
    #[test]
    fn any_bytes_are_borne(sends in prop::collection::vec((1..3_u64, piece(), 0..80_usize, any::<bool>(), any::<prop::sample::Index>()), 0..40)) {
        let mut run = Run::default();
        for (side, mut bytes, kept, udp, flip) in sends {
            if kept % 3 == 0 && !bytes.is_empty() {
                let place = flip.index(bytes.len());
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << (kept % 8);
                }
            }
            run.put(side, &bytes, kept, if udp { ChannelType::Udp } else { ChannelType::Tcp }, 150);
        }
        let all: Vec<Rpc> = run.told.clone();
        for (seq, rpc) in all.iter().enumerate() {
            if let Some(call) = rpc.call {
                prop_assert!(call < seq as u64);
                let call = all.get(call as usize).unwrap();
                prop_assert_eq!((call.role, call.protocol, call.id), (Role::Call, rpc.protocol, rpc.id));
            }
        }
        prop_assert!(run.rpcs.conversations.values().all(|one| one.held() <= 4 * 8192));
    }

    /// However the bytes are cut into sends, the same messages are read.
    #[test]
    fn the_sizes_of_sends_do_not_matter(cuts in prop::collection::vec(1..40_usize, 1..40)) {
        let http = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nGET \r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n".to_vec();
        let mut sasl = b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n".to_vec();
        sasl.extend(dbus(true, 1, 7, &CALL, 3));
        sasl.extend(dbus(false, 1, 8, &CALL, 0));
        let onc = [words(&[(1 << 31) + 40, 5, 0, 2, 100_003, 3, 6, 0, 0, 0, 0]), words(&[(1 << 31) + 40, 6, 0, 2, 100_003, 3, 1, 0, 0, 0, 0])].concat();
        for bytes in [http, sasl, onc] {
            let mut run = Run::default();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                let (piece, others) = rest.split_at((*cut).min(rest.len()));
                run.send(1, piece);
                rest = others;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(run.told().len(), 2);
        }
    }
}
