//! Named pipes: what they are called, and whether their bytes are known from the first.
//!
//! The kernel makes a FIFO's pipe when somebody opens it first and drops it with the last end. It counts every open since
//! (`fifo_open`, fs/pipe.c): if that is as many as the trace knows of, nothing has gone through it that was not seen.
//!
//! Invariants: one file keeps its name, however often it is opened anew; a path that was not read to its end is none.

use ipcscope_common::descriptor::{ChannelPath, PART_LEN, PATH_PARTS};

use super::new_name;
use crate::{
    decode::Decoder,
    event::{ChannelEvent, ChannelId, text},
};

/// Bits of `i_mode` that are permissions.
const PERMISSIONS: u32 = 0o7777;

/// Where a named pipe is, and whose.
#[derive(Clone, Debug)]
pub struct Named {
    /// The path, escaped.
    pub path: String,
    /// What the channel is called.
    pub id: ChannelId,
    pub(super) mode: u32,
    pub(super) owner: u32,
    /// Mode and owner are known.
    pub(super) is_seen: bool,
}

impl Named {
    /// Adds what is known of the file.
    pub fn describe(&self, event: &mut ChannelEvent) {
        event.name = Some(self.path.clone());
        if self.is_seen {
            event.mode = Some(format!("{:o}", self.mode & PERMISSIONS));
            event.owner = Some(self.owner);
        }
    }
}

/// The path, escaped; `None` if a part of it is missing.
fn path(record: &ChannelPath) -> Option<String> {
    let count = usize::try_from(record.count).ok().filter(|count| (1..=PATH_PARTS).contains(count))?;
    let mut path = Vec::new();
    for part in record.parts.get(..count)?.iter().rev() {
        let name = part.split(|byte| *byte == 0).next().unwrap_or_default();
        // One that fills its place may go on.
        if name.is_empty() || name.len() >= PART_LEN - 1 {
            return None;
        }
        path.push(b'/');
        path.extend(name);
    }
    Some(text::escape(&path))
}

impl Decoder {
    pub(in crate::decode) fn channel_path(&mut self, record: &ChannelPath) {
        let key = (record.dev, record.ino);
        let channels = &mut self.channels;
        // Both counters begin with 1 (`alloc_pipe_info`), as if for pipe(2).
        if let (Some(to_read), Some(to_write)) =
            (record.opened_to_read.checked_sub(1), record.opened_to_write.checked_sub(1))
        {
            channels.opened.insert(key, (to_read, to_write));
        }
        let Some(path) = path(record) else { return };
        let (mode, owner) = (record.mode, record.owner);
        let id = match channels.paths.get(&key) {
            Some(named) if named.path == path => named.id.clone(),
            // One that was told of before it was opened has its name.
            _ => {
                let made = channels.made.remove(&path);
                made.unwrap_or_else(|| new_name(&mut channels.names, format!("fifo:{path}")))
            }
        };
        channels.paths.insert(key, Named { path, id, mode, owner, is_seen: true });
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    fn record(parts: &[&str]) -> ChannelPath {
        let mut record = ChannelPath::new_zeroed();
        for (to, from) in record.parts.iter_mut().zip(parts) {
            for (to, from) in to.iter_mut().zip(from.bytes()) {
                *to = from;
            }
        }
        record.count = parts.len() as u32;
        record
    }

    #[test]
    fn a_path_is_whole_or_none() {
        assert_eq!(path(&record(&["f", "dir", "tmp"])).as_deref(), Some("/tmp/dir/f"));
        assert_eq!(path(&record(&["a\x1b b", "tmp"])).as_deref(), Some("/tmp/a\\x1b b"));
        assert_eq!(path(&record(&[])), None);
        assert_eq!(path(&record(&["f", "", "tmp"])), None);
        assert_eq!(path(&record(&["f", &"d".repeat(63), "tmp"])), None);
        let cut = ChannelPath { count: PATH_PARTS as u32 + 1, ..record(&["f", "tmp"]) };
        assert_eq!(path(&cut), None);
    }
}
