//! The whole screen: what lies where, and everything drawn in its place.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Text},
    widgets::{Block, Borders, Clear, Paragraph},
};

use super::{
    App, ascii, bars, events, findings, help, map,
    pane::Extent,
    playback, signals,
    state::{Dialog, View},
    theme::Theme,
    timeline,
};

/// Below this there is only a message.
pub(super) const SMALLEST: (u16, u16) = (40, 10);
/// From this width on there are boxes with borders, and details at the side.
const WIDE: u16 = 100;

/// What lies where. Areas are those inside borders; an area that is not shown is empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Areas {
    pub header: Rect,
    pub filter: Rect,
    pub view: Rect,
    pub detail: Rect,
    /// More details beside those.
    pub side: Rect,
    pub moment: Rect,
    pub pane: Option<Rect>,
    pub prompt: Rect,
    pub strip: Rect,
    pub footer: Rect,
    /// Views have borders all around.
    pub wide: bool,
    view_is_list: bool,
}

impl Areas {
    /// Lines of the event list.
    pub(super) fn list_rows(&self) -> usize {
        if self.view_is_list { usize::from(self.view.height) } else { 0 }
    }
}

/// Takes `height` lines from the bottom of `area`.
fn take_bottom(area: &mut Rect, height: u16) -> Rect {
    let height = height.min(area.height);
    area.height -= height;
    Rect { y: area.bottom(), height, ..*area }
}

/// Takes `height` lines from the top of `area`.
fn take_top(area: &mut Rect, height: u16) -> Rect {
    let height = height.min(area.height);
    let top = Rect { height, ..*area };
    area.y += height;
    area.height -= height;
    top
}

/// Without the lines that a block takes.
fn inside(area: Rect, wide: bool) -> Rect {
    block(wide).inner(area)
}

fn block(wide: bool) -> Block<'static> {
    Block::new().borders(if wide { Borders::ALL } else { Borders::TOP })
}

/// Where everything is on the application's present size; `None` if that is too small.
fn divide(app: &App) -> Option<Areas> {
    let (columns, rows) = app.size;
    if columns < SMALLEST.0 || rows < SMALLEST.1 {
        return None;
    }
    let mut body = Rect::new(0, 0, columns, rows);
    let wide = columns >= WIDE;
    let is_list = app.view == View::Events;
    let mut areas = Areas { wide, view_is_list: is_list, ..Areas::default() };
    areas.header = take_top(&mut body, 1);
    if !app.list.filter.source().is_empty() {
        areas.filter = take_top(&mut body, 1);
    }
    areas.footer = take_bottom(&mut body, 1);
    if app.is_replay() {
        areas.strip = take_bottom(&mut body, 1);
    }
    if let Some(prompt) = &app.prompt {
        // Room for the text, the place of a mistake, and two lines about it.
        areas.prompt = take_bottom(&mut body, if prompt.error().is_some() { 4 } else { 2 });
    }
    if let Some(pane) = app.pane.as_ref().filter(|pane| pane.extent != Extent::Hidden) {
        // Measured on the whole screen: the command's terminal does not change its size for a prompt.
        let height = match pane.extent {
            Extent::Large => rows / 2,
            _ => (rows / 4).clamp(5, 12),
        };
        if rows >= height + SMALLEST.1 {
            let mut outer = take_bottom(&mut body, height);
            take_top(&mut outer, 1);
            areas.pane = Some(outer);
        }
    }
    if app.paused && !is_list && body.height > 8 {
        areas.moment = take_bottom(&mut body, 1);
    }
    if app.view == View::Signals {
        // A table and, step by step, a life: both are wide.
        if body.height >= 12 {
            let height = (body.height / 2).clamp(6, 20);
            let mut below = take_bottom(&mut body, height);
            if wide {
                let side = columns * 3 / 10;
                below.width -= side;
                areas.side = inside(Rect { x: below.right(), width: side, ..below }, wide);
            }
            areas.detail = inside(below, wide);
        }
    } else if app.view == View::Timeline {
        // Time takes the whole width.
        if body.height >= 12 {
            let height = (body.height * 3 / 10).clamp(6, 15);
            areas.detail = inside(take_bottom(&mut body, height), wide);
        }
    } else if wide {
        let side = if is_list { (columns * 2 / 5).clamp(40, 76) } else { (columns / 4).clamp(32, 44) };
        body.width -= side;
        let outer = Rect { x: body.right(), width: side, ..body };
        areas.detail = inside(outer, wide);
    } else if body.height >= 12 {
        let height = if is_list { body.height / 2 } else { 6 };
        areas.detail = inside(take_bottom(&mut body, height), wide);
    }
    areas.view = inside(body, wide);
    Some(areas)
}

/// Where everything is.
pub(super) fn areas(app: &App) -> Areas {
    divide(app).unwrap_or_default()
}

/// Shows the application.
pub fn draw(app: &App, frame: &mut Frame) {
    match divide(app) {
        // A frame that is smaller than what was announced: the resize is under way.
        _ if frame.area().width < app.size.0 || frame.area().height < app.size.1 => {}
        None => draw_tiny(app, frame),
        Some(areas) => draw_areas(app, frame, &areas),
    }
    if app.options.ascii {
        ascii::translate(frame.buffer_mut());
    }
}

fn draw_tiny(app: &App, frame: &mut Frame) {
    let (columns, rows) = app.size;
    let (least_columns, least_rows) = SMALLEST;
    let lines = [format!("{columns}x{rows} is"), "too small:".to_owned(), format!("{least_columns}x{least_rows} fits")];
    let text = Text::from(lines.map(Line::from).to_vec());
    frame.render_widget(Paragraph::new(text), frame.area());
}

fn draw_areas(app: &App, frame: &mut Frame, areas: &Areas) {
    bars::header(app, frame, areas.header);
    bars::filter(app, frame, areas.filter);
    match app.view {
        View::Map => map::draw(app, frame, areas),
        View::Events => events::draw(app, frame, areas),
        View::Timeline => timeline::draw(app, frame, areas),
        View::Signals => signals::draw(app, frame, areas),
    }
    bars::moment(app, frame, areas.moment);
    draw_pane(app, frame, areas);
    bars::prompt(app, frame, areas.prompt);
    playback::draw(app, frame, areas.strip);
    bars::footer(app, frame, areas.footer);
    match app.dialog {
        Some(Dialog::Help(line)) => help::draw(app, frame, line),
        Some(Dialog::Findings(place)) => findings::draw(app, frame, place),
        Some(Dialog::Notes(selected)) => playback::notes::draw(app, frame, selected),
        Some(Dialog::Quit) => help::draw_quit(app, frame),
        None => {}
    }
}

/// Draws the border of an area as given by [`areas`], with its title.
pub(super) fn draw_border(frame: &mut Frame, inner: Rect, wide: bool, title: Line, focused: bool, theme: Theme) {
    if inner.is_empty() {
        return;
    }
    let outer = if wide {
        Rect { x: inner.x - 1, y: inner.y - 1, width: inner.width + 2, height: inner.height + 2 }
    } else {
        Rect { y: inner.y - 1, height: inner.height + 1, ..inner }
    };
    let style = if focused { theme.focus() } else { theme.dim() };
    frame.render_widget(block(wide).border_style(style).title(title), outer);
}

fn draw_pane(app: &App, frame: &mut Frame, areas: &Areas) {
    let (Some(pane), Some(area)) = (&app.pane, areas.pane) else { return };
    let title = if pane.focused {
        Line::styled(" terminal: keys go to the command, Ctrl-] leaves ", app.theme.focus())
    } else if pane.scrolled() > 0 {
        Line::styled(format!(" terminal, {} lines back ", pane.scrolled()), app.theme.strong())
    } else if app.command_runs() {
        Line::styled(" terminal (t types into it) ", app.theme.strong())
    } else {
        Line::styled(" terminal ", app.theme.strong())
    };
    draw_border(frame, area, false, title, pane.focused, app.theme);
    pane.draw(frame, area, app.options.color, ("no output yet", app.theme.dim()));
}

/// A box over the middle of the screen.
pub(super) fn over(frame: &mut Frame, columns: u16, rows: u16) -> Rect {
    let area = frame.area();
    let (columns, rows) = (columns.min(area.width), rows.min(area.height));
    let centred = Rect { x: (area.width - columns) / 2, y: (area.height - rows) / 2, width: columns, height: rows };
    frame.render_widget(Clear, centred);
    centred
}
