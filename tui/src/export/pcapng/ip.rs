//! TCP segments as they might have been on a wire.

use std::net::{IpAddr, SocketAddr};

const TCP: u8 = 6;
const TCP_HEADER: usize = 20;
/// PSH and ACK.
const FLAGS: u8 = 0x18;

/// A connection, by its addresses.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    client: SocketAddr,
    server: SocketAddr,
    /// Bytes sent so far: by the client, by the server.
    sent: [u64; 2],
}

/// Bytes that one side sends at once.
pub(super) struct Segment<'a> {
    pub(super) from_client: bool,
    /// Place in the stream, if it is known.
    pub(super) offset: Option<u64>,
    pub(super) len: u64,
    /// The first of them.
    pub(super) kept: &'a [u8],
}

/// The Internet checksum (RFC 1071).
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 =
        words.map(|word| u64::from(*word.first().unwrap_or(&0)) << 8 | u64::from(*word.get(1).unwrap_or(&0))).sum();
    let mut folded = sum;
    while folded > 0xffff {
        folded = (folded & 0xffff) + (folded >> 16);
    }
    !(folded as u16)
}

impl Connection {
    /// From what its channel is called: `tcp:CLIENT-SERVER`, with more behind it if the name was used before or is of
    /// another network namespace.
    pub(super) fn of(channel: &str) -> Option<Self> {
        let (client, server) = channel.strip_prefix("tcp:")?.split_once('-')?;
        let server = server.split(['@', '#']).next()?;
        let client = client.split('@').next()?;
        let (client, server): (SocketAddr, SocketAddr) = (client.parse().ok()?, server.parse().ok()?);
        (client.is_ipv4() == server.is_ipv4()).then_some(Self { client, server, sent: [0, 0] })
    }

    /// One side has sent so many bytes more, in no packet.
    pub(super) fn pass_over(&mut self, from_client: bool, len: u64) {
        let [client, server] = &mut self.sent;
        let sent = if from_client { client } else { server };
        *sent = sent.saturating_add(len);
    }

    /// The packet, with the bytes that were kept.
    pub(super) fn packet(&mut self, segment: &Segment<'_>) -> Vec<u8> {
        let [by_client, by_server] = self.sent;
        let (from, to, own, other) = if segment.from_client {
            (self.client, self.server, by_client, by_server)
        } else {
            (self.server, self.client, by_server, by_client)
        };
        let offset = segment.offset.unwrap_or(own);
        let [client, server] = &mut self.sent;
        *(if segment.from_client { client } else { server }) = offset.saturating_add(segment.len);
        let mut tcp = Vec::with_capacity(TCP_HEADER + segment.kept.len());
        tcp.extend(from.port().to_be_bytes());
        tcp.extend(to.port().to_be_bytes());
        tcp.extend((offset.wrapping_add(1) as u32).to_be_bytes());
        tcp.extend((other.wrapping_add(1) as u32).to_be_bytes());
        tcp.extend([(TCP_HEADER as u8 / 4) << 4, FLAGS, 0xff, 0xff, 0, 0, 0, 0]);
        let len = TCP_HEADER as u64 + segment.len;
        let mut packet = ip_header(from.ip(), to.ip(), len);
        // Of a part no sum can be made; 0 is shown as not verified.
        if segment.kept.len() as u64 == segment.len {
            let sum = checksum(&[&pseudo_header(from.ip(), to.ip(), len as u32), &tcp, segment.kept]);
            if let Some(place) = tcp.get_mut(16..18) {
                place.copy_from_slice(&sum.to_be_bytes());
            }
        }
        packet.extend(tcp);
        packet.extend(segment.kept);
        packet
    }
}

fn ip_header(from: IpAddr, to: IpAddr, len: u64) -> Vec<u8> {
    let mut header = Vec::new();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend([0x45, 0]);
            header.extend((len as u16 + 20).to_be_bytes());
            // No identification, "don't fragment", 64 hops.
            header.extend([0, 0, 0x40, 0, 64, TCP, 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
            let sum = checksum(&[&header]);
            if let Some(place) = header.get_mut(10..12) {
                place.copy_from_slice(&sum.to_be_bytes());
            }
        }
        (from, to) => {
            header.extend([0x60, 0, 0, 0]);
            header.extend((len as u16).to_be_bytes());
            header.extend([TCP, 64]);
            header.extend(octets(from));
            header.extend(octets(to));
        }
    }
    header
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn pseudo_header(from: IpAddr, to: IpAddr, len: u32) -> Vec<u8> {
    let mut header = [octets(from), octets(to)].concat();
    header.extend(len.to_be_bytes());
    header.extend([0, 0, 0, TCP]);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_right_sums_and_numbers() {
        let mut connection = Connection::of("tcp:127.0.0.1:4000-127.0.0.1:80#2").unwrap_or_else(|| unreachable!());
        let first = connection.packet(&Segment { from_client: true, offset: None, len: 5, kept: b"hello" });
        let (ip, tcp) = first.split_at(20);
        assert_eq!(checksum(&[ip]), 0, "a header with its sum adds up to nothing");
        let ends = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(checksum(&[&pseudo_header(ends, ends, tcp.len() as u32), tcp]), 0);
        assert_eq!(tcp.get(..12), Some(&[0x0f, 0xa0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1][..]));
        let answer = connection.packet(&Segment { from_client: false, offset: Some(7), len: 9, kept: b"part" });
        assert_eq!(answer.get(20..32), Some(&[0, 80, 0x0f, 0xa0, 0, 0, 0, 8, 0, 0, 0, 6][..]));
        assert_eq!(answer.get(2..4), Some(&[0, 20 + 20 + 9][..]), "the true length");
        assert!(Connection::of("tcp:[::1]:4000-[::1]:80@4026531840").is_some());
        for other in ["tcp:[4711]", "udp:127.0.0.1:80", "tcp:127.0.0.1:1-[::1]:80", "tcp:x-y"] {
            assert!(Connection::of(other).is_none(), "{other}");
        }
    }
}
