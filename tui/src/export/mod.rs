//! Recordings in the formats of other tools.
//!
//! Each format is one file with one type that takes events in order and writes text (or packets) at the end or as it goes.
//! All of them draw only what an event says: a message whose sender is unknown comes from `?`. What would be too much to
//! be read is refused with the way to choose less, and never cut silently.
//!
//! Invariant: names and payload of others arrive escaped as in the contract, and are escaped once more for the format.
//! Tested in `tests`: a script of events against the whole output, hostile names included.

mod csv;
mod dot;
mod html;
mod lanes;
mod mermaid;
mod pcapng;
mod perfetto;
mod story;
mod svg;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use crate::{
    analyze::Filter,
    event::{Event, Header, Nanos},
};

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tracks and flows for ui.perfetto.dev (the Trace Event format).
    Perfetto,
    /// A sequence diagram as text.
    Mermaid,
    /// Processes and channels as a graph, for Graphviz.
    Dot,
    /// A sequence diagram as a picture.
    Svg,
    /// Sequence diagram, time line and events in one page.
    Html,
    /// A row for each event.
    Csv,
    /// Payloads as packets, with channels as interfaces, for Wireshark.
    Pcapng,
}

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The output.
    #[error("write the export: {0}")]
    Write(#[from] io::Error),
    /// Not for eyes.
    #[error(
        "draw {found} {what}: at most {most} can be told apart in {format}. Choose with --filter, for instance \
         't:1.2..1.3', 'channel:8124' or 'kind:signal'"
    )]
    TooMuch {
        /// How many there are.
        found: usize,
        /// Of what.
        what: &'static str,
        /// How many may be.
        most: usize,
        /// In which format.
        format: &'static str,
    },
    /// A row or an object that cannot be written down.
    #[error("write the export: {0}")]
    Encode(String),
}

/// Takes a recording in one format.
trait Export {
    /// The next event; `wanted`: the filter chose it.
    fn event(&mut self, event: &Event, wanted: bool) -> Result<(), ExportError>;
    /// The recording ends at `until`, with so many events lost.
    fn finish(self: Box<Self>, until: Nanos, lost: u64) -> Result<(), ExportError>;
}

/// A recording on its way into another format.
pub struct Exporter<'a> {
    export: Box<dyn Export + 'a>,
    filter: Filter,
    until: Nanos,
}

impl<'a> Exporter<'a> {
    /// Writes to `out` what `filter` chooses.
    pub fn new(format: Format, header: &Header, filter: Filter, out: impl Write + 'a) -> Result<Self, ExportError> {
        let export: Box<dyn Export + 'a> = match format {
            Format::Perfetto => Box::new(perfetto::Perfetto::new(out)?),
            Format::Mermaid => Box::new(mermaid::Mermaid::new(out)),
            Format::Dot => Box::new(dot::Dot::new(out)),
            Format::Svg => Box::new(svg::Svg::new(out, header)),
            Format::Html => Box::new(html::Html::new(out, header)),
            Format::Csv => Box::new(csv::Csv::new(out)?),
            Format::Pcapng => Box::new(pcapng::Pcapng::new(out, header)?),
        };
        Ok(Self { export, filter, until: Nanos(0) })
    }

    /// The next event.
    pub fn event(&mut self, event: &Event) -> Result<(), ExportError> {
        self.until = self.until.max(event.t);
        if event.kind.is_quiet() {
            return Ok(());
        }
        let wanted = self.filter.is_empty() || self.filter.matches(event);
        self.export.event(event, wanted)
    }

    /// There are no more; the recording goes on until `until`, and lacks so many events.
    pub fn finish(self, until: Nanos, lost: u64) -> Result<(), ExportError> {
        self.export.finish(self.until.max(until), lost)
    }
}

/// Text between tags, or in an attribute.
fn xml(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// Seconds since the start, to the microsecond.
fn seconds(t: Nanos) -> String {
    format!("{}.{:06}", t.0 / 1_000_000_000, t.0 % 1_000_000_000 / 1_000)
}
