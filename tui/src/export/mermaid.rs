//! A sequence diagram in Mermaid's text format (mermaid.js.org, "sequenceDiagram").
//!
//! Renderers refuse more than 500 arrows and 50,000 characters by default, so this does, too.

use std::{fmt::Write as _, io::Write};

use super::{
    Export, ExportError, seconds,
    story::{Party, Story, What},
};
use crate::event::{Event, Nanos};

const MOST: usize = 500;

/// The diagram.
pub(super) struct Mermaid<W> {
    out: W,
    story: Story,
}

impl<W: Write> Mermaid<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, story: Story::default() }
    }
}

impl<W: Write> Export for Mermaid<W> {
    fn event(&mut self, event: &Event, wanted: bool) -> Result<(), ExportError> {
        self.story.event(event, wanted);
        Ok(())
    }

    fn finish(mut self: Box<Self>, _until: Nanos, lost: u64) -> Result<(), ExportError> {
        let found = self.story.arrows.len();
        if found > MOST {
            return Err(ExportError::TooMuch { found, what: "messages and signals", most: MOST, format: "mermaid" });
        }
        let out = &mut self.out;
        writeln!(out, "sequenceDiagram")?;
        for party in self.story.parties() {
            writeln!(out, "    participant {} as {}", id(party), safe(&self.story.name(party)))?;
        }
        for arrow in &self.story.arrows {
            let (from, to, text) = (id(arrow.from), id(arrow.to), safe(&arrow.text));
            match arrow.what {
                What::Message { .. } => writeln!(out, "    {from}->>{to}: {} {text}", seconds(arrow.t))?,
                What::Signal => writeln!(out, "    {from}-){to}: {} {text}", seconds(arrow.t))?,
                What::Fork => writeln!(out, "    {from}-->>{to}: {} {text}", seconds(arrow.t))?,
                What::Note => writeln!(out, "    Note over {to}: {} {text}", seconds(arrow.t))?,
            }
        }
        if lost > 0 {
            writeln!(out, "    %% {lost} events were lost: arrows may be missing")?;
        }
        Ok(self.out.flush()?)
    }
}

fn id(party: Party) -> String {
    match party {
        Party::Process(pid) => format!("p{pid}"),
        Party::Kernel => "kernel".to_owned(),
        Party::Terminal => "terminal".to_owned(),
        Party::Timer => "timer".to_owned(),
        Party::Unknown => "unknown".to_owned(),
    }
}

/// Text that ends neither the line nor the statement: entity codes for what means something.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '#' | ';' | '<' | '>' | '%' | '{' | '}' | ':' => {
                let _ = write!(safe, "#{};", u32::from(c));
            }
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
