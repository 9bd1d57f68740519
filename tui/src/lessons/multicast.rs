//! UDP multicast: a datagram to a group reaches every socket that has joined it, ip(7) `IP_ADD_MEMBERSHIP`. The group is
//! joined on the loopback device alone: nothing leaves this machine.

use std::{
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd as _,
};

use anyhow::Context as _;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt::ReuseAddr};

use super::stage::Stage;

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 67, 89);
const RECEIVERS: [&str; 3] = ["receiver1", "receiver2", "receiver3"];
const MESSAGES: [&str; 3] = ["Good morning, all", "This is for everybody", "Goodbye"];

pub(super) fn run(stage: &Stage) -> anyhow::Result<()> {
    // A port that is nobody else's.
    let port = UdpSocket::bind((GROUP, 0)).context("bind")?.local_addr()?.port();
    stage.say(format!("1. the group is {GROUP}, port {port}"));
    stage.pause(1);

    stage.say("2. three receivers: bind() to the group's address, setsockopt(IP_ADD_MEMBERSHIP)");
    for name in RECEIVERS {
        let receiver = stage.start(name, || {
            let socket = join(port)?;
            for _ in MESSAGES {
                let mut buffer = [0; 100];
                let (got, from) = socket.recv_from(&mut buffer)?;
                let text = String::from_utf8_lossy(buffer.get(..got).unwrap_or_default());
                stage.say(format!("   {name}: \"{text}\" from port {}", from.port()));
            }
            Ok(())
        })?;
        stage.until_it_waits(receiver);
    }
    stage.pause(3);

    stage.say("3. sender: sendto() the group, once for each message");
    stage.start("sender", || {
        // What is sent from the loopback device's address leaves through that device.
        let socket = UdpSocket::bind("127.0.0.1:0").context("bind")?;
        for text in MESSAGES {
            stage.say(format!("   sender: \"{text}\""));
            socket.send_to(text.as_bytes(), (GROUP, port)).context("sendto")?;
            stage.pause(3);
        }
        Ok(())
    })?;
    stage.wait_for(RECEIVERS.len() + 1)?;
    stage.say("4. over: three datagrams were sent, nine received");
    Ok(())
}

/// A socket that shares its port with the other receivers, and is in the group.
fn join(port: u16) -> anyhow::Result<UdpSocket> {
    let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None).context("socket")?;
    setsockopt(&fd, ReuseAddr, &true).context("setsockopt(SO_REUSEADDR)")?;
    bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(GROUP, port))).context("bind")?;
    let socket = UdpSocket::from(fd);
    socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST).context("setsockopt(IP_ADD_MEMBERSHIP)")?;
    Ok(socket)
}
