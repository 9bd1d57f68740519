//! `replay`: the application on a recording.

use std::{io::IsTerminal as _, path::Path, thread};

use anyhow::bail;
use crossbeam_channel::{bounded, unbounded};

use super::{
    args::{Color, ReplayArgs},
    lines::colours,
};
use crate::{
    analyze::clocks_doubt,
    app,
    source::{recording::Recording, replay},
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
    // Of a merged recording: how far its clocks may be off.
    let doubt = clocks_doubt(&recording.header().hosts).map_or_else(String::new, |doubt| format!("{doubt} "));
    let (updates_in, updates) = bounded(8);
    let (requests, asked) = unbounded();
    let player = thread::Builder::new().name("replay".to_owned());
    let player = player.spawn(move || replay::play(recording, speed, &updates_in, &asked))?;
    let outcome = app::run(
        &updates,
        &requests,
        Options {
            title: format!("{doubt}{title}"),
            mode: Mode::Replay,
            terminal_pane: has_screen,
            color: colours(color, true),
            speed,
            ..Options::default()
        },
    )?;
    // Leaving the application ends the player: its queues are gone.
    drop((updates, requests));
    drop(player.join());
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
