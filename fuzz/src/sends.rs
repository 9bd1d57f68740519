//! An input as what two processes send each other: payload that procedure calls are read out of.
//!
//! A frame is a send: its bit 0 of kind says who sends, the others how; its time says how much more was sent than was kept.

use ipcscope::trace::{Frame, FrameKind};
use ipcscope_common::{
    Header,
    mark::{self, Start},
    socket::{self, AF_INET, AF_UNIX, DGRAM, Endpoint, STREAM, SocketCall, SocketChange, change, flag},
};
use zerocopy::IntoBytes as _;

/// What a frame's kind says.
mod bit {
    /// The second process sends.
    pub const SECOND: u8 = 1;
    /// Not all was kept.
    pub const CUT: u8 = 2;
    /// It is received from somebody who is not traced.
    pub const RECEIVED: u8 = 4;
    /// Records are missing before it.
    pub const LOST: u8 = 8;
    /// Its call took long: it began before the send before.
    pub const LONG: u8 = 16;
}

/// As wire records of a connection; `choice`: of which sort.
pub fn records(sends: &[Frame], choice: u8) -> Vec<Frame> {
    let mut time = 1_000_000;
    let mut records = Vec::new();
    let mut push = |bytes: Vec<u8>| records.push(Frame { kind: FrameKind::Wire, time: 0, bytes });
    let header = |time, kind, pid| Header { time, seq: 0, cpu: 0, kind, tid: pid, tgid: pid };
    push(Start { header: header(time, mark::START, 0), flags: u32::MAX, reserved: 0 }.as_bytes().to_vec());
    let ends = [endpoint(choice, false), endpoint(choice, true)];
    for (pid, end) in (1..).zip(ends) {
        let change = if choice.is_multiple_of(4) { change::PAIRED } else { change::CONNECTED };
        let (fd, file, files) = (3, u64::from(pid), u64::from(pid));
        let header = header(time, socket::SOCKET_CHANGE, pid);
        push(
            SocketChange { header, entered: time, end, file, files, fd, change, ..SocketChange::default() }
                .as_bytes()
                .to_vec(),
        );
    }
    let mut sent = [0_u32; 2];
    for send in sends {
        let how = send.kind.code();
        let side = usize::from(how & bit::SECOND != 0);
        time += 1000;
        if how & bit::LOST != 0 {
            for over in [0, 1] {
                let header = header(time, mark::LOST, 0);
                push(mark::Lost { header, until: time - 500, count: 1, class: 12, over }.as_bytes().to_vec());
            }
        }
        let more = if how & bit::CUT != 0 { send.time } else { 0 };
        let len = (send.bytes.len() as u64).saturating_add(more).min(i64::MAX as u64);
        let before = sent[side];
        sent[side] = before.wrapping_add(len as u32);
        let is_sent = how & bit::RECEIVED == 0;
        let took = if how & bit::LONG != 0 { 1500 } else { 100 };
        let call = SocketCall {
            header: header(time, socket::SOCKET_CALL, 1 + side as u32),
            entered: time - took,
            ret: len as i64,
            requested: len,
            end: ends[side],
            seq: [before, sent[side]],
            fd: 3,
            // write(2), read(2)
            nr: i32::from(is_sent),
            flags: if is_sent { flag::SEND | flag::SEQ } else { flag::SEQ },
            index: 1 << 16,
            payload_len: send.bytes.len() as u32,
            ..SocketCall::default()
        };
        push([call.as_bytes(), &send.bytes].concat());
    }
    records
}

fn endpoint(choice: u8, second: bool) -> Endpoint {
    let (own, other) = if second { (2, 1) } else { (1, 2) };
    let name = |of: u16| (u64::from(of) << 8, u64::from(of) + 100);
    let ((sock, ino), (peer, peer_ino)) = (name(own), name(other));
    let state = 1;
    let end = Endpoint { sock, ino, dev: 9, state, ..Endpoint::default() };
    let address = [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let inet = Endpoint { local: address, remote: address, local_port: own, remote_port: other, netns: 7, ..end };
    match choice & 3 {
        0 | 1 => Endpoint { peer, peer_ino, family: AF_UNIX, kind: STREAM, ..end },
        2 => Endpoint { family: AF_INET, kind: STREAM, protocol: 6, ..inet },
        _ => Endpoint { family: AF_INET, kind: DGRAM, protocol: 17, ..inet },
    }
}
