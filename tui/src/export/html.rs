//! One page with everything: time line, sequence diagram and events; scrolls, searches, and asks nothing of a network.
//!
//! The page holds only text and shapes made here; the one script is ours: it filters rows by what is typed and widens the
//! time line. Tested in a browser too, where there is one.

use std::{collections::BTreeMap, fmt::Write as _, io::Write};

use super::{
    Export, ExportError,
    lanes::{Lanes, Span},
    story::{Party, Story},
    svg, xml,
};
use crate::{
    analyze::{Lines, clock_told, clock_whose},
    event::{Event, Header, Nanos, Task, ThreadState, number},
};

/// Rows of events, and spans of states, in one page.
const MOST_ROWS: usize = 50_000;

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// No browser may load or send anything for the page, whatever is in it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The page.
pub(super) struct Html<W> {
    out: W,
    title: String,
    about: String,
    story: Story,
    lines: Lines,
    lanes: Lanes,
    spans: BTreeMap<Task, Vec<Span>>,
    rows: String,
    found: usize,
    drawn: usize,
}

/// Where and when; of a merged trace, how sure each clock is.
fn about(header: &Header) -> String {
    // The kernels of a merged trace may differ.
    let kernel = if header.kernel.is_empty() { String::new() } else { format!("Linux {}, ", header.kernel) };
    let mut about = format!("{}, {kernel}{}", header.host, header.start);
    for clock in &header.hosts {
        let _ = write!(about, "; {}: {}", clock_whose(clock), clock_told(clock));
    }
    about
}

impl<W: Write> Html<W> {
    pub(super) fn new(out: W, header: &Header) -> Self {
        Self {
            out,
            title: if header.command.is_empty() { header.host.clone() } else { header.command.join(" ") },
            about: about(header),
            story: Story::default(),
            lines: Lines::new(),
            lanes: Lanes::default(),
            spans: BTreeMap::new(),
            rows: String::new(),
            found: 0,
            drawn: 0,
        }
    }

    fn span(&mut self, task: Task, span: Span) {
        self.drawn += 1;
        if self.drawn <= MOST_ROWS {
            self.spans.entry(task).or_default().push(span);
        }
    }
}

impl<W: Write> Export for Html<W> {
    fn event(&mut self, event: &Event, wanted: bool) -> Result<(), ExportError> {
        self.story.event(event, wanted);
        let text = self.lines.full_line(event, false);
        if let Some((task, span)) = self.lanes.event(event) {
            self.span(task, span);
        }
        if wanted {
            self.found += 1;
            if self.found <= MOST_ROWS {
                // No text between the rows: when they are hidden it would stay, as blank lines, slow to lay out.
                let _ = write!(self.rows, "<div>{}\n</div>", xml(&text));
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, until: Nanos, lost: u64) -> Result<(), ExportError> {
        for (task, span) in std::mem::take(&mut self.lanes).finish(until) {
            self.span(task, span);
        }
        for (found, what) in [(self.found, "events"), (self.drawn, "changes of state")] {
            if found > MOST_ROWS {
                return Err(ExportError::TooMuch { found, what, most: MOST_ROWS, format: "html" });
            }
        }
        let sequence = svg::sequence(&self.story, &self.title, lost, "html")?;
        let names = |task: Task| {
            let name = self.story.name(Party::Process(task.pid));
            if task.pid == task.tid { name } else { format!("{name}/{}", number(task.tid)) }
        };
        let mut labels = String::new();
        for task in self.spans.keys() {
            let _ = write!(labels, "<div>{}</div>", xml(&names(*task)));
        }
        let timeline = svg::timeline(&self.spans, until);
        let key = ThreadState::ALL
            .iter()
            .take(6)
            .map(|state| format!("<span style=\"background:{}\">{}</span>", svg::colour(*state), state.name()));
        let key: String = key.collect();
        let loss = if lost > 0 { format!("<p><b>{lost} events were lost.</b></p>") } else { String::new() };
        let (title, about) = (xml(&self.title), xml(&self.about));
        let out = &mut self.out;
        write!(
            out,
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"><title>{title}</title>\n\
             <style>\n{STYLE}</style></head>\n<body><h1><code>{title}</code></h1><p>{about}</p>{loss}\n\
             <h2>States over time</h2><p class=\"key\">{key} \
             <label>Zoom <input id=\"zoom\" type=\"range\" min=\"0\" max=\"12\" step=\"0.5\" value=\"0\">\
             </label></p>\n\
             <div class=\"box\" id=\"lanes\" tabindex=\"0\"><div id=\"names\">{labels}</div>\
             <div id=\"line\" data-until=\"{}\"><div id=\"axis\"></div>{timeline}</div></div>\n\
             <p class=\"search\"><label>Show only <input id=\"find\" type=\"search\" placeholder=\"words\"></label> \
             <output id=\"found\"></output></p>\n\
             <h2>Who says what to whom</h2>\n\
             <div class=\"box\" id=\"sequence\" tabindex=\"0\" data-row=\"{}\">{sequence}</div>\n\
             <h2>Events</h2><div class=\"box\" tabindex=\"0\"><pre id=\"events\">{}</pre></div>\n\
             <script>\n{SCRIPT}</script></body></html>\n",
            until.0,
            svg::ROW,
            self.rows
        )?;
        Ok(out.flush()?)
    }
}
