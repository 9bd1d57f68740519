//! Descriptor tables over fork, exec and exit.

use ipcscope_common::descriptor as wire;

use super::super::Decoder;
use super::{Held, end_of, key_of};
use crate::event::{ChannelChange, Kind, PeerPid, Task};

impl Decoder {
    /// A new thread shares its creator's table or gets a copy of it.
    pub(in crate::decode) fn inherit(&mut self, time: u64, child: Task, parent: Task, from: u64, to: u64) {
        self.channels.use_table(to);
        if from == to {
            return;
        }
        let held: Vec<(i32, Held)> = match self.channels.tables.get(&from) {
            Some(table) => table.held.iter().map(|(fd, held)| (*fd, *held)).collect(),
            None => return,
        };
        if self.channels.moves_unseen(from) {
            self.channels.move_unseen(to);
        }
        for (fd, held) in held {
            self.channels.put(to, fd, held);
            if let Some(mut event) = self.channel_event(held, fd, ChannelChange::Inherited) {
                event.peer = Some(PeerPid { pid: parent.pid });
                self.push(time, child, Kind::Channel(Box::new(event)));
            }
        }
    }

    /// A thread ended: with the last one its table closes.
    pub(in crate::decode) fn leave_table(&mut self, time: u64, task: Task, files: u64) {
        self.channels.peers.clear();
        let Some(table) = self.channels.tables.get_mut(&files) else { return };
        table.users = table.users.saturating_sub(1);
        if table.users > 0 {
            return;
        }
        let fds: Vec<i32> = table.held.keys().copied().collect();
        self.close_all(time, task, files, &fds);
        self.channels.tables.remove(&files);
    }

    pub(in crate::decode) fn held(&mut self, record: &wire::Descriptor) {
        let rows = self.channels.after_exec.entry(record.header.tid).or_default();
        rows.push(*record);
    }

    /// The table after an exec is known in full: what is missing was closed by close-on-exec.
    pub(in crate::decode) fn table_after_exec(&mut self, time: u64, task: Task, before: u64, after: u64, first: bool) {
        let rows = self.channels.after_exec.remove(&task.tid).unwrap_or_default();
        if self.channels.moves_unseen(before) {
            self.channels.move_unseen(after);
        }
        if before != after {
            // The exec gave the process a table of its own.
            if let Some(table) = self.channels.tables.get_mut(&before) {
                table.users = table.users.saturating_sub(1);
                let copy: Vec<_> = table.held.iter().map(|(fd, held)| (*fd, *held)).collect();
                for (fd, held) in copy {
                    self.channels.put(after, fd, held);
                }
            }
            self.channels.use_table(after);
        }
        let stay: Vec<i32> = rows.iter().map(|row| row.fd).collect();
        let table = self.channels.tables.entry(after).or_default();
        let close: Vec<i32> = table.held.keys().filter(|fd| !stay.contains(fd)).copied().collect();
        if first {
            // What we opened ourselves between fork and exec is nobody's business.
            for fd in close {
                if let Some(held) = self.channels.take(after, fd) {
                    self.sweep(held.key);
                }
            }
        } else {
            self.close_all(time, task, after, &close);
        }
        for row in rows {
            let held = Held { key: key_of(&row), end: end_of(&row), file: row.file };
            let table = self.channels.tables.entry(after).or_default();
            let known = table.held.get(&row.fd) == Some(&held);
            if !known || first {
                if !self.channels.ensure_of(&row, false) {
                    continue;
                }
                if !known {
                    self.channels.put(after, row.fd, held);
                }
                self.attached(time, task, &row, held);
            }
        }
    }
}
