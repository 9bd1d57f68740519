//! Events as lines: JSON or text, coloured or not, filtered or not.

use std::io::{self, IsTerminal as _, Write};

use super::args::{Color, LineArgs, Times};
use crate::{
    analyze::{Filter, Lines, TimeStyle},
    event::{Ending, Event, Header, Kind, Lost, Nanos},
    sys::{file::FileSink, host},
};

/// Where lines go, and how they look.
pub struct Printer {
    out: Box<dyn Write>,
    style: Style,
    filter: Option<Filter>,
    /// Events taken so far, those filtered out included.
    pub events: u64,
}

enum Style {
    Json,
    Text { lines: Box<Lines>, colour: bool, states: bool },
}

/// Where lines go.
pub enum To {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
    /// A file.
    File(FileSink),
}

impl Printer {
    /// `states`: text lines tell of state changes too.
    pub fn new(to: To, args: &LineArgs, header: &Header, states: bool) -> anyhow::Result<Self> {
        let (out, terminal): (Box<dyn Write>, bool) = match to {
            To::Output => (Box::new(io::BufWriter::with_capacity(1 << 16, io::stdout())), io::stdout().is_terminal()),
            To::Error => (Box::new(io::BufWriter::with_capacity(1 << 16, io::stderr())), io::stderr().is_terminal()),
            To::File(sink) => (Box::new(io::BufWriter::with_capacity(1 << 16, sink)), false),
        };
        let style = if args.json {
            Style::Json
        } else {
            let start = Nanos(host::since_midnight(&header.start));
            let times = match args.times() {
                Times::SinceStart => TimeStyle::Elapsed,
                Times::SinceLast => TimeStyle::Delta,
                Times::Day => TimeStyle::Clock { start, micros: false },
                Times::DayMicros => TimeStyle::Clock { start, micros: true },
            };
            let states = states || args.filter.is_some();
            Style::Text {
                lines: Box::new(Lines::new().with_times(times)),
                colour: colours(args.color, terminal),
                states,
            }
        };
        let mut printer = Self { out, style, filter: args.filter.clone(), events: 0 };
        if let Style::Json = printer.style {
            writeln!(printer.out, "{}", header.to_json())?;
        }
        Ok(printer)
    }

    /// Takes an event.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        if event.kind.is_quiet() {
            return Ok(());
        }
        self.events += 1;
        let wanted = self.filter.as_ref().is_none_or(|filter| filter.matches(event));
        match &mut self.style {
            Style::Json if wanted => writeln!(self.out, "{}", event.to_json()),
            Style::Json => Ok(()),
            Style::Text { lines, states, .. } if !wanted || !*states && matches!(event.kind, Kind::State(_)) => {
                lines.learn(event);
                Ok(())
            }
            Style::Text { lines, colour, .. } => writeln!(self.out, "{}", lines.full_line(event, *colour)),
        }
    }

    /// Lines so far reach their reader.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The last line.
    pub fn end(&mut self, ending: &Ending) -> io::Result<()> {
        if let Style::Json = self.style {
            writeln!(self.out, "{}", ending.to_json())?;
        } else if ending.lost > 0 {
            let classes: Vec<String> = ending.lost_by.iter().map(|(class, n)| format!("{class} {n}")).collect();
            let kept_all = !ending.lost_by.contains_key(Lost::NOT_KEPT);
            let remedy = if kept_all || ending.lost_by.len() > 1 { "; a larger --buffer helps" } else { "" };
            writeln!(self.out, "ipcscope: {} records lost ({}){remedy}", ending.lost, classes.join(", "))?;
        }
        self.out.flush()
    }
}

/// Whether to use colours (NO_COLOR, <https://no-color.org>).
pub fn colours(color: Color, terminal: bool) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            terminal
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}
