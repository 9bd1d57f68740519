//! A System V message queue: msgget(2), msgsnd(2), msgrcv(2). All requests have type 1; an answer has the process id of
//! its client as type, so that one queue serves all.

use std::{ffi::c_long, process};

use anyhow::Context as _;
use nix::errno::Errno;

use super::stage::Stage;

const CLIENTS: usize = 2;
const REQUESTS: usize = 2;
/// What the server asks for.
const REQUEST: c_long = 1;

/// As msgsnd(2) wants it.
#[repr(C)]
struct Message {
    kind: c_long,
    text: [u8; 64],
}

pub(super) fn run(stage: &Stage) -> anyhow::Result<()> {
    let key = 0x6789_0000 | (process::id() & 0xffff).cast_signed();
    // SAFETY: a plain call.
    let id = Errno::result(unsafe { libc::msgget(key, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) }).context("msgget")?;
    let _gone_at_the_end = Queue(id);
    stage.say(format!("1. msgget(0x{key:x}, IPC_CREAT): the queue has the id {id}"));
    stage.pause(2);

    stage.start("server", || {
        let queue = Queue::find(key)?;
        stage.say("2. server: msgrcv(type 1): waits for a request");
        for _ in 0..CLIENTS * REQUESTS {
            let request = queue.receive(REQUEST)?;
            // A request begins with the process id of its client.
            let (client, text) = request.split_once(' ').context("not a request")?;
            stage.say(format!("   server: \"{text}\" from {client}; msgsnd(type {client})"));
            stage.pause(1);
            queue.send(client.parse()?, &text.to_uppercase())?;
        }
        stage.say("4. server: has served all");
        queue.leave();
        Ok(())
    })?;
    stage.pause(2);

    for (number, name) in ["client", "client2"].into_iter().enumerate() {
        stage.start(name, || {
            let queue = Queue::find(key)?;
            let me = process::id();
            for request in ["hello", "goodbye"] {
                stage.say(format!("   {name}: msgsnd(type 1, \"{me} {request}\"), msgrcv(type {me})"));
                queue.send(REQUEST, &format!("{me} {request}"))?;
                let answer = queue.receive(me.into())?;
                stage.say(format!("   {name}: got \"{answer}\""));
                stage.pause(2);
            }
            queue.leave();
            Ok(())
        })?;
        if number == 0 {
            stage.say("3. two clients: each waits for answers of its own type");
        }
    }
    stage.wait_for(1 + CLIENTS)?;
    stage.pause(1);
    stage.say("5. over: msgctl(IPC_RMID), else the queue would outlive us all");
    Ok(())
}

/// The queue, for who made it: removed when that one is done.
struct Queue(i32);

impl Queue {
    fn find(key: i32) -> anyhow::Result<Self> {
        // SAFETY: a plain call.
        Ok(Self(Errno::result(unsafe { libc::msgget(key, 0) }).context("msgget")?))
    }

    fn send(&self, kind: c_long, text: &str) -> anyhow::Result<()> {
        let mut message = Message { kind, text: [0; 64] };
        message.text.iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte);
        let length = text.len().min(message.text.len());
        // SAFETY: a type and at least `length` bytes.
        Errno::result(unsafe { libc::msgsnd(self.0, (&raw const message).cast(), length, 0) }).context("msgsnd")?;
        Ok(())
    }

    /// The first message of that type; waits for one.
    fn receive(&self, kind: c_long) -> anyhow::Result<String> {
        let mut message = Message { kind: 0, text: [0; 64] };
        // SAFETY: room for a type and so many bytes.
        let got = unsafe { libc::msgrcv(self.0, (&raw mut message).cast(), message.text.len(), kind, 0) };
        let got = Errno::result(got).context("msgrcv")?;
        let text = message.text.get(..usize::try_from(got)?).unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// Done with it, but it stays.
    fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: a plain call; nothing is to be stored.
        unsafe { libc::msgctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}
