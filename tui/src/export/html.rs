//! One page with everything: time line, sequence diagram and events; scrolls, searches, and asks nothing of a network.
//!
//! The page holds only text and shapes made here; the one script is ours and filters rows by what is typed.

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

const STYLE: &str = "body{font-family:sans-serif;margin:1em}h1{font-size:1.2em}h2{font-size:1em}\
.box{overflow:auto;max-height:75vh;border:1px solid #ccc}pre{margin:0;font-size:12px}\
#find{width:30em;font-family:monospace}.key span{padding:0 .5em;color:#fff;margin-right:.4em}\
@media print{.box{max-height:none}}";

const SCRIPT: &str = "const find=document.getElementById('find');find.addEventListener('input',()=>{\
const words=find.value.toLowerCase().split(/\\s+/).filter(Boolean);\
for(const row of document.querySelectorAll('#events div, g.arrow')){\
const text=row.textContent.toLowerCase();\
row.style.display=words.every(word=>text.includes(word))?'':'none';}});";

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
                let _ = writeln!(self.rows, "<div>{}</div>", xml(&text));
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
        let timeline = svg::timeline(&self.spans, names, until);
        let key = ThreadState::ALL
            .iter()
            .take(5)
            .map(|state| format!("<span style=\"background:{}\">{}</span>", svg::colour(*state), state.name()));
        let key: String = key.collect();
        let loss = if lost > 0 { format!("<p><b>{lost} events were lost.</b></p>") } else { String::new() };
        let (title, about) = (xml(&self.title), xml(&self.about));
        let out = &mut self.out;
        write!(
            out,
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <style>{STYLE}</style></head>\n<body><h1><code>{title}</code></h1><p>{about}</p>{loss}\n\
             <h2>States over time</h2><p class=\"key\">{key}</p><div class=\"box\">{timeline}</div>\n\
             <p><label>Show only <input id=\"find\" type=\"search\" placeholder=\"words\"></label></p>\n\
             <h2>Who says what to whom</h2><div class=\"box\">{sequence}</div>\n\
             <h2>Events</h2><div class=\"box\"><pre id=\"events\">{}</pre></div>\n\
             <script>{SCRIPT}</script></body></html>\n",
            self.rows
        )?;
        Ok(out.flush()?)
    }
}
