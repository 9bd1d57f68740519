//! The hosts of a merged trace.
//!
//! Two hosts may use the same process id at a time. So within the program the id of a process of a merged trace has the
//! number of its host in its upper bits, and whoever shows one shows [`number`], with the host's name where there is one
//! ([`Hosts::shown`]). Invariant: in a trace that is not merged an id is its number, since the kernel gives no larger ones
//! (`PID_MAX_LIMIT`, include/linux/threads.h: 2^22).

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Serialize, Serializer};

use super::Event;

/// Bits of a process id that the kernel uses.
const BITS: u32 = 22;

/// Hosts that a merged trace can have.
pub const MAX_HOSTS: usize = 64;

/// A host's name in a merged trace, escaped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Host(pub Arc<str>);

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for Host {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

/// A process or thread id as its kernel has it.
pub fn number(id: u32) -> u32 {
    id & ((1 << BITS) - 1)
}

/// The id within the program of a process or thread of the host with that place.
pub fn on_host(id: u32, host: usize) -> u32 {
    number(id) | ((host % MAX_HOSTS) as u32) << BITS
}

/// The place of its host, from an id within the program.
pub fn host_place(id: u32) -> usize {
    (id >> BITS) as usize
}

/// The names of hosts, learned from events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(BTreeMap<u32, Host>);

impl Hosts {
    /// Takes note of an event's host.
    pub fn learn(&mut self, event: &Event) {
        if let (Some(task), Some(host)) = (event.task, &event.host)
            && self.0.len() < MAX_HOSTS
        {
            self.0.entry(task.pid >> BITS).or_insert_with(|| host.clone());
        }
    }

    /// The host of a process or thread, in a merged trace.
    pub fn of(&self, id: u32) -> Option<&Host> {
        self.0.get(&(id >> BITS))
    }

    /// A process or thread id for people: `4711`, in a merged trace `4711@beta`.
    pub fn shown(&self, id: u32) -> String {
        shown(id, self.of(id))
    }
}

/// The same, where the host is known.
pub fn shown(id: u32, host: Option<&Host>) -> String {
    match host {
        Some(host) => format!("{}@{host}", number(id)),
        None => number(id).to_string(),
    }
}

/// A process or thread id in JSON.
pub fn as_number<S: Serializer>(id: &u32, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_u32(number(*id))
}

/// The same, where there may be none.
pub fn as_number_if_any<S: Serializer>(id: &Option<u32>, s: S) -> Result<S::Ok, S::Error> {
    id.map(number).serialize(s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Comm, Kind, Mask, Nanos, SignalSet, Task};

    #[test]
    fn the_same_number_on_two_hosts_is_two_ids_and_reads_as_one_number() {
        let ids = [on_host(4711, 0), on_host(4711, 1), on_host(4711, MAX_HOSTS - 1)];
        assert!(ids[0] == 4711 && ids[1] != ids[0] && ids[2] != ids[1]);
        assert_eq!(ids.map(number), [4711; 3]);
        let mut hosts = Hosts::default();
        assert_eq!(hosts.shown(4711), "4711");
        let kind = Kind::Mask(Mask { blocked: SignalSet::default() });
        let task = Some(Task { pid: ids[1], tid: ids[1] });
        let host = Some(Host::from("beta"));
        hosts.learn(&Event { t: Nanos(0), seq: 0, task, comm: Some(Comm::new(b"x")), ns_pid: None, host, kind });
        assert_eq!((hosts.shown(ids[1]), hosts.shown(ids[0])), ("4711@beta".to_owned(), "4711".to_owned()));
    }
}
