//! The ASCII set: what was drawn is translated cell by cell, so that views know one set of glyphs only.

use ratatui::buffer::Buffer;

/// Replaces everything that is not ASCII.
pub(super) fn translate(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let plain = cell.symbol().chars().next().map_or(' ', plain);
            cell.set_char(plain);
        }
    }
}

#[expect(clippy::match_same_arms, reason = "grouped by what they mean")]
fn plain(c: char) -> char {
    match c {
        '─' | '╌' | '·' | '−' | '–' | '—' => '-',
        '━' | '╍' => '=',
        '┅' => '~',
        '┇' => '|',
        '⋮' | '│' | '┃' | '╎' | '╏' => '|',
        '●' => '*',
        '◐' => '~',
        '◌' | '█' => '#',
        '■' => '=',
        '†' => '-',
        '○' | '░' | '…' => '.',
        '⚡' => '!',
        '≤' => '<',
        '▶' | '→' | '▸' | '⇉' => '>',
        '◀' | '←' | '◂' => '<',
        '▐' => '[',
        '▌' => ']',
        '▁' => '_',
        '▂' | '▃' => '.',
        '▄' | '▅' => ':',
        '▆' | '▇' => '|',
        '‖' => '"',
        '↑' => '^',
        '↓' => 'v',
        '×' | '↔' => 'x',
        '»' => '(',
        '«' => ')',
        '◆' => '@',
        '•' => 'o',
        '▲' => '^',
        '▼' => 'v',
        'µ' => 'u',
        '\u{2500}'..='\u{257f}' => '+',
        _ => '?',
    }
}
