//! `record`: a recording without a screen.

use std::{
    io::{IsTerminal as _, Write as _},
    ops::ControlFlow,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{
    args::RecordArgs,
    follow::{Follow, Signals},
    setup,
};
use crate::{
    decode::record::{self as wire, Record},
    event::Ending,
    sys::{launch::Terminal, outcome::Outcome},
};

/// Between two looks at the progress.
const REPORT: Duration = Duration::from_millis(500);

/// Records.
pub fn run(args: &RecordArgs) -> anyhow::Result<Outcome> {
    let signals = Signals::register(args.keep.last.is_some())?;
    let sink = setup::place(&args.output, &args.keep)?;
    let session = setup::start(&args.target, Terminal::Inherit)?;
    let recorder = setup::recorder(sink, &session, &args.target, None)?;
    let mut follow = Follow::new(session, Some(recorder), signals, args.target.duration);
    let mut progress = Progress::default();
    let most = args.target.count.unwrap_or(u64::MAX);
    let end = follow.run(|batch, _| {
        progress.take(batch);
        // Without decoding, records stand for events: -n is a limit, not a promise of as many lines.
        if progress.records >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(progress.living > 0) }
    });
    progress.end();
    if let Some(recorder) = follow.recorder.take() {
        let ending = Ending { events: progress.records, lost: progress.lost, lost_by: progress.lost_by.clone() };
        let done = recorder.finish(ending).with_context(|| format!("failed to write {}", args.output.display()))?;
        if progress.lost > 0 {
            eprintln!("ipcscope: {} records lost; a larger --buffer helps", progress.lost);
        }
        if done.lost > 0 {
            eprintln!("ipcscope: {} records are not in the recording: they could not be written", done.lost);
        }
    }
    let failed = follow.recording_failed;
    let outcome = follow.outcome(end);
    // A recording was all that was wanted.
    Ok(if failed { Outcome::Code(1) } else { outcome })
}

/// What has gone by.
struct Progress {
    records: u64,
    lost: u64,
    lost_by: std::collections::BTreeMap<String, u64>,
    /// Threads attached to or created, less those that ended.
    living: i64,
    shown: Option<Instant>,
    began: Instant,
    line: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            records: 0,
            lost: 0,
            lost_by: std::collections::BTreeMap::default(),
            living: 0,
            shown: None,
            began: Instant::now(),
            line: std::io::stderr().is_terminal(),
        }
    }
}

impl Progress {
    fn take(&mut self, batch: &crate::decode::sequence::Batch) {
        use ipcscope_common::{mark, process, settings::lost};
        for bytes in batch.iter() {
            self.records += 1;
            let Ok(header) = wire::header(bytes) else { continue };
            match header.kind {
                process::FOUND | process::NEW_TASK => self.living += 1,
                process::EXIT => self.living -= 1,
                mark::LOST => {
                    if let Ok(Record::Lost(record)) = wire::parse(bytes)
                        && record.over != 0
                    {
                        self.lost += record.count;
                        let class = lost::NAMES.get(record.class as usize).copied().unwrap_or("unknown");
                        *self.lost_by.entry(class.to_owned()).or_default() += record.count;
                    }
                }
                _ => {}
            }
        }
        if self.line && self.shown.is_none_or(|shown| shown.elapsed() >= REPORT) {
            self.shown = Some(Instant::now());
            let seconds = self.began.elapsed().as_secs_f64();
            eprint!("\rrecording {seconds:.0} s, {} records, lost {} ", self.records, self.lost);
            let _ = std::io::stderr().flush();
        }
    }

    fn end(&self) {
        if self.shown.is_some() {
            eprintln!();
        }
    }
}
