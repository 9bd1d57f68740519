//! Addresses of sockets, as people write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipcscope_common::socket::{AF_INET, AF_INET6, AF_UNIX, Endpoint};

use crate::event::text;

/// An address as [`of`] gives it, in less room: there are many of them in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Short {
    /// Without the scope it may have in IPv6, which no record tells.
    pub ip: IpAddr,
    /// 0: none yet.
    pub port: u16,
}

impl From<SocketAddr> for Short {
    fn from(address: SocketAddr) -> Self {
        Self { ip: address.ip(), port: address.port() }
    }
}

impl Short {
    /// The same as others have it.
    pub fn long(self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

/// A socket's two addresses.
pub fn of(end: &Endpoint) -> (SocketAddr, SocketAddr) {
    (join(end.family, end.local, end.local_port), join(end.family, end.remote, end.remote_port))
}

/// IPv4 within IPv6 is IPv4: either end may have it the other way.
fn join(family: u16, bytes: [u8; 16], port: u16) -> SocketAddr {
    let [a, b, c, d, ..] = bytes;
    let ip =
        if family == AF_INET6 { Ipv6Addr::from(bytes).to_canonical() } else { IpAddr::V4(Ipv4Addr::new(a, b, c, d)) };
    SocketAddr::new(ip, port)
}

/// IPv4 within IPv6 is IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A `sockaddr`: a UNIX name (abstract ones begin with `@`, unnamed ones have none) or address and port.
pub fn name(bytes: &[u8]) -> Option<String> {
    let (family, rest) = bytes.split_at_checked(2)?;
    match u16::from_ne_bytes(family.try_into().ok()?) {
        AF_UNIX => match rest {
            [] => None,
            [0, name @ ..] => Some(format!("@{}", text::escape(name))),
            path => Some(text::escape(path.split(|byte| *byte == 0).next().unwrap_or_default())),
        },
        AF_INET => {
            let (port, rest) = rest.split_at_checked(2)?;
            let ip: [u8; 4] = rest.get(..4)?.try_into().ok()?;
            Some(SocketAddr::from((ip, u16::from_be_bytes(port.try_into().ok()?))).to_string())
        }
        AF_INET6 => {
            let (port, rest) = rest.split_at_checked(2)?;
            let ip: [u8; 16] = rest.get(4..20)?.try_into().ok()?;
            Some(SocketAddr::from((ip, u16::from_be_bytes(port.try_into().ok()?))).to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_usual() {
        for (bytes, text) in [
            (&b"\x01\0/tmp/s\0\0"[..], Some("/tmp/s")),
            (b"\x01\0\0hidden", Some("@hidden")),
            (b"\x01\0", None),
            (b"\x02\0\x1a\x85\x7f\0\0\x01\0\0", Some("127.0.0.1:6789")),
            (b"\x0a\0\x1a\x85\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", Some("[::1]:6789")),
            (b"\x02", None),
            (b"\x02\0\x1a", None),
        ] {
            assert_eq!(name(bytes).as_deref(), text, "{bytes:?}");
        }
    }
}
