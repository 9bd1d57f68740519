//! Payloads as packets, for Wireshark (pcapng, draft-ietf-opsawg-pcapng).
//!
//! Every channel is an interface with its name. TCP whose two sides are known goes as IP packets with the true addresses,
//! a packet for each send, several for a long one, its place in the stream as the sequence number. Everything else is what Wireshark calls an
//! exported PDU (LINKTYPE_WIRESHARK_UPPER_PDU, epan/exported_pdu.h): a packet for each send and each receive, with its
//! mechanism in the protocol column. Who did what is a comment of every packet. Payload that was not kept is missing
//! from the packet, whose length is the true one.
//!
//! Only three kinds of blocks are needed, so no crate for them.

mod ip;

use std::{
    collections::HashMap,
    io::{self, Write},
};

use super::{Export, ExportError};
use crate::{
    analyze::Lines,
    event::{ChannelChange, ChannelEvent, ChannelId, ChannelType, Event, Header, Kind, Nanos, Transfer, shown},
};
use ip::{Connection, Segment};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// LINKTYPE_RAW: begins with an IP header.
const RAW: u16 = 101;
const UPPER_PDU: u16 = 252;
/// Options of blocks.
const COMMENT: u16 = 1;
const INTERFACE_NAME: u16 = 2;
const EPB_FLAGS: u16 = 2;
const HARDWARE: u16 = 2;
const APPLICATION: u16 = 4;
const RESOLUTION: u16 = 9;
/// Tags of an exported PDU.
const DISSECTOR_NAME: u16 = 12;
const PROTOCOL_COLUMN: u16 = 33;
/// Bytes of one IP packet.
const MOST: u64 = 32 << 10;
/// Packets of one send: 4 MiB, what a TCP socket buffers at most by default (`net.ipv4.tcp_wmem`). Of a longer one the rest is
/// passed over, as if it had not been captured: whoever wrote the recording may claim any length.
const PACKETS: u64 = 128;

/// The file.
pub(super) struct Pcapng<W: Write> {
    out: W,
    /// What the clock on the wall showed when the trace began, ns since 1970.
    start: u64,
    lines: Lines,
    interfaces: HashMap<(ChannelId, u16), u32>,
    /// Whose side of a TCP connection a descriptor is: process and descriptor, true: it connected.
    sides: HashMap<(u32, i32), (ChannelId, bool)>,
    connections: HashMap<ChannelId, Connection>,
}

fn option(to: &mut Vec<u8>, code: u16, value: &[u8]) {
    let len = value.len().min(usize::from(u16::MAX) - 3);
    to.extend(code.to_le_bytes());
    to.extend((len as u16).to_le_bytes());
    to.extend(value.iter().take(len));
    to.resize(to.len().next_multiple_of(4), 0);
}

fn tag(to: &mut Vec<u8>, code: u16, value: &str) {
    let value = value.as_bytes();
    let padded = value.len().next_multiple_of(4).min(1 << 15);
    to.extend(code.to_be_bytes());
    to.extend((padded as u16).to_be_bytes());
    let end = to.len() + padded;
    to.extend(value.iter().take(padded));
    to.resize(end, 0);
}

impl<W: Write> Pcapng<W> {
    pub(super) fn new(out: W, header: &Header) -> Result<Self, ExportError> {
        let start = header.start.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_nanosecond);
        let mut pcapng = Self {
            out,
            start: u64::try_from(start).unwrap_or(0),
            lines: Lines::new(),
            interfaces: HashMap::new(),
            sides: HashMap::new(),
            connections: HashMap::new(),
        };
        let mut body = BYTE_ORDER.to_le_bytes().to_vec();
        // Version 1.0, of unknown length.
        body.extend([1, 0, 0, 0]);
        body.extend(u64::MAX.to_le_bytes());
        option(&mut body, HARDWARE, header.host.as_bytes());
        option(&mut body, APPLICATION, format!("ipcscope {}", header.version).as_bytes());
        option(&mut body, 0, &[]);
        pcapng.block(SECTION, &body)?;
        Ok(pcapng)
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let len = (body.len() as u32 + 12).to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&len)?;
        self.out.write_all(body)?;
        self.out.write_all(&len)
    }

    fn interface(&mut self, channel: &ChannelId, link: u16) -> io::Result<u32> {
        let next = self.interfaces.len() as u32;
        let key = (channel.clone(), link);
        if let Some(known) = self.interfaces.get(&key) {
            return Ok(*known);
        }
        self.interfaces.insert(key, next);
        let mut body = link.to_le_bytes().to_vec();
        body.extend([0; 6]);
        option(&mut body, INTERFACE_NAME, channel.0.as_bytes());
        // ns
        option(&mut body, RESOLUTION, &[9]);
        option(&mut body, 0, &[]);
        self.block(INTERFACE, &body)?;
        Ok(next)
    }

    /// `len`: its true length; `data` may be shorter. `sent`: else received.
    fn packet(&mut self, interface: u32, t: Nanos, data: &[u8], len: u64, sent: bool, line: &str) -> io::Result<()> {
        let time = self.start.saturating_add(t.0);
        let mut body = interface.to_le_bytes().to_vec();
        body.extend(((time >> 32) as u32).to_le_bytes());
        body.extend((time as u32).to_le_bytes());
        body.extend((data.len() as u32).to_le_bytes());
        body.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        option(&mut body, COMMENT, line.as_bytes());
        option(&mut body, EPB_FLAGS, &(if sent { 2_u32 } else { 1 }).to_le_bytes());
        option(&mut body, 0, &[]);
        self.block(PACKET, &body)
    }

    fn exported(&mut self, event: &Event, transfer: &Transfer, sent: bool, line: &str) -> io::Result<()> {
        let interface = self.interface(&transfer.channel, UPPER_PDU)?;
        let mut data = Vec::new();
        tag(&mut data, DISSECTOR_NAME, "data");
        tag(&mut data, PROTOCOL_COLUMN, transfer.mechanism.name());
        tag(&mut data, 0, "");
        let len = transfer.bytes.unwrap_or(0).saturating_add(data.len() as u64);
        data.extend(kept(transfer));
        self.packet(interface, event.t, &data, len, sent, line)
    }

    /// As IP packets, if both sides are known.
    fn as_tcp(&mut self, event: &Event, transfer: &Transfer, line: &str) -> io::Result<bool> {
        let (Some(task), Some(fd)) = (event.task, transfer.fd) else { return Ok(false) };
        let Some((channel, connected)) = self.sides.get(&(task.pid, fd)).cloned() else { return Ok(false) };
        if channel != transfer.channel {
            return Ok(false);
        }
        let Some(connection) = self.connections.get_mut(&channel) else { return Ok(false) };
        let bytes = transfer.bytes.unwrap_or(0);
        let told = bytes.min(MOST * PACKETS);
        let (mut at, mut rest, mut segments) = (0, kept(transfer), Vec::new());
        while at < told {
            let len = MOST.min(told - at);
            let (now, later) = rest.split_at(rest.len().min(len as usize));
            let offset = transfer.offset.map(|offset| offset.saturating_add(at));
            segments.push((
                connection.packet(&Segment { from_client: connected, offset, len, kept: now }),
                len,
                now.len(),
            ));
            (at, rest) = (at + len, later);
        }
        connection.pass_over(connected, bytes - told);
        let interface = self.interface(&channel, RAW)?;
        for (packet, len, kept) in segments {
            let whole = (packet.len() - kept) as u64 + len;
            self.packet(interface, event.t, &packet, whole, true, line)?;
        }
        Ok(true)
    }

    /// Learns whose side a descriptor is.
    fn learn(&mut self, event: &Event, change: &ChannelEvent) {
        let (Some(task), Some(fd)) = (event.task, change.fd) else { return };
        if change.error.is_some() || change.mechanism != ChannelType::Tcp {
            if change.event == ChannelChange::Closed {
                self.sides.remove(&(task.pid, fd));
            }
            return;
        }
        let side = match change.event {
            ChannelChange::Connected => Some(true),
            ChannelChange::Accepted => Some(false),
            ChannelChange::Inherited => {
                let from = change.peer.as_ref().and_then(|peer| self.sides.get(&(peer.pid, fd)));
                from.filter(|(channel, _)| *channel == change.channel).map(|(_, side)| *side)
            }
            ChannelChange::Duplicated => {
                let from = change.of_fd.and_then(|of| self.sides.get(&(task.pid, of)));
                from.filter(|(channel, _)| *channel == change.channel).map(|(_, side)| *side)
            }
            _ => None,
        };
        match side {
            Some(side) => {
                self.sides.insert((task.pid, fd), (change.channel.clone(), side));
                if let Some(connection) = Connection::of(&change.channel.0) {
                    self.connections.entry(change.channel.clone()).or_insert(connection);
                }
            }
            None if change.event == ChannelChange::Closed => drop(self.sides.remove(&(task.pid, fd))),
            None => {}
        }
    }
}

/// The bytes of a message that are there.
fn kept(transfer: &Transfer) -> &[u8] {
    let payload = transfer.payload.as_deref().unwrap_or_default();
    let most = usize::try_from(transfer.bytes.unwrap_or(0)).unwrap_or(usize::MAX);
    payload.get(..most).unwrap_or(payload)
}

impl<W: Write> Export for Pcapng<W> {
    fn event(&mut self, event: &Event, wanted: bool) -> Result<(), ExportError> {
        let line = self.lines.line(event);
        // A comment stands alone: it says who.
        let line = match (event.task, event.comm) {
            (Some(task), Some(comm)) => format!("{} {comm}: {line}", shown(task.pid, event.host.as_ref())),
            (Some(task), None) => format!("{}: {line}", shown(task.pid, event.host.as_ref())),
            (None, _) => line,
        };
        if let Kind::Channel(change) = &event.kind {
            self.learn(event, change);
        }
        let (transfer, sent) = match &event.kind {
            Kind::Send(transfer) => (transfer, true),
            Kind::Recv(transfer) => (transfer, false),
            _ => return Ok(()),
        };
        if !wanted || transfer.bytes.is_none_or(|bytes| bytes == 0) {
            return Ok(());
        }
        if transfer.mechanism == ChannelType::Tcp {
            // What was received was sent: it is there already.
            let is_told = !sent && transfer.from.is_some();
            if is_told || sent && self.as_tcp(event, transfer, &line)? {
                return Ok(());
            }
        }
        Ok(self.exported(event, transfer, sent, &line)?)
    }

    fn finish(mut self: Box<Self>, _until: Nanos, _lost: u64) -> Result<(), ExportError> {
        Ok(self.out.flush()?)
    }
}
