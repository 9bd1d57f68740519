//! Named pipes: what they are called, and whether their bytes are known from the first.
//!
//! The kernel makes a FIFO's pipe when somebody opens it first and drops it with the last end. It counts every open since
//! (`fifo_open`, fs/pipe.c): if that is as many as the trace knows of, nothing has gone through it that was not seen.
//!
//! Invariants: one file keeps its name, however often it is opened anew; a path that was not read to its end is none.

use foldhash::HashMap;
use ipcscope_common::{
    descriptor::{ChannelPath, PART_LEN, PATH_PARTS},
    file::FileCall,
};

use super::{names, new_name};
use crate::{
    decode::Decoder,
    event::{ChannelChange, ChannelEvent, ChannelId, ChannelType, Kind, Task, text},
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
    mode: u32,
    owner: u32,
    /// Mode and owner are known.
    is_seen: bool,
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

/// Named pipes that were made in the trace and that nobody has opened yet, by path.
pub type Made = HashMap<String, ChannelId>;

impl Decoder {
    /// A named pipe was made, or one may not be opened.
    pub(in crate::decode) fn file_call(&mut self, record: &FileCall) {
        if record.mode == 0 {
            // Anything else.
            return;
        }
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let path = text::escape(record.given.split(|byte| *byte == 0).next().unwrap_or_default());
        let change = if record.ret < 0 { ChannelChange::Refused } else { ChannelChange::Created };
        let id = self.name_file(record, &path, change);
        let named = Named { path, id, mode: record.mode, owner: record.owner, is_seen: record.ino != 0 };
        let op = self.tasks.op(task.tid, task.pid, record.entered);
        let mut told = ChannelEvent::new(named.id.clone(), ChannelType::Fifo, change);
        named.describe(&mut told);
        told.error = (record.ret < 0).then(|| names::errno(-record.ret as i32));
        told.call = Some(self.call(task, op, record.nr, (record.entered, header.time)));
        self.push(header.time, task, Kind::Channel(Box::new(told)));
    }

    /// What the named pipe is called.
    fn name_file(&mut self, record: &FileCall, path: &str, change: ChannelChange) -> ChannelId {
        let channels = &mut self.channels;
        let is_new = change == ChannelChange::Created;
        if is_new {
            // What had that path, or the number, is gone.
            channels.paths.retain(|key, named| named.path != path && *key != (record.dev, record.ino));
        }
        let known = channels.paths.get(&(record.dev, record.ino)).filter(|named| named.path == path && !is_new);
        // Overlays have numbers of their own for open files: of another device the path must do.
        let elsewhere = || {
            let mut all = channels.paths.iter().filter(|((dev, _), named)| named.path == path && *dev != record.dev);
            all.next().map(|(_, named)| named).filter(|_| !is_new)
        };
        if let Some(named) = known.or_else(elsewhere) {
            return named.id.clone();
        }
        if let Some(id) = channels.made.get(path).filter(|_| !is_new) {
            return id.clone();
        }
        let id = new_name(&mut channels.names, format!("fifo:{path}"));
        channels.made.insert(path.to_owned(), id.clone());
        id
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
