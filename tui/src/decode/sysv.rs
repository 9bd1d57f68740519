//! System V objects by their ids: what they are called, and which of several that had an id one after the other is meant.
//!
//! Invariant: an object keeps its name as long as it lives; the next one of that id is another channel. Tests: live, with
//! each mechanism.

use foldhash::HashMap;

use super::{descriptor::new_name, names};
use crate::event::{ChannelEvent, ChannelId};

/// `IPC_RMID` and `IPC_SET`, the commands of msgctl(2), shmctl(2) and semctl(2).
pub const IPC_RMID: i32 = 0;
pub const IPC_SET: i32 = 1;
/// Flags of msgget(2), shmget(2) and semget(2).
const IPC_CREAT: i32 = 0o1000;
const IPC_EXCL: i32 = 0o2000;

/// An object by its namespace and id.
pub type Key = (u32, i32);
/// How often each name was given out.
pub type Names = HashMap<String, u32>;

/// All of one mechanism.
#[derive(Clone, Debug)]
pub struct Objects {
    /// What their names begin with.
    prefix: &'static str,
    known: HashMap<Key, Object>,
}

#[derive(Clone, Debug)]
struct Object {
    id: ChannelId,
    /// It has been removed; calls that waited on it tell of it still.
    removed: bool,
}

/// What a call that looks an object up by its key says of it.
pub struct Lookup {
    /// The key, 0 (`IPC_PRIVATE`) included.
    pub key: u32,
    /// `IPC_CREAT` and so on.
    pub flags: i32,
    /// It looks as if made by this very call.
    pub fresh: bool,
}

impl Objects {
    /// None yet.
    pub fn new(prefix: &'static str) -> Self {
        Self { prefix, known: HashMap::default() }
    }

    /// What the object is called, if it is known.
    pub fn name(&self, key: Key) -> Option<ChannelId> {
        self.known.get(&key).map(|object| object.id.clone())
    }

    /// There is an object of that id now: not the one that was removed. `created`: it is from this moment on.
    pub fn appear(&mut self, key: Key, created: bool) {
        if created || self.known.get(&key).is_some_and(|object| object.removed) {
            self.known.remove(&key);
        }
    }

    /// What the object is called; true: it is new here.
    pub fn ensure(&mut self, key: Key, names: &mut Names) -> (ChannelId, bool) {
        if let Some(id) = self.name(key) {
            return (id, false);
        }
        let id = new_name(names, format!("{}:{}", self.prefix, key.1));
        self.known.insert(key, Object { id: id.clone(), removed: false });
        (id, true)
    }

    /// It is gone: its id is free for another.
    pub fn remove(&mut self, key: Key) {
        if let Some(object) = self.known.get_mut(&key) {
            object.removed = true;
        }
    }

    /// Whether a call that succeeded made the object: it asked for nothing else, or there was none.
    pub fn made(&self, key: Key, by: &Lookup) -> bool {
        let creates = by.flags & IPC_CREAT != 0;
        let is_known = self.known.get(&key).is_some_and(|object| !object.removed);
        by.key == 0 || creates && by.flags & IPC_EXCL != 0 || creates && by.fresh && !is_known
    }

    /// The name for an object that a call did not get: the key it asked for is all there is.
    pub fn refused(&self, key: u32) -> ChannelId {
        ChannelId(format!("{}:{}", self.prefix, hexadecimal(key)).into())
    }
}

/// A key as ipcs(1) writes it.
pub fn hexadecimal(key: u32) -> String {
    format!("{key:#010x}")
}

/// Adds what every such object has.
pub fn describe(event: &mut ChannelEvent, key: u32, owner: u32, mode: u32) {
    event.key = Some(hexadecimal(key));
    event.owner = Some(owner);
    event.mode = Some(format!("{:03o}", mode & 0o777));
}

/// The errno name of what a call returned, if it failed.
pub fn error(ret: i64) -> Option<&'static str> {
    (-4095..0).contains(&ret).then(|| names::errno(ret))
}
