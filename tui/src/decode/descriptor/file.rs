//! Named pipes as files: who makes one, and who may not open it.
//!
//! Invariant: one that is told of before it was ever opened is called the same when somebody opens it. Tested live in
//! tui/tests/live_fifos.rs.

use foldhash::HashMap;
use ipcscope_common::file::FileCall;

use super::{names, new_name, path::Named};
use crate::{
    decode::Decoder,
    event::{ChannelChange, ChannelEvent, ChannelId, ChannelType, Kind, Task, text},
};

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
        told.error = (record.ret < 0).then(|| names::errno(record.ret));
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
