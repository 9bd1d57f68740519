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
pub(super) const ROW: usize = 26;
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
    let texts = story.arrows.iter().map(|arrow| Label::of(arrow, &places).map_or(0, |label| label.right()));
    let width = texts.max().unwrap_or(0).max(TIMES + COLUMN * parties.len().max(1)) + 8;
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
    let mut head = format!("<g class=\"head\"><rect width=\"100%\" height=\"{}\" fill=\"white\"/>", HEAD - 4);
    for party in &parties {
        let x = places.get(party).copied().unwrap_or(0);
        let name = xml(&story.name(*party));
        let (left, wide) = (x - COLUMN / 2 + 8, COLUMN - 16);
        let _ = writeln!(svg, "<line x1=\"{x}\" y1=\"{HEAD}\" x2=\"{x}\" y2=\"{}\" stroke=\"#bbb\"/>", height - ROW);
        let _ = writeln!(
            head,
            "<rect x=\"{left}\" y=\"12\" width=\"{wide}\" height=\"26\" rx=\"4\" fill=\"#eef\" stroke=\"#446\"/>\
             <text x=\"{x}\" y=\"29\" text-anchor=\"middle\">{name}</text>"
        );
    }
    for (row, arrow) in story.arrows.iter().enumerate() {
        draw(&mut svg, arrow, HEAD + ROW * (row + 1), &places, story);
    }
    // Last, so that it may be moved over the rest.
    svg.push_str(&head);
    svg.push_str("</g>\n");
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

/// Where an arrow's text is.
struct Label {
    x: usize,
    /// Around `x`, or from it on.
    centred: bool,
    wide: usize,
}

impl Label {
    fn of(arrow: &Arrow, places: &HashMap<Party, usize>) -> Option<Self> {
        let (from, to) = (*places.get(&arrow.from)?, *places.get(&arrow.to)?);
        // A letter of 12 px is 7.2 px wide.
        let wide = arrow.text.chars().count() * 36 / 5;
        Some(if arrow.what == What::Note {
            Self { x: to + 8, centred: false, wide }
        } else if from == to {
            Self { x: from + 28, centred: false, wide }
        } else {
            // Not over the times.
            Self { x: usize::midpoint(from, to).max(TIMES + wide / 2), centred: true, wide }
        })
    }

    fn right(&self) -> usize {
        self.x + if self.centred { self.wide / 2 } else { self.wide }
    }
}

fn draw(svg: &mut String, arrow: &Arrow, y: usize, places: &HashMap<Party, usize>, story: &Story) {
    let (Some(&from), Some(&to)) = (places.get(&arrow.from), places.get(&arrow.to)) else { return };
    let Some(label) = Label::of(arrow, places) else { return };
    let (colour, dashes) = match arrow.what {
        What::Message { .. } => ("#225", ""),
        What::Signal => ("#b00", ""),
        What::Fork => ("#666", " stroke-dasharray=\"5 4\""),
        What::Note => ("#666", ""),
    };
    let text = xml(&arrow.text);
    let time = seconds(arrow.t);
    // Their names too: they are looked for.
    let who = match (xml(&story.name(arrow.from)), xml(&story.name(arrow.to))) {
        (alone, _) if arrow.what == What::Note => alone,
        (from, to) => format!("{from} → {to}"),
    };
    let when = match arrow.what {
        What::Message { sent: Some(sent) } => format!("sent {}, received {time}", seconds(sent)),
        _ => time.clone(),
    };
    let _ = write!(
        svg,
        "<g class=\"arrow\"><title>{who}: {text}: {when}</title><text x=\"8\" y=\"{y}\" fill=\"#666\">{time}</text>"
    );
    let line = y - 4;
    let (anchor, base) = if label.centred { (" text-anchor=\"middle\"", y - 9) } else { ("", y) };
    // Letters are cut out of the lifelines that they cross.
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{base}\"{anchor} fill=\"{colour}\" stroke=\"white\" stroke-width=\"4\" \
         paint-order=\"stroke\">{text}</text>",
        label.x
    );
    let _ = if arrow.what == What::Note {
        write!(svg, "<circle cx=\"{to}\" cy=\"{line}\" r=\"3\" fill=\"{colour}\"/>")
    } else if from == to {
        let (right, low) = (from + 24, y + 4);
        write!(
            svg,
            "<path d=\"M{from},{line} H{right} V{low} H{from}\" fill=\"none\" stroke=\"{colour}\" \
             marker-end=\"url(#tip)\"/>"
        )
    } else {
        write!(
            svg,
            "<line x1=\"{from}\" y1=\"{line}\" x2=\"{to}\" y2=\"{line}\" stroke=\"{colour}\"{dashes} \
             marker-end=\"url(#tip)\"/>"
        )
    };
    svg.push_str("</g>\n");
}

/// Height of a lane of the time line.
const LANE: usize = 20;

/// The states of threads over time, a lane each, as wide as its surroundings; spans too narrow to be seen are drawn as
/// wide as a hair.
pub(super) fn timeline(lanes: &BTreeMap<Task, Vec<Span>>, until: Nanos) -> String {
    let mut svg = format!("<svg width=\"100%\" height=\"{}\">\n", LANE * lanes.len() + 4);
    let percent = |at: u64| at as f64 * 100.0 / until.0.max(1) as f64;
    for (row, spans) in lanes.values().enumerate() {
        let y = LANE * row + 2;
        for span in spans {
            let on = span.on.as_ref().map_or_else(String::new, |on| format!(" in {}", xml(on)));
            let _ = writeln!(
                svg,
                "<rect x=\"{:.6}%\" y=\"{y}\" width=\"{:.6}%\" height=\"16\" fill=\"{}\">\
                 <title>{}{on}: {} to {}</title></rect>",
                percent(span.from.0),
                percent(span.until.0 - span.from.0).max(0.005),
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
