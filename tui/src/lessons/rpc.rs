//! ONC RPC (RFC 5531): a client asks the port mapper (RFC 1833) by UDP at which port NFS is, and calls NFS by TCP. Both
//! servers are our own and know next to nothing; the port mapper is not at its port, 111, which may be taken.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
};

use anyhow::Context as _;

use super::stage::Stage;

/// Programs and their versions.
const PORTMAP: [u32; 2] = [100_000, 2];
const NFS: [u32; 2] = [100_003, 3];
/// Procedures: 0 does nothing in every program.
const NULL: u32 = 0;
const GETPORT: u32 = 3;
const GETATTR: u32 = 1;
/// How a call went.
const SUCCESS: u32 = 0;
const PROC_UNAVAIL: u32 = 3;
const TCP: u32 = 6;

pub(super) fn run(stage: &Stage) -> anyhow::Result<()> {
    let mapper = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("bind")?;
    let nfs = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind")?;
    let (at, nfs_port) = (mapper.local_addr()?, nfs.local_addr()?.port());
    stage.say(format!("1. a port mapper at {at} (UDP), an NFS server at port {nfs_port} (TCP)"));
    stage.pause(2);
    stage.start("portmap", || map_ports(stage, &mapper, nfs_port))?;
    drop(mapper);
    stage.start("nfsd", || serve_nfs(stage, nfs.accept()?.0))?;
    drop(nfs);
    stage.pause(1);
    stage.start("client", || call(stage, at))?;
    stage.wait_for(3)?;
    stage.say("5. over");
    Ok(())
}

fn call(stage: &Stage, mapper: SocketAddr) -> anyhow::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("bind")?;
    let ask = |message: Vec<u8>| -> anyhow::Result<Vec<u32>> {
        socket.send_to(&message, mapper)?;
        let mut buffer = [0; 512];
        let got = socket.recv_from(&mut buffer)?.0;
        Ok(words(buffer.get(..got).unwrap_or_default()))
    };
    stage.say("2. client: portmap NULL: is anybody there?");
    ask(message_of(1, PORTMAP, NULL, &[]))?;
    stage.pause(2);

    stage.say("3. client: portmap GETPORT: where is NFS version 3?");
    let answer = ask(message_of(2, PORTMAP, GETPORT, &[NFS[0], NFS[1], TCP, 0]))?;
    let port = u16::try_from(answer.get(6).copied().context("no port")?)?;
    stage.say(format!("   client: at port {port}"));
    stage.pause(2);

    stage.say("4. client: two calls of NFS, by TCP");
    let mut nfs = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connect")?;
    nfs.set_nodelay(true)?;
    for (xid, procedure, name) in [(3, NULL, "NULL"), (4, GETATTR, "GETATTR")] {
        stage.say(format!("   client: nfs {name}"));
        send(&mut nfs, &message_of(xid, NFS, procedure, &[]))?;
        let answer = receive(&mut nfs)?.context("no answer")?;
        let known = answer.get(5) == Some(&SUCCESS);
        stage.say(if known { "   client: done" } else { "   client: no such procedure here: PROC_UNAVAIL" });
        stage.pause(2);
    }
    Ok(())
}

/// Knows one program.
fn map_ports(stage: &Stage, socket: &UdpSocket, nfs_port: u16) -> anyhow::Result<()> {
    for _ in 0..2 {
        let mut buffer = [0; 512];
        let (got, client) = socket.recv_from(&mut buffer)?;
        let call = words(buffer.get(..got).unwrap_or_default());
        stage.pause(1);
        let port = [nfs_port.into()];
        let results: &[u32] = if procedure(&call) == GETPORT { &port } else { &[] };
        socket.send_to(&answer_to(&call, SUCCESS, results), client)?;
    }
    Ok(())
}

/// Knows one procedure, which does nothing.
fn serve_nfs(stage: &Stage, mut socket: TcpStream) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    while let Some(call) = receive(&mut socket)? {
        stage.pause(1);
        let status = if procedure(&call) == NULL { SUCCESS } else { PROC_UNAVAIL };
        send(&mut socket, &answer_to(&call, status, &[]))?;
    }
    Ok(())
}

/// A call: its number, 0 for a call, version 2 of the protocol, what is called, nothing on who calls, the arguments.
fn message_of(xid: u32, [program, version]: [u32; 2], procedure: u32, arguments: &[u32]) -> Vec<u8> {
    bytes(&[&[xid, 0, 2, program, version, procedure, 0, 0, 0, 0], arguments].concat())
}

/// An answer: the call's number, 1 for an answer, 0 for accepted, nothing on who answers, how it went, the results.
fn answer_to(call: &[u32], status: u32, results: &[u32]) -> Vec<u8> {
    let xid = call.first().copied().unwrap_or(0);
    bytes(&[&[xid, 1, 0, 0, 0, status], results].concat())
}

fn procedure(call: &[u32]) -> u32 {
    call.get(5).copied().unwrap_or(NULL)
}

/// On a stream a message begins with its length; the highest bit: there is no more of it.
fn send(socket: &mut TcpStream, message: &[u8]) -> anyhow::Result<()> {
    let mark = 0x8000_0000 | message.len() as u32;
    socket.write_all(&[&mark.to_be_bytes(), message].concat())?;
    Ok(())
}

/// `None`: end-of-file.
fn receive(socket: &mut TcpStream) -> anyhow::Result<Option<Vec<u32>>> {
    let mut buffer = [0; 512];
    // A whole message: they are small, and nobody sends the next before it was answered.
    let got = socket.read(&mut buffer)?;
    Ok(buffer.get(4..got).map(words))
}

/// The Internet's byte order: the highest byte first.
fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| word.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))).collect()
}
