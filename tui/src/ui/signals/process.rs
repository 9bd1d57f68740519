//! What a process does about signals: dispositions, the mask of each thread, what is pending.

use ratatui::text::{Line, Span};

use super::life::{flags, set};
use crate::{
    event::{Action, Disposition, number, signal_name_of},
    model::Process,
    ui::{App, words},
};

/// Threads whose masks are listed.
const THREADS: usize = 8;

/// Lines of at most `room` columns.
pub(super) fn lines(app: &App, process: &Process, room: usize) -> Vec<Line<'static>> {
    let theme = app.theme;
    let mut lines = Vec::new();
    let mut tell = |label: String, text: &str, style| {
        let width = words::width(&label).max(9) + 1;
        for (place, part) in words::wrap(text, room.saturating_sub(width).max(8)).into_iter().enumerate() {
            let label = if place == 0 { label.clone() } else { String::new() };
            lines.push(Line::from(vec![
                Span::styled(words::pad(&label, width), theme.dim()),
                Span::styled(part, style),
            ]));
        }
    };
    let world = app.world();
    let pending = world.pending(process.pid, None);
    tell("pending".to_owned(), &set(pending), if pending.is_empty() { theme.text() } else { theme.signal() });
    let living: Vec<_> = process.threads.values().filter(|thread| thread.is_alive()).collect();
    let single = living.len() == 1;
    for thread in living.iter().take(THREADS) {
        let label = if single { "blocked".to_owned() } else { format!("blocked {}", number(thread.tid)) };
        let text = thread.blocked.map_or_else(|| "not known".to_owned(), set);
        tell(label, &text, theme.text());
        let own = world.pending(process.pid, Some(thread.tid));
        if !own.is_empty() {
            tell(format!("pending {}", number(thread.tid)), &set(own), theme.signal());
        }
    }
    if living.len() > THREADS {
        tell(String::new(), &format!("and {} more threads", living.len() - THREADS), theme.dim());
    }
    for disposition in process.dispositions.values() {
        let name = signal_name_of(disposition.signo).trim_start_matches("SIG").to_owned();
        let style = if disposition.action == Action::Ignore { theme.dim() } else { theme.text() };
        tell(name, &told(disposition), style);
    }
    // A recording may be without them: then nothing is claimed.
    let (rest, what) = if process.dispositions.is_empty() {
        ("all signals", "none known yet")
    } else {
        ("the others", "default action")
    };
    tell(rest.to_owned(), what, theme.dim());
    lines
}

/// `handler 0x55d1a0, SA_RESTART, blocks USR2`.
fn told(disposition: &Disposition) -> String {
    if disposition.action == Action::Ignore {
        return "ignored".to_owned();
    }
    let at = disposition.handler.as_ref().map(|at| format!(" {at}")).unwrap_or_default();
    let flags = flags(&disposition.flags, |_| true);
    let blocks =
        if disposition.mask.is_empty() { String::new() } else { format!(", blocks {}", set(disposition.mask)) };
    format!("{}{at}{flags}{blocks}", disposition.action.name())
}
