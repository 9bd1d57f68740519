//! D-Bus without a bus: a service and its caller speak the protocol to each other over a UNIX stream socket, as any two
//! programs may (the D-Bus specification, "Authentication Protocol" and "Message Protocol").

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
};

use anyhow::Context as _;

use super::stage::{Name, Stage};

const INTERFACE: &str = "org.example.Calculator";
const DIVIDED_BY_ZERO: &str = "org.example.Error.DividedByZero";
const CALLS: [(&str, u32, u32); 3] = [("Add", 40, 2), ("Divide", 42, 6), ("Divide", 42, 0)];

/// Kinds of messages.
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

pub(super) fn run(stage: &Stage) -> anyhow::Result<()> {
    let name = Name::new("dbus");
    let listener = UnixListener::bind(&name.0).context("bind")?;
    stage.say(format!("1. a service listens on {}", name.0.display()));
    stage.pause(2);
    stage.start("service", || serve(stage, listener.accept()?.0))?;
    // The service has it.
    drop(listener);
    stage.start("caller", || call(stage, UnixStream::connect(&name.0).context("connect")?))?;
    stage.wait_for(2)?;
    stage.say("5. over");
    Ok(())
}

fn call(stage: &Stage, mut socket: UnixStream) -> anyhow::Result<()> {
    stage.say("2. caller: AUTH EXTERNAL and our user id; service: OK; caller: BEGIN");
    // Every digit of it as its character's number: 3x for x.
    let user = nix::unistd::getuid().to_string();
    let user: String = user.chars().flat_map(|digit| ['3', digit]).collect();
    socket.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
    line(&mut socket)?;
    socket.write_all(b"BEGIN\r\n")?;
    stage.pause(2);

    stage.say("3. caller: three method calls");
    for (serial, (member, one, other)) in (1..).zip(CALLS) {
        stage.say(format!("   caller: call {serial}: {member}({one}, {other})"));
        let fields = [text(1, b'o', "/org/example/Calculator"), text(2, b's', INTERFACE), text(3, b's', member)];
        socket.write_all(&message(CALL, serial, fields.to_vec(), &[one, other]))?;
        let (kind, body) = receive(&mut socket)?.context("no answer")?;
        match (kind, body.as_slice()) {
            (RETURN, [result]) => stage.say(format!("   caller: return: {result}")),
            (ERROR, _) => stage.say(format!("   caller: error: {DIVIDED_BY_ZERO}")),
            _ => anyhow::bail!("a message of kind {kind} is no answer"),
        }
        stage.pause(2);
    }

    stage.say("4. caller: waits for a signal: nobody calls, nobody answers");
    receive(&mut socket)?.context("no signal")?;
    stage.say("   caller: the service says Done");
    Ok(())
}

fn serve(stage: &Stage, mut socket: UnixStream) -> anyhow::Result<()> {
    line(&mut socket)?;
    socket.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n")?;
    line(&mut socket)?;
    // Each side counts its own messages.
    let mut serial = 100;
    for (asked, (member, ..)) in (1..).zip(CALLS) {
        let (_, arguments) = receive(&mut socket)?.context("no call")?;
        stage.pause(1);
        serial += 1;
        let result = match (member, arguments.as_slice()) {
            ("Add", [one, other]) => one.checked_add(*other),
            (_, [one, other]) => one.checked_div(*other),
            _ => None,
        };
        let answer = match result {
            Some(result) => message(RETURN, serial, vec![number(5, asked)], &[result]),
            None => message(ERROR, serial, vec![text(4, b's', DIVIDED_BY_ZERO), number(5, asked)], &[]),
        };
        socket.write_all(&answer)?;
    }
    stage.pause(5);
    let fields = [text(1, b'o', "/org/example/Calculator"), text(2, b's', INTERFACE), text(3, b's', "Done")];
    socket.write_all(&message(SIGNAL, serial + 1, fields.to_vec(), &[3]))?;
    Ok(())
}

/// A field of a header: its code, its type, its value.
fn text(code: u8, kind: u8, value: &str) -> Vec<u8> {
    let length = (value.len() as u32).to_le_bytes();
    [&[code, 1, kind, 0], &length[..], value.as_bytes(), &[0]].concat()
}

fn number(code: u8, value: u32) -> Vec<u8> {
    [&[code, 1, b'u', 0], &value.to_le_bytes()[..]].concat()
}

/// A message whose body are numbers.
fn message(kind: u8, serial: u32, mut fields: Vec<Vec<u8>>, body: &[u32]) -> Vec<u8> {
    if !body.is_empty() {
        // The types of the body: `u` for each number.
        fields.push([&[8, 1, b'g', 0, body.len() as u8], "u".repeat(body.len()).as_bytes(), &[0]].concat());
    }
    let mut array = Vec::new();
    for field in fields {
        array.resize(array.len().next_multiple_of(8), 0);
        array.extend(field);
    }
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    // Little-endian, kind, no flags, version 1.
    let mut message = vec![b'l', kind, 0, 1];
    message.extend(words(&[4 * body.len() as u32, serial, array.len() as u32]));
    message.extend(array);
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(words(body));
    message
}

/// The kind of the next message, and the numbers in its body. `None`: end-of-file.
fn receive(socket: &mut UnixStream) -> anyhow::Result<Option<(u8, Vec<u32>)>> {
    let mut buffer = [0; 1024];
    // A whole message: nobody sends the next before it was answered.
    let got = socket.read(&mut buffer)?;
    let Some(bytes) = buffer.get(..got).filter(|bytes| bytes.len() >= 16) else { return Ok(None) };
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| Some(u32::from_le_bytes(word.try_into().ok()?)));
    let body = word(4).context("cut")? as usize;
    let numbers = (got.saturating_sub(body)..got).step_by(4).filter_map(word).collect();
    Ok(Some((bytes.get(1).copied().unwrap_or(0), numbers)))
}

/// A line of the conversation before the first message.
fn line(socket: &mut UnixStream) -> anyhow::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        line.extend(byte);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}
