//! Descriptor tables, as rows of the iterator that finds them at a start.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};

use ipcscope_common::{
    Header,
    descriptor::{CHANNEL_PATH, ChannelPath, CloseRange, Descriptor, END_READ, END_WRITE, FOUND_HELD, change, object},
    mqueue::{MQUEUE_FACTS, MqueueFacts, MqueueName},
    object::{OBJECT_FACTS, ObjectFacts},
    pipe::{PIPE_UNSEEN, PipeUnseen},
    socket::{self, AF_UNIX, SocketChange},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

/// A channel by its inode: device and number.
type Key = (u32, u64);

/// Names and ends out of sight that are kept without looking whether anybody holds the channel still.
const KEPT: usize = 4096;

fn key(row: &Descriptor) -> Key {
    (row.dev, row.ino)
}

#[derive(Clone, Debug, Default)]
struct Table {
    users: u32,
    held: BTreeMap<i32, Descriptor>,
    unseen: bool,
}

/// All tables, and what is known of the channels in them.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    by_files: HashMap<u64, Table>,
    /// Ends of processes outside the trace, when it began.
    outside: Vec<Descriptor>,
    /// Ends that a message took along: anybody may have them.
    sent: HashMap<Key, Descriptor>,
    paths: HashMap<Key, ChannelPath>,
    facts: HashMap<Key, MqueueFacts>,
    objects: HashMap<Key, ObjectFacts>,
    after_exec: HashMap<u32, Vec<Descriptor>>,
}

impl Tables {
    pub fn use_table(&mut self, files: u64) {
        self.by_files.entry(files).or_default().users += 1;
    }

    pub fn leave_table(&mut self, files: u64) {
        let Some(table) = self.by_files.get_mut(&files) else { return };
        table.users = table.users.saturating_sub(1);
        if table.users == 0 {
            self.by_files.remove(&files);
        }
    }

    /// A new process has a copy.
    pub fn copy(&mut self, from: u64, to: u64) {
        let Some(table) = self.by_files.get(&from) else { return };
        let copy = Table { users: 0, ..table.clone() };
        self.by_files.insert(to, copy);
    }

    pub fn descriptor(&mut self, record: &Descriptor) {
        let table = self.by_files.entry(record.files).or_default();
        match record.change {
            change::CLOSED => {
                table.held.remove(&record.fd);
            }
            change::RESIZED if record.ret >= 0 => {
                let all = self.by_files.values_mut().flat_map(|table| table.held.values_mut());
                all.filter(|held| key(held) == key(record)).for_each(|held| held.slots = record.slots);
            }
            change::SENT => {
                self.sent.insert(key(record), *record);
                self.prune();
            }
            change::RESIZED | change::CHANGED => {}
            change => {
                table.held.insert(record.fd, *record);
                if change == change::CREATED {
                    // Another channel had the number before.
                    self.sent.remove(&key(record));
                }
            }
        }
    }

    /// Sockets that calls of their own make.
    pub fn socket(&mut self, record: &SocketChange) {
        use socket::change::{ACCEPTED, CREATED, PAIRED};
        if !matches!(record.change, CREATED | PAIRED | ACCEPTED) {
            return;
        }
        let end = &record.end;
        let kind = end.kind | if end.family == AF_UNIX { 0 } else { object::INET };
        let mut held = Descriptor::new_zeroed();
        (held.header, held.ino, held.dev, held.address) = (record.header, end.ino, end.dev, end.sock);
        (held.file, held.files, held.fd) = (record.file, record.files, record.fd);
        (held.object, held.end) = (object::SOCKET | kind << object::MECHANISM, END_READ | END_WRITE);
        (held.slots, held.flags) = (end.peer_ino as u32, record.flags);
        self.sent.remove(&key(&held));
        self.by_files.entry(record.files).or_default().held.insert(record.fd, held);
    }

    pub fn held(&mut self, row: Descriptor) {
        self.after_exec.entry(row.header.tid).or_default().push(row);
    }

    /// The table after an exec is what was told before it.
    pub fn exec(&mut self, tid: u32, before: Option<u64>, files: u64) {
        let rows = self.after_exec.remove(&tid).unwrap_or_default();
        let unseen = before.and_then(|before| self.by_files.get(&before)).is_some_and(|table| table.unseen);
        if before != Some(files) {
            self.use_table(files);
            if let Some(before) = before {
                self.leave_table(before);
            }
        }
        let table = self.by_files.entry(files).or_default();
        table.unseen |= unseen;
        table.held = rows.into_iter().map(|row| (row.fd, row)).collect();
    }

    pub fn found(&mut self, row: Descriptor, is_ours: bool) {
        if is_ours {
            self.by_files.entry(row.files).or_default().held.insert(row.fd, row);
        } else {
            self.outside.push(row);
        }
    }

    pub fn close_range(&mut self, range: &CloseRange) {
        let Some(table) = self.by_files.get_mut(&range.files) else { return };
        table.held.retain(|fd, _| u32::try_from(*fd).is_ok_and(|fd| fd < range.first || fd > range.last));
    }

    pub fn path(&mut self, path: &ChannelPath) {
        self.paths.insert((path.dev, path.ino), *path);
        self.prune();
    }

    pub fn facts(&mut self, facts: &MqueueFacts) {
        self.facts.insert((facts.dev, facts.ino), *facts);
        self.prune();
    }

    pub fn object(&mut self, facts: &ObjectFacts) {
        // What an eventfd counted then it need not count by now; whose it is, is not known either way.
        self.objects.insert((0, facts.ino), *facts);
        self.prune();
    }

    /// The name may belong to another queue from now on: that of the queue that had it is not told.
    pub fn removed(&mut self, name: &MqueueName) {
        self.facts.retain(|_, facts| facts.dev != name.dev || facts.name != name.name);
    }

    pub fn unseen(&mut self, record: PipeUnseen) {
        self.by_files.entry(record.files).or_default().unseen = true;
    }

    /// What nobody holds is forgotten.
    fn prune(&mut self) {
        if self.paths.len() + self.facts.len() + self.objects.len() + self.sent.len() < KEPT {
            return;
        }
        let held: HashSet<Key> = self.by_files.values().flat_map(|table| table.held.values().map(key)).collect();
        self.paths.retain(|key, _| held.contains(key));
        self.facts.retain(|key, _| held.contains(key));
        self.objects.retain(|key, _| held.contains(key));
        // An end out of sight may come back, so those stay as long as there is room.
        if self.sent.len() > KEPT {
            self.sent.retain(|key, _| held.contains(key));
        }
    }

    /// What an exec that is under way has told so far.
    pub fn before_exec(&self, rows: &mut Vec<Vec<u8>>) {
        let told = self.after_exec.values().flatten();
        rows.extend(told.map(|row| row.as_bytes().to_vec()));
    }

    /// Everything as rows. `holders`: for each table, in whose name its descriptors are told.
    pub fn rows(&self, holders: &BTreeMap<u64, Header>, time: u64, rows: &mut Vec<Vec<u8>>) {
        let nobody = Header::default();
        let as_found = |row: &Descriptor, of: &Header, files: u64| {
            let header = Header { time, seq: 0, cpu: 0, kind: FOUND_HELD, tid: of.tid, tgid: of.tgid };
            let (entered, ret, change, other, nr) = (0, 0, 0, -1, -1);
            Descriptor { header, entered, ret, change, other, nr, files, ..*row }.as_bytes().to_vec()
        };
        rows.extend(self.outside.iter().map(|row| as_found(row, &row.header, row.files)));
        rows.extend(self.sent.values().map(|row| as_found(row, &nobody, 0)));
        let mut told = HashSet::default();
        for (files, of) in holders {
            let Some(table) = self.by_files.get(files) else { continue };
            for held in table.held.values() {
                if told.insert(key(held)) {
                    self.names(held, time, rows);
                }
                rows.push(as_found(held, of, *files));
            }
            if table.unseen {
                let header = Header { time, kind: PIPE_UNSEEN, tid: of.tid, tgid: of.tgid, ..nobody };
                rows.push(PipeUnseen { header, files: *files }.as_bytes().to_vec());
            }
        }
    }

    /// What the channel of a descriptor is called, before it.
    fn names(&self, held: &Descriptor, time: u64, rows: &mut Vec<Vec<u8>>) {
        if let Some(path) = self.paths.get(&key(held)) {
            let header = Header { time, seq: 0, cpu: 0, kind: CHANNEL_PATH, ..path.header };
            // How often it has been opened since says nothing to who did not see it.
            let path = ChannelPath { header, opened_to_read: 0, opened_to_write: 0, ..*path };
            rows.push(path.as_bytes().to_vec());
        }
        if let Some(facts) = self.facts.get(&key(held)) {
            let header = Header { time, seq: 0, cpu: 0, kind: MQUEUE_FACTS, ..facts.header };
            rows.push(MqueueFacts { header, ..*facts }.as_bytes().to_vec());
        }
        if let Some(facts) = self.objects.get(&key(held)) {
            let header = Header { time, seq: 0, cpu: 0, kind: OBJECT_FACTS, ..facts.header };
            rows.push(ObjectFacts { header, ..*facts }.as_bytes().to_vec());
        }
    }
}
