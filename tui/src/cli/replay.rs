//! `replay`: the application on a recording.

use std::{
    io::IsTerminal as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;
use crossbeam_channel::{Sender, bounded, unbounded};

use super::{
    args::{Color, ReplayArgs},
    lines::colours,
};
use crate::{
    app,
    source::{
        Update,
        recording::{Item, Recording},
    },
    sys::outcome::Outcome,
    ui::{self, Mode, Options},
};

/// Shows a recording.
pub fn run(args: &ReplayArgs) -> anyhow::Result<Outcome> {
    show(&args.file, &args.file.display().to_string(), args.color, args.speed)
}

/// Shows a recording under a title, at so many times its own speed; 0: as fast as it can be read.
pub fn show(file: &Path, title: &str, color: Color, speed: f64) -> anyhow::Result<Outcome> {
    need_terminal("ipcscope print")?;
    let recording = Recording::open(file)?;
    let has_screen = recording.screen().is_some();
    let (updates_in, updates) = bounded(64);
    let (requests, _requests) = unbounded();
    thread::Builder::new().name("replay".to_owned()).spawn(move || play(recording, speed, &updates_in))?;
    let outcome = app::run(
        &updates,
        &requests,
        Options {
            title: title.to_owned(),
            mode: Mode::Replay,
            terminal_pane: has_screen,
            color: colours(color, true),
            ..Options::default()
        },
    )?;
    Ok(match outcome {
        ui::Outcome::Signal(signal) => Outcome::Signal(signal),
        _ => Outcome::Code(0),
    })
}

/// The application needs a terminal on both sides.
pub fn need_terminal(instead: &str) -> anyhow::Result<()> {
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        return Ok(());
    }
    bail!("this command draws on a terminal, and standard input or output is none; try `{instead}`")
}

/// Sends events when their time has come.
fn play(mut recording: Recording, speed: f64, updates: &Sender<Update>) {
    if updates.send(Update::Started(recording.header().clone())).is_err() {
        return;
    }
    let began = Instant::now();
    let mut events = Vec::new();
    loop {
        let item = match recording.next_item(&mut events) {
            Ok(Some(item)) => item,
            Ok(None) => break,
            Err(error) => {
                let _ = updates.send(Update::Failed(error.to_string()));
                return;
            }
        };
        let (time, update) = match item {
            Item::Events => {
                let Some(first) = events.first() else { continue };
                (first.t.0, Update::Events(std::mem::take(&mut events)))
            }
            Item::Output(time, bytes) => (time, Update::Output(bytes)),
        };
        if speed > 0.0 {
            let due = Duration::from_secs_f64(time as f64 / 1e9 / speed);
            thread::sleep(due.saturating_sub(began.elapsed()));
        }
        if updates.send(update).is_err() {
            return;
        }
    }
    let _ = updates.send(Update::Ended(recording.ending()));
}
