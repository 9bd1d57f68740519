//! The box of findings, drawn.

use ratatui::{
    Frame,
    text::{Line, Span},
    widgets::{Block, Paragraph},
};

use super::Place;
use crate::ui::{App, screen::over, words};

/// Draws the box over the view.
pub(in crate::ui) fn draw(app: &App, frame: &mut Frame, place: Place) {
    let theme = app.theme;
    let list = &app.findings.list;
    let selected = place.finding.min(list.len().saturating_sub(1));
    let area = over(frame, 110, frame.area().height.saturating_sub(4).max(8));
    let room = usize::from(area.width.saturating_sub(6)).max(10);
    let mut lines: Vec<Line> = Vec::new();
    let mut top = 0;
    for (number, finding) in list.iter().enumerate() {
        if number == selected {
            top = lines.len();
        }
        let title = format!(" ! {} ", finding.rule);
        let title = if number == selected {
            Line::styled(words::pad(&title, room + 4), theme.cursor())
        } else {
            Line::styled(title, theme.alarm())
        };
        lines.push(title);
        lines.extend(words::wrap(&finding.what, room).into_iter().map(|text| Line::raw(format!("   {text}"))));
        let advice = words::wrap(&finding.advice, room);
        lines.extend(advice.into_iter().map(|text| Line::styled(format!("   {text}"), theme.strong())));
        if number == selected {
            let event = |(at, seq): (usize, &u64)| {
                let style = if at == place.evidence { theme.focus() } else { theme.dim() };
                Span::styled(format!(" {seq}"), style)
            };
            let mut spans = vec![Span::styled("   events", theme.dim())];
            spans.extend(finding.evidence.iter().take(12).enumerate().map(event));
            lines.push(Line::from(spans));
        }
        lines.push(Line::default());
    }
    let height = usize::from(area.height.saturating_sub(2));
    // The selected one in sight; nothing scrolls while all fit.
    let top = top.min(lines.len().saturating_sub(height));
    let title = format!(
        " {} {}: ↑↓ selects, ←→ another event, Enter shows it, Esc closes ",
        list.len(),
        if list.len() == 1 { "finding" } else { "findings" }
    );
    let block = Block::bordered().border_style(theme.focus()).title(Line::styled(title, theme.strong()));
    frame.render_widget(Paragraph::new(lines).scroll((top as u16, 0)).block(block), area);
}
