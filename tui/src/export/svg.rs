//! A sequence diagram as a picture, and a picture of the states over time for the page of [`super::html`].
//!
//! Plain SVG 1.1 with shapes, text and titles (shown when pointed at): no script, no font file, no style sheet of others.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    io::Write,
};

use super::{
    Export, ExportError,
    lanes::Span,
    seconds,
    story::{Arrow, Party, Story, What},
    xml,
};
use crate::event::{Event, Header, Nanos, Task, ThreadState};

/// Arrows in one picture.
pub(super) const MOST: usize = 5_000;
/// Width of a lifeline's column, of the column with the times; height of a row and of the head.
const COLUMN: usize = 190;
const TIMES: usize = 110;
const ROW: usize = 26;
const HEAD: usize = 46;

/// The picture.
pub(super) struct Svg<W> {
    out: W,
    story: Story,
    title: String,
}

impl<W: Write> Svg<W> {
    pub(super) fn new(out: W, header: &Header) -> Self {
        Self { out, story: Story::default(), title: header.command.join(" ") }
    }
}

impl<W: Write> Export for Svg<W> {
    fn event(&mut self, event: &Event, wanted: bool) -> Result<(), ExportError> {
        self.story.event(event, wanted);
        Ok(())
    }

    fn finish(mut self: Box<Self>, _until: Nanos, lost: u64) -> Result<(), ExportError> {
        let picture = sequence(&self.story, &self.title, lost, "svg")?;
        self.out.write_all(picture.as_bytes())?;
        Ok(self.out.flush()?)
    }
}

/// A sequence diagram.
pub(super) fn sequence(story: &Story, title: &str, lost: u64, format: &'static str) -> Result<String, ExportError> {
    let found = story.arrows.len();
    if found > MOST {
        return Err(ExportError::TooMuch { found, what: "messages and signals", most: MOST, format });
    }
    let parties = story.parties();
    let places: HashMap<Party, usize> =
        parties.iter().enumerate().map(|(at, party)| (*party, TIMES + COLUMN / 2 + at * COLUMN)).collect();
    let width = TIMES + COLUMN * parties.len().max(1) + COLUMN / 2;
    let height = HEAD + ROW * (found + 2);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"monospace\" font-size=\"12\">\n\
         <title>{}</title>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto-start-reverse\"><path d=\"M0,0 L8,4 L0,8 z\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        xml(title)
    );
    for party in &parties {
        let x = places.get(party).copied().unwrap_or(0);
        let name = xml(&story.name(*party));
        let (left, wide) = (x - COLUMN / 2 + 8, COLUMN - 16);
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" y1=\"{HEAD}\" x2=\"{x}\" y2=\"{}\" stroke=\"#bbb\"/>\
             <rect x=\"{left}\" y=\"12\" width=\"{wide}\" height=\"26\" rx=\"4\" fill=\"#eef\" stroke=\"#446\"/>\
             <text x=\"{x}\" y=\"29\" text-anchor=\"middle\">{name}</text>",
            height - ROW
        );
    }
    for (row, arrow) in story.arrows.iter().enumerate() {
        draw(&mut svg, arrow, HEAD + ROW * (row + 1), &places);
    }
    if lost > 0 {
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{}\" fill=\"#b00\">{lost} events were lost: arrows may be missing</text>",
            height - 8
        );
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn draw(svg: &mut String, arrow: &Arrow, y: usize, places: &HashMap<Party, usize>) {
    let (Some(&from), Some(&to)) = (places.get(&arrow.from), places.get(&arrow.to)) else { return };
    let (colour, dashes) = match arrow.what {
        What::Message { .. } => ("#225", ""),
        What::Signal => ("#b00", ""),
        What::Fork => ("#777", " stroke-dasharray=\"5 4\""),
        What::Note => ("#777", ""),
    };
    let text = xml(&arrow.text);
    let title = match arrow.what {
        What::Message { sent: Some(sent) } => format!("{text}: sent {}, received {}", seconds(sent), seconds(arrow.t)),
        _ => format!("{text}: {}", seconds(arrow.t)),
    };
    let time = seconds(arrow.t);
    let _ = write!(svg, "<g class=\"arrow\"><title>{title}</title><text x=\"8\" y=\"{y}\" fill=\"#888\">{time}</text>");
    let (line, label) = (y - 4, y - 8);
    if arrow.what == What::Note {
        let _ = write!(
            svg,
            "<circle cx=\"{to}\" cy=\"{line}\" r=\"3\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{y}\" fill=\"{colour}\">{text}</text>",
            to + 8
        );
    } else if from == to {
        let (right, low) = (from + 24, y + 4);
        let _ = write!(
            svg,
            "<path d=\"M{from},{line} H{right} V{low} H{from}\" fill=\"none\" stroke=\"{colour}\" \
             marker-end=\"url(#tip)\"/><text x=\"{}\" y=\"{y}\" fill=\"{colour}\">{text}</text>",
            right + 4
        );
    } else {
        let middle = usize::midpoint(from, to);
        let _ = write!(
            svg,
            "<line x1=\"{from}\" y1=\"{line}\" x2=\"{to}\" y2=\"{line}\" stroke=\"{colour}\"{dashes} \
             marker-end=\"url(#tip)\"/>\
             <text x=\"{middle}\" y=\"{label}\" text-anchor=\"middle\" fill=\"{colour}\">{text}</text>"
        );
    }
    svg.push_str("</g>\n");
}

/// Width of the time line, of the names beside it; height of a lane.
const LINE: f64 = 1400.0;
const NAMES: f64 = 170.0;
const LANE: f64 = 20.0;

/// The states of threads over time; spans too narrow to be seen are drawn as wide as a hair.
pub(super) fn timeline(lanes: &BTreeMap<Task, Vec<Span>>, names: impl Fn(Task) -> String, until: Nanos) -> String {
    let height = LANE * lanes.len() as f64 + 4.0;
    let scale = (LINE - NAMES) / (until.0.max(1) as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{LINE}\" height=\"{height}\" font-family=\"monospace\" \
         font-size=\"12\">\n"
    );
    for (row, (task, spans)) in lanes.iter().enumerate() {
        let y = LANE * row as f64 + 2.0;
        let _ = writeln!(svg, "<text x=\"2\" y=\"{:.0}\">{}</text>", y + 13.0, xml(&names(*task)));
        for span in spans {
            let (x, wide) = (NAMES + span.from.0 as f64 * scale, (span.until.0 - span.from.0) as f64 * scale);
            let on = span.on.as_ref().map_or_else(String::new, |on| format!(" in {}", xml(on)));
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.2}\" y=\"{y:.0}\" width=\"{:.2}\" height=\"16\" fill=\"{}\">\
                 <title>{}{on}: {} to {}</title></rect>",
                wide.max(0.1),
                colour(span.state),
                span.state.name(),
                seconds(span.from),
                seconds(span.until)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// As in the application: what runs is green, what waits for a CPU yellow, what is blocked red.
pub(super) fn colour(state: ThreadState) -> &'static str {
    match state {
        ThreadState::New => "#8ac",
        ThreadState::Ready => "#e6b800",
        ThreadState::Running => "#2a9d3a",
        ThreadState::Blocked => "#d0504a",
        ThreadState::Stopped => "#9150c8",
        ThreadState::Zombie | ThreadState::Dead => "#999",
    }
}
