//! POSIX message queues: what they are called, how they come and go.
//!
//! A queue is an inode; its descriptors are kept with those of other channels ([`super::descriptor`]), its messages with
//! those of System V queues ([`super::queue`]): the kernel makes and frees both in the same functions.
//!
//! Invariant: a queue keeps its name as long as it lives, unlinked or not; the next one of that name is another channel.
//! Tests: the table at the end; programs that number their messages (tui/tests/live_mqueues.rs).

mod transfer;

use foldhash::HashMap;

use ipcscope_common::{
    descriptor::Descriptor,
    mqueue::{MqueueFacts, MqueueName},
};

use super::{
    Decoder,
    descriptor::{Key, new_name},
    names,
};
use crate::event::{ChannelChange, ChannelEvent, ChannelId, ChannelType, Kind, Task, text};

/// Bits of `i_mode` that are permissions.
const PERMISSIONS: u32 = 0o7777;

/// What the kernel says of a queue.
#[derive(Clone, Debug, PartialEq)]
struct Facts {
    /// With its slash, escaped.
    name: String,
    mode: u32,
    owner: u32,
    messages: u64,
    message_size: u64,
}

/// A queue in the stream.
#[derive(Clone, Debug)]
pub struct Mqueue {
    /// What it is called.
    pub id: ChannelId,
    /// Descriptors in the trace.
    pub holders: u32,
    facts: Option<Facts>,
    /// It has no name any more.
    removed: bool,
    /// When it was seen first.
    since: u64,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Mqueues {
    by_key: HashMap<Key, Mqueue>,
    /// Those that had a name in a file system, the oldest first.
    named: HashMap<(u32, String), Vec<Key>>,
}

/// A name up to its NUL, with its slash, escaped; `None`: it is not known.
fn name(bytes: &[u8]) -> Option<String> {
    let name = bytes.split(|byte| *byte == 0).next().filter(|name| !name.is_empty())?;
    Some(format!("/{}", text::escape(name)))
}

fn id_of(name: &str) -> String {
    format!("posix-mq:{name}")
}

impl Mqueues {
    /// The queue with that inode.
    pub fn get(&self, key: Key) -> Option<&Mqueue> {
        self.by_key.get(&key)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut Mqueue> {
        self.by_key.get_mut(&key)
    }

    /// The queue with that inode, called by it if a loss has hidden its name.
    pub fn ensure(&mut self, key: Key, now: u64, names: &mut HashMap<String, u32>) -> &mut Mqueue {
        self.by_key.entry(key).or_insert_with(|| Mqueue {
            id: new_name(names, format!("posix-mq:[{}]", key.1)),
            holders: 0,
            facts: None,
            removed: false,
            since: now,
        })
    }

    /// A queue is this.
    fn see(&mut self, key: Key, facts: Facts, now: u64, names: &mut HashMap<String, u32>) {
        if let Some(known) = self.by_key.get_mut(&key) {
            match &known.facts {
                // The number belongs to another queue by now.
                Some(before) if before.name != facts.name => self.forget(key),
                Some(_) => {
                    known.facts = Some(facts);
                    return;
                }
                // Called by its number already.
                None => {
                    self.named.entry((key.0, facts.name.clone())).or_default().push(key);
                    known.facts = Some(facts);
                    return;
                }
            }
        }
        let place = (key.0, facts.name.clone());
        // Those that had the name before have lost it, whoever took it: of the last one, a call may still tell.
        let before = self.named.get(&place).cloned().unwrap_or_default();
        for key in before.iter().rev().skip(1) {
            if self.by_key.get(key).is_none_or(|queue| queue.holders == 0) {
                self.forget(*key);
            }
        }
        self.named.entry(place).or_default().push(key);
        let id = new_name(names, id_of(&facts.name));
        self.by_key.insert(key, Mqueue { id, holders: 0, facts: Some(facts), removed: false, since: now });
    }

    fn forget(&mut self, key: Key) {
        let Some(Mqueue { facts: Some(facts), .. }) = self.by_key.remove(&key) else { return };
        let place = (key.0, facts.name);
        if let Some(list) = self.named.get_mut(&place) {
            list.retain(|other| *other != key);
            if list.is_empty() {
                self.named.remove(&place);
            }
        }
    }

    /// Nobody in the trace holds it any more: with its name gone, it is gone.
    pub fn sweep(&mut self, key: Key) {
        if self.by_key.get(&key).is_some_and(|queue| queue.holders == 0 && queue.removed) {
            self.forget(key);
        }
    }

    /// The queue that has that name now.
    fn current(&self, dev: u32, name: &str) -> Option<&Mqueue> {
        let key = self.named.get(&(dev, name.to_owned()))?.last()?;
        self.by_key.get(key).filter(|queue| !queue.removed)
    }

    /// A call that began at `entered` took that name away: from which queue? One that was seen before then had it, if it
    /// is the last such; else it went from the one before to one that was made meanwhile.
    fn remove(&mut self, dev: u32, name: &str, entered: u64) -> Option<Key> {
        let list = self.named.get(&(dev, name.to_owned()))?;
        let linked = |key: &&Key| self.by_key.get(key).is_some_and(|queue| !queue.removed);
        let before = |key: &&Key| self.by_key.get(key).is_some_and(|queue| queue.since < entered);
        let key = *list.iter().filter(linked).rfind(before).or_else(|| list.iter().find(linked))?;
        self.by_key.get_mut(&key)?.removed = true;
        Some(key)
    }
}

impl Mqueue {
    /// Adds what is known of it.
    pub fn describe(&self, event: &mut ChannelEvent) {
        let Some(facts) = &self.facts else { return };
        event.name = Some(facts.name.clone());
        event.mode = Some(format!("{:o}", facts.mode & PERMISSIONS));
        event.owner = Some(facts.owner);
        event.capacity = Some(facts.messages.saturating_mul(facts.message_size));
        event.slots = u32::try_from(facts.messages).ok();
    }
}

impl Decoder {
    /// What the queue of the next descriptor is.
    pub(super) fn mqueue_facts(&mut self, record: &MqueueFacts) {
        let Some(name) = name(&record.name) else { return };
        let facts = Facts {
            name,
            mode: record.mode,
            owner: record.owner,
            messages: record.messages,
            message_size: record.message_size,
        };
        let channels = &mut self.channels;
        channels.mqueues.see((record.dev, record.ino), facts, record.header.time, &mut channels.names);
    }

    /// What happened to a descriptor of a queue, where nothing but the queue tells it from others'.
    pub(super) fn describe_mqueue(&self, record: &Descriptor, event: &mut ChannelEvent) {
        if let Some(queue) = self.channels.mqueues.get((record.dev, record.ino)) {
            queue.describe(event);
        }
    }

    /// mq_open(2) failed.
    pub(super) fn mqueue_refused(&mut self, record: &MqueueName) {
        let name = name(&record.name);
        let current = name.as_ref().and_then(|name| self.channels.mqueues.current(record.dev, name));
        let id = current.map(|queue| queue.id.clone());
        self.tell_mqueue(record, id, name, ChannelChange::Refused);
    }

    /// mq_unlink(2) returned.
    pub(super) fn mqueue_removed(&mut self, record: &MqueueName) {
        let name = name(&record.name);
        let channels = &mut self.channels;
        let mut id = None;
        if let Some(name) = name.as_ref().filter(|_| record.ret == 0) {
            let key = channels.mqueues.remove(record.dev, name, record.entered);
            let known = key.and_then(|key| channels.mqueues.get(key)).map(|queue| queue.id.clone());
            // Of one that nobody in the trace has opened, this is all there is.
            id = Some(known.unwrap_or_else(|| new_name(&mut channels.names, id_of(name))));
            if let Some(key) = key {
                channels.mqueues.sweep(key);
            }
        } else if let Some(name) = &name {
            id = channels.mqueues.current(record.dev, name).map(|queue| queue.id.clone());
        }
        self.tell_mqueue(record, id, name, ChannelChange::Removed);
    }

    fn tell_mqueue(&mut self, record: &MqueueName, id: Option<ChannelId>, name: Option<String>, change: ChannelChange) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let op = self.tasks.op(task.tid, task.pid, record.entered);
        let call = self.call(task, op, record.nr, (record.entered, header.time));
        // There may be no queue to name: the name that was asked for is all there is.
        let asked = || ChannelId(id_of(name.as_deref().unwrap_or("/")).into());
        let mut event = ChannelEvent::new(id.unwrap_or_else(asked), ChannelType::PosixMq, change);
        event.error = (record.ret < 0).then(|| names::errno(record.ret));
        event.name = name;
        event.call = Some(call);
        self.push(header.time, task, Kind::Channel(Box::new(event)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str) -> Facts {
        Facts { name: name.to_owned(), mode: 0o100_600, owner: 0, messages: 10, message_size: 100 }
    }

    /// Queues of one file system, seen in order: inode, name, when.
    fn seen(rows: &[(u64, &str, u64)]) -> (Mqueues, HashMap<String, u32>) {
        let (mut queues, mut names) = (Mqueues::default(), HashMap::default());
        for (ino, name, time) in rows {
            queues.see((1, *ino), facts(name), *time, &mut names);
        }
        (queues, names)
    }

    fn hold(queues: &mut Mqueues, ino: u64, holders: u32) {
        if let Some(queue) = queues.get_mut((1, ino)) {
            queue.holders = holders;
        }
    }

    fn called(queues: &Mqueues, ino: u64) -> String {
        queues.get((1, ino)).map(|queue| queue.id.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_name_that_is_used_again_is_another_channel() {
        let (mut queues, mut names) = seen(&[(7, "/a", 10), (7, "/a", 20)]);
        assert_eq!(called(&queues, 7), "posix-mq:/a");
        hold(&mut queues, 7, 1);
        assert_eq!(queues.remove(1, "/a", 30), Some((1, 7)));
        assert!(queues.current(1, "/a").is_none());
        queues.see((1, 8), facts("/a"), 40, &mut names);
        assert_eq!((called(&queues, 7), called(&queues, 8)), ("posix-mq:/a".into(), "posix-mq:/a#2".into()));
        // The first lives as long as somebody holds it.
        hold(&mut queues, 7, 0);
        queues.sweep((1, 7));
        assert!(queues.get((1, 7)).is_none());
        queues.sweep((1, 8));
        assert!(queues.current(1, "/a").is_some());
    }

    #[test]
    fn an_unlink_that_ends_late_is_about_the_one_that_was_there() {
        let (mut queues, _) = seen(&[(7, "/a", 10), (8, "/a", 25)]);
        // It began before the second was made and was told after that.
        assert_eq!(queues.remove(1, "/a", 20), Some((1, 7)));
        assert_eq!(queues.remove(1, "/a", 30), Some((1, 8)));
        assert_eq!(queues.remove(1, "/a", 40), None);
        // The first was unlinked by somebody else.
        let (mut queues, _) = seen(&[(7, "/a", 10), (8, "/a", 25)]);
        assert_eq!(queues.remove(1, "/a", 30), Some((1, 8)));
    }

    #[test]
    fn one_file_system_knows_nothing_of_another() {
        let (mut queues, mut names) = seen(&[(7, "/a", 10)]);
        queues.see((2, 7), facts("/a"), 20, &mut names);
        assert_eq!(queues.get((2, 7)).map(|queue| queue.id.to_string()).unwrap_or_default(), "posix-mq:/a#2");
        assert_eq!(queues.remove(2, "/a", 30), Some((2, 7)));
        assert!(queues.current(1, "/a").is_some());
    }

    #[test]
    fn what_a_loss_has_hidden_is_called_by_its_number() {
        let (mut queues, mut names) = seen(&[]);
        assert_eq!(queues.ensure((1, 7), 10, &mut names).id.to_string(), "posix-mq:[7]");
        queues.see((1, 7), facts("/a"), 20, &mut names);
        assert_eq!(called(&queues, 7), "posix-mq:[7]");
        assert_eq!(queues.current(1, "/a").map(|queue| queue.id.to_string()).unwrap_or_default(), "posix-mq:[7]");
    }

    #[test]
    fn names_are_escaped_and_may_be_missing() {
        assert_eq!(name(b"a\x1b\0rest").as_deref(), Some("/a\\x1b"));
        assert_eq!(name(b"\0"), None);
    }
}
