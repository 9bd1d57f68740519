//! Keys as the bytes that a terminal (xterm, terminfo `xterm-256color`) sends for them.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Ctrl-] takes the keyboard back from the command.
pub(super) fn leaves(key: KeyEvent) -> bool {
    // Terminals send 0x1d, which crossterm reads as Ctrl-5.
    key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char(']' | '5'))
}

/// The bytes of `key`; `None` for keys that send nothing. `application` is the cursor key mode (DECCKM).
pub(super) fn bytes(key: KeyEvent, application: bool) -> Option<Vec<u8>> {
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    let mut out = Vec::new();
    match key.code {
        KeyCode::Char(c) => {
            if alt {
                out.push(0x1b);
            }
            if key.modifiers.contains(KeyModifiers::CONTROL) {
                out.push(control(c)?);
            } else {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        KeyCode::Enter => out.push(b'\r'),
        KeyCode::Tab => out.push(b'\t'),
        KeyCode::Backspace if alt => out.extend_from_slice(b"\x1b\x7f"),
        KeyCode::Backspace => out.push(0x7f),
        KeyCode::Esc => out.push(0x1b),
        KeyCode::BackTab => out.extend_from_slice(b"\x1b[Z"),
        KeyCode::Up => cursor(&mut out, b'A', key.modifiers, application),
        KeyCode::Down => cursor(&mut out, b'B', key.modifiers, application),
        KeyCode::Right => cursor(&mut out, b'C', key.modifiers, application),
        KeyCode::Left => cursor(&mut out, b'D', key.modifiers, application),
        KeyCode::Home => cursor(&mut out, b'H', key.modifiers, application),
        KeyCode::End => cursor(&mut out, b'F', key.modifiers, application),
        KeyCode::Insert => tilde(&mut out, 2, key.modifiers),
        KeyCode::Delete => tilde(&mut out, 3, key.modifiers),
        KeyCode::PageUp => tilde(&mut out, 5, key.modifiers),
        KeyCode::PageDown => tilde(&mut out, 6, key.modifiers),
        KeyCode::F(n @ 1..=4) => match modifier(key.modifiers) {
            1 => out.extend_from_slice(&[0x1b, b'O', b'P' + n - 1]),
            m => out.extend_from_slice(format!("\x1b[1;{m}{}", char::from(b'P' + n - 1)).as_bytes()),
        },
        KeyCode::F(n @ 5..=12) => {
            let code = *[15, 17, 18, 19, 20, 21, 23, 24].get(usize::from(n) - 5)?;
            tilde(&mut out, code, key.modifiers);
        }
        _ => return None,
    }
    Some(out)
}

/// What Ctrl makes of a character: its lower five bits, and the traditional names on digits.
fn control(c: char) -> Option<u8> {
    match c {
        ' ' | '2' | '@' => Some(0),
        'a'..='z' | 'A'..='Z' | '[' | '\\' | ']' | '^' | '_' => Some(c as u8 & 0x1f),
        '3'..='7' => Some(c as u8 - b'3' + 0x1b),
        '8' | '?' => Some(0x7f),
        '/' => Some(0x1f),
        _ => None,
    }
}

/// The number xterm gives to held keys: 1, and 1 for Shift, 2 for Alt, 4 for Ctrl.
fn modifier(modifiers: KeyModifiers) -> u8 {
    1 + u8::from(modifiers.contains(KeyModifiers::SHIFT))
        + 2 * u8::from(modifiers.contains(KeyModifiers::ALT))
        + 4 * u8::from(modifiers.contains(KeyModifiers::CONTROL))
}

fn cursor(out: &mut Vec<u8>, letter: u8, modifiers: KeyModifiers, application: bool) {
    match modifier(modifiers) {
        1 if application => out.extend_from_slice(&[0x1b, b'O', letter]),
        1 => out.extend_from_slice(&[0x1b, b'[', letter]),
        m => out.extend_from_slice(format!("\x1b[1;{m}{}", char::from(letter)).as_bytes()),
    }
}

fn tilde(out: &mut Vec<u8>, code: u8, modifiers: KeyModifiers) {
    match modifier(modifiers) {
        1 => out.extend_from_slice(format!("\x1b[{code}~").as_bytes()),
        m => out.extend_from_slice(format!("\x1b[{code};{m}~").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_xterm_sends() {
        let none = KeyModifiers::NONE;
        for (code, modifiers, sent) in [
            (KeyCode::Char('c'), KeyModifiers::CONTROL, &b"\x03"[..]),
            (KeyCode::Char('z'), KeyModifiers::CONTROL, b"\x1a"),
            (KeyCode::Char('\\'), KeyModifiers::CONTROL, b"\x1c"),
            (KeyCode::Char('4'), KeyModifiers::CONTROL, b"\x1c"),
            (KeyCode::Char('d'), KeyModifiers::CONTROL, b"\x04"),
            (KeyCode::Char('x'), KeyModifiers::ALT, b"\x1bx"),
            (KeyCode::Char('ä'), none, "ä".as_bytes()),
            (KeyCode::Up, none, b"\x1b[A"),
            (KeyCode::Up, KeyModifiers::CONTROL, b"\x1b[1;5A"),
            (KeyCode::F(1), none, b"\x1bOP"),
            (KeyCode::F(5), none, b"\x1b[15~"),
            (KeyCode::F(12), KeyModifiers::SHIFT, b"\x1b[24;2~"),
            (KeyCode::Delete, none, b"\x1b[3~"),
            (KeyCode::Enter, none, b"\r"),
            (KeyCode::Backspace, none, b"\x7f"),
        ] {
            assert_eq!(bytes(KeyEvent::new(code, modifiers), false).as_deref(), Some(sent), "{code:?}");
        }
        assert_eq!(bytes(KeyEvent::new(KeyCode::Up, none), true).as_deref(), Some(&b"\x1bOA"[..]));
    }
}
