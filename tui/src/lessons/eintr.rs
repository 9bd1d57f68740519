//! What a signal does to a read(2) that waits: three ways, signal(7).

use std::{io::Write as _, os::fd::AsRawFd as _};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction},
    unistd::{close, read},
};

use super::stage::Stage;

/// Does nothing: that there is a handler is enough.
extern "C" fn handler(_: i32) {}

pub(super) fn run(stage: &Stage) -> anyhow::Result<()> {
    let (read_end, mut write_end) = std::io::pipe().context("pipe")?;
    let reader = stage.start("reader", || {
        close(write_end.as_raw_fd())?;
        for (signal, flags) in [(Signal::SIGUSR1, SaFlags::empty()), (Signal::SIGUSR2, SaFlags::SA_RESTART)] {
            let action = SigAction::new(SigHandler::Handler(handler), flags, SigSet::empty());
            // SAFETY: the handler does nothing.
            unsafe { sigaction(signal, &action) }.context("sigaction")?;
        }
        stage.say("1. reader: handlers for SIGUSR1 and, with SA_RESTART, for SIGUSR2");
        let mut calls = 0;
        let mut buffer = [0; 16];
        loop {
            calls += 1;
            match read(&read_end, &mut buffer) {
                Ok(0) => break,
                Ok(got) => stage.say(format!("   reader: call {calls} of read() returned {got} bytes")),
                Err(Errno::EINTR) => stage.say(format!("   reader: call {calls} of read() failed: EINTR; again")),
                Err(error) => return Err(error).context("read"),
            }
            if calls == 2 {
                let set = SigSet::from(Signal::SIGUSR1);
                set.thread_block().context("sigprocmask")?;
                stage.say("4. reader: blocks SIGUSR1 for a while: sigprocmask()");
                stage.pause(5);
                stage.say("6. reader: unblocks it: of three that were sent one is delivered");
                set.thread_unblock().context("sigprocmask")?;
            }
        }
        Ok(())
    })?;
    drop(read_end);
    stage.until_it_waits(reader);
    stage.pause(2);

    stage.say("2. SIGUSR1 for a reader that is BLOCKED in read()");
    kill(reader, Signal::SIGUSR1)?;
    stage.pause(3);

    stage.say("3. SIGUSR2: read() is restarted; the reader notices only the bytes");
    kill(reader, Signal::SIGUSR2)?;
    stage.pause(2);
    write_end.write_all(b"hello")?;
    stage.pause(2);

    stage.say("5. SIGUSR1, three times");
    for _ in 0..3 {
        kill(reader, Signal::SIGUSR1)?;
    }
    stage.pause(5);
    drop(write_end);
    stage.wait_for(1)?;
    stage.say("7. over: end-of-file");
    Ok(())
}
