//! Numbers, times and names in the shortest form that a person reads at a glance.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::event::{ChannelId, Nanos};

/// A duration: three significant digits at most.
pub(super) fn duration(ns: u64) -> String {
    let scaled = |value: f64, unit: &str| {
        let digits = usize::from(value < 9.95);
        let text = format!("{value:.digits$}");
        format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
    };
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => scaled(ns as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => scaled(ns as f64 / 1e6, "ms"),
        1_000_000_000..60_000_000_000 => format!("{:.1} s", ns as f64 / 1e9),
        _ => format!("{}:{:02} min", ns / 60_000_000_000, ns / 1_000_000_000 % 60),
    }
}

/// An amount of bytes.
pub(super) fn bytes(n: u64) -> String {
    let scaled = |unit: u64, name: &str| {
        if n.is_multiple_of(unit) {
            format!("{} {name}", n / unit)
        } else {
            format!("{:.1} {name}", n as f64 / unit as f64)
        }
    };
    match n {
        0..1_024 => format!("{n} B"),
        1_024..1_048_576 => scaled(1 << 10, "KiB"),
        1_048_576..1_073_741_824 => scaled(1 << 20, "MiB"),
        _ => scaled(1 << 30, "GiB"),
    }
}

/// A count with its thousands set apart.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate of events.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 999_500.0 => format!("{:.1}M ev/s", r / 1e6),
        r if r >= 9_950.0 => format!("{:.1}k ev/s", r / 1e3),
        r => format!("{r:.0} ev/s"),
    }
}

/// A moment as minutes and seconds; `exact` to the microsecond, else to the millisecond.
pub(super) fn clock(t: Nanos, exact: bool) -> String {
    let (minutes, ns) = (t.0 / 60_000_000_000, t.0 % 60_000_000_000);
    if exact {
        format!("{minutes:02}:{:02}.{:06}", ns / 1_000_000_000, ns / 1_000 % 1_000_000)
    } else {
        format!("{minutes:02}:{:02}.{:03}", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
    }
}

/// A channel's name without its type: `8124`, `log.fifo`; where that is a small number, with a part of it: `sem:5`.
pub(super) fn short(id: &ChannelId) -> &str {
    if let Some(name) = id.0.strip_prefix("sysv-") {
        return name;
    }
    if id.0.starts_with("shm:") {
        return &id.0;
    }
    let name = id.0.split_once(':').map_or(&*id.0, |(_, name)| name);
    match name.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        // A second object of the same name stays apart: `8124#2` is written `8124`, `#2` behind it.
        Some((inode, "")) => inode,
        Some(_) => name,
        None => name.rsplit('/').next().unwrap_or(name),
    }
}

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// `text` in at most `columns`, cut with an ellipsis.
pub(super) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// `text` in exactly `columns`: cut or filled up with blanks.
pub(super) fn pad(text: &str, columns: usize) -> String {
    let mut out = fit(text, columns);
    for _ in width(&out)..columns {
        out.push(' ');
    }
    out
}

/// `text` broken at blanks into lines of at most `columns`.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word = word.to_owned();
        if !line.is_empty() && width(&line) + 1 + width(&word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        while width(&word) > columns.max(1) {
            let at = word.char_indices().nth(columns.max(1)).map_or(word.len(), |(at, _)| at);
            let rest = word.split_off(at);
            if rest.is_empty() {
                break;
            }
            lines.push(std::mem::replace(&mut word, rest));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_amounts_are_short() {
        for (ns, text) in [
            (999, "999 ns"),
            (2_400, "2.4 µs"),
            (180_000, "180 µs"),
            (2_000_000, "2 ms"),
            (2_400_000_000, "2.4 s"),
            (83_000_000_000, "1:23 min"),
        ] {
            assert_eq!(duration(ns), text);
        }
        assert_eq!(
            (bytes(65_536), bytes(1_500), count(1_234_567)),
            ("64 KiB".into(), "1.5 KiB".into(), "1,234,567".into())
        );
        assert_eq!((rate(84_200.0), rate(12.0)), ("84.2k ev/s".into(), "12 ev/s".into()));
        assert_eq!(clock(Nanos(62_418_000_000), false), "01:02.418");
    }

    #[test]
    fn channel_names_lose_their_type_only() {
        for (id, name) in [("pipe:[8124]", "8124"), ("fifo:/tmp/f", "f"), ("fifo:[9]", "9"), ("pipe:[1]#2", "[1]#2")] {
            assert_eq!(short(&id.into()), name);
        }
    }

    #[test]
    fn text_is_cut_by_columns() {
        assert_eq!((fit("abcdef", 4), fit("日本語", 4), fit("abc", 0)), ("abc…".into(), "日…".into(), String::new()));
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
    }
}
