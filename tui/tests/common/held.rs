//! Who holds which end: events folded into descriptor tables, to be compared with /proc.

use std::collections::BTreeMap;

use super::{Value, is, number, text};

/// Descriptors of pipes by process and number: the channel and the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Held(pub BTreeMap<(u64, u64), String>);

impl Held {
    /// After those events.
    pub fn after<'a>(events: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut held = Self::default();
        for event in events {
            held.apply(event);
        }
        held
    }

    fn apply(&mut self, event: &Value) {
        if !is(event, "channel") {
            return;
        }
        let pid = number(event, "pid");
        let channel = text(event, "channel");
        let of = |end: &str| format!("{channel} {end}");
        match text(event, "event") {
            "created" => {
                for (index, end) in ["r", "w"].into_iter().enumerate() {
                    let fd = event["fds"][index].as_u64().unwrap_or_else(|| panic!("no fds: {event}"));
                    self.0.insert((pid, fd), of(end));
                }
            }
            "inherited" | "duplicated" | "passed" | "attached" | "opened" => {
                self.0.insert((pid, number(event, "fd")), of(text(event, "end")));
            }
            "closed" => {
                let was = self.0.remove(&(pid, number(event, "fd")));
                assert_eq!(was, Some(of(text(event, "end"))), "closes what it holds: {event}");
            }
            _ => {}
        }
    }

    /// As the workload wrote it down: `hold PID FD pipe:[INODE] END` lines.
    pub fn told(text: &str) -> Self {
        let rows = text.lines().filter_map(|line| line.strip_prefix("hold "));
        Self(
            rows.map(|row| {
                let words: Vec<&str> = row.split(' ').collect();
                ((words[0].parse().unwrap(), words[1].parse().unwrap()), format!("{} {}", words[2], words[3]))
            })
            .collect(),
        )
    }
}
