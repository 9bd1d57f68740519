//! Text with roles: what a piece of a line is, not how it looks. Terminal and application colour it alike.

use std::fmt::Write as _;

use crate::event::{ThreadState, text};

/// What a piece of text tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Words of ours.
    Plain,
    /// Less important: times, details.
    Dim,
    /// A process id.
    Pid,
    /// The name of who did it.
    Comm,
    /// The name of another process.
    Peer,
    /// A system call.
    Call,
    /// A number of bytes.
    Bytes,
    /// A channel's name.
    Channel,
    /// A signal's name.
    Signal,
    /// A thread's state.
    State(ThreadState),
    /// An error, a loss.
    Error,
    /// Bytes of a message.
    Payload,
}

/// A piece of a line.
pub type Span = (Role, String);

/// The pieces' text.
pub fn plain(spans: &[Span]) -> String {
    spans.iter().map(|(_, text)| text.as_str()).collect()
}

/// The pieces' text in the terminal's basic colours (SGR).
pub fn coloured(spans: &[Span]) -> String {
    let mut out = String::new();
    for (role, text) in spans {
        match role.sgr() {
            "" => out.push_str(text),
            code => {
                let _ = write!(out, "\x1b[{code}m{text}\x1b[0m");
            }
        }
    }
    out
}

impl Role {
    fn sgr(self) -> &'static str {
        match self {
            Self::Plain | Self::Pid | Self::Bytes | Self::Call => "",
            Self::Dim | Self::Payload | Self::State(ThreadState::Zombie | ThreadState::Dead) => "2",
            Self::Comm | Self::Peer | Self::State(ThreadState::New) => "1",
            Self::Channel => "36",
            Self::Signal => "35",
            Self::State(ThreadState::Running) => "32",
            Self::State(ThreadState::Ready) => "33",
            Self::State(ThreadState::Blocked) => "31",
            Self::State(ThreadState::Stopped) => "34",
            Self::Error => "1;31",
        }
    }
}

/// A line in the making.
#[derive(Default)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    /// Adds text. Events come escaped, but those of a file may lie: nothing else may reach a terminal.
    pub(super) fn add(&mut self, role: Role, text: impl Into<String>) -> &mut Self {
        let text: String = text.into();
        self.0.push((role, harmless(text)));
        self
    }

    pub(super) fn plain(&mut self, text: impl Into<String>) -> &mut Self {
        self.add(Role::Plain, text)
    }

    pub(super) fn dim(&mut self, text: impl Into<String>) -> &mut Self {
        self.add(Role::Dim, text)
    }

    pub(super) fn extend(&mut self, spans: Vec<Span>) -> &mut Self {
        self.0.extend(spans);
        self
    }

    pub(super) fn finish(self) -> Vec<Span> {
        self.0
    }
}

/// `text` as it is if it is escaped, else with what is not printable escaped.
pub(super) fn harmless(text: String) -> String {
    if text.bytes().all(|b| (b' '..0x7f).contains(&b)) {
        return text;
    }
    // What is escaped already keeps its backslashes.
    text::escape(text.as_bytes()).replace("\\\\", "\\")
}

/// A time span for people: `850 ns`, `17 µs`, `1.5 ms`, `2.4 s`.
pub fn duration(ns: u64) -> String {
    for (unit, size) in [("ns", 1_u64), ("µs", 1_000), ("ms", 1_000_000)] {
        if ns.saturating_add(size / 2) / size < 1_000 {
            return format!("{} {unit}", rounded(ns, size));
        }
    }
    format!("{} s", rounded(ns, 1_000_000_000))
}

/// One decimal below ten, none above.
fn rounded(ns: u64, size: u64) -> String {
    let tenths = (u128::from(ns) * 10 + u128::from(size) / 2) / u128::from(size);
    if tenths >= 100 || tenths.is_multiple_of(10) {
        ((u128::from(ns) + u128::from(size) / 2) / u128::from(size)).to_string()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::{Role, Spans, coloured, duration, harmless};

    #[test]
    fn durations_are_short() {
        for (ns, text) in [
            (0, "0 ns"),
            (850, "850 ns"),
            (1_000, "1 µs"),
            (1_540, "1.5 µs"),
            (9_960, "10 µs"),
            (17_000, "17 µs"),
            (999_499, "999 µs"),
            (999_700, "1 ms"),
            (2_400_000_000, "2.4 s"),
            (90_000_000_000, "90 s"),
            (u64::MAX, "18446744074 s"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn nothing_of_others_reaches_the_terminal() {
        assert_eq!(harmless("caf\u{e9} a\\\\b \\x1b".into()), "caf\u{e9} a\\\\b \\x1b");
        assert_eq!(harmless("\x1b[31m".into()), "\\x1b[31m");
        let mut spans = Spans::default();
        spans.plain("write ").add(Role::Channel, "\x07");
        assert_eq!(coloured(&spans.finish()), "write \x1b[36m\\x07\x1b[0m");
    }
}
