//! Boxes over the views: all keys, and the question before leaving a running command.

use ratatui::{
    Frame,
    text::{Line, Span},
    widgets::{Block, Paragraph},
};

use super::{App, keys, screen::over, words};

/// All keys, from `line` on.
pub(super) fn draw(app: &App, frame: &mut Frame, line: u16) {
    let theme = app.theme;
    let area = over(frame, 100, keys::lines() + 1);
    let mut lines = Vec::new();
    for (place, keys) in keys::ALL {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(Line::styled(format!(" {place}"), theme.strong()));
        for (key, what) in *keys {
            let room = usize::from(area.width).saturating_sub(29);
            let mut texts = words::wrap(what, room.max(8)).into_iter();
            lines.push(Line::from(vec![
                Span::styled(format!("   {key:<23} "), theme.key()),
                Span::raw(texts.next().unwrap_or_default()),
            ]));
            lines.extend(texts.map(|text| Line::raw(format!("{:27}{text}", ""))));
        }
    }
    let room = area.height.saturating_sub(2);
    let line = line.min((lines.len() as u16).saturating_sub(room));
    let more = if lines.len() as u16 > room { " keys: ↓ for more, Esc closes " } else { " keys: Esc closes " };
    let block = Block::bordered().border_style(theme.focus()).title(Line::styled(more, theme.strong()));
    frame.render_widget(Paragraph::new(lines).scroll((line, 0)).block(block), area);
}

/// The command is running: what is to become of it?
pub(super) fn draw_quit(app: &App, frame: &mut Frame) {
    let theme = app.theme;
    let area = over(frame, 50, 7);
    let key = |key: &'static str, what: &'static str| {
        Line::from(vec![Span::styled(format!("   {key:<5}"), theme.key()), Span::raw(what)])
    };
    let lines = vec![
        Line::raw(" What shall become of it?"),
        Line::default(),
        key("d", "detach: it lives on, untraced"),
        key("e", "end it: SIGTERM, after a while SIGKILL"),
        key("Esc", "stay here"),
    ];
    let title = Line::styled(" the command is running ", theme.strong());
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().border_style(theme.focus()).title(title)), area);
}
