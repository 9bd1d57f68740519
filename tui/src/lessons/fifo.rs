//! A FIFO: a pipe with a name, mkfifo(3). Who opens it waits for the other side, fifo(7).

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
};

use anyhow::Context as _;
use nix::{sys::stat::Mode, unistd::mkfifo};

use super::stage::{Name, Stage};

pub(super) fn run(stage: &Stage) -> anyhow::Result<()> {
    let fifo = Name::new("fifo");
    mkfifo(&fifo.0, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
    stage.say(format!("1. mkfifo(\"{}\")", fifo.0.display()));
    stage.pause(2);

    stage.start("reader", || {
        for (round, waits_for) in ["a writer", "the next writer"].iter().enumerate() {
            stage.say(format!("{}. reader: open() for reading: waits for {waits_for}", 2 + 3 * round));
            let mut end = File::open(&fifo.0)?;
            let mut buffer = [0; 100];
            loop {
                let got = end.read(&mut buffer)?;
                let text = String::from_utf8_lossy(buffer.get(..got).unwrap_or_default());
                if got == 0 {
                    stage.say("   reader: end-of-file: no writer is left");
                    break;
                }
                stage.say(format!("   reader: got \"{}\"", text.trim_end()));
            }
            stage.pause(2);
        }
        Ok(())
    })?;

    for (number, name) in [(3, "writer"), (6, "writer2")] {
        // The reader is to be seen waiting.
        stage.pause(3);
        stage.start(name, || {
            stage.say(format!("{number}. {name}: open() for writing: both go on"));
            // Without O_CREAT, or a file might take the place of the FIFO.
            let mut end = OpenOptions::new().write(true).open(&fifo.0)?;
            for text in ["one\n", "two\n"] {
                stage.pause(2);
                end.write_all(text.as_bytes())?;
            }
            stage.pause(1);
            stage.say(format!("{}. {name}: close()", number + 1));
            Ok(())
        })?;
        stage.wait_for(1)?;
        stage.pause(3);
    }
    stage.wait_for(1)?;
    stage.say("8. over: unlink()");
    Ok(())
}
