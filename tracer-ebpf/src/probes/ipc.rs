//! System V objects by their ids: message queues, shared memory, semaphores.

use crate::kernel::{Ptr, field, offset, peek};

/// `IPCMNI_SHIFT`: the part of an id that is its place in the table (ipc/util.h).
const PLACE: u32 = (1 << 15) - 1;

/// The tables among `ipc_namespace.ids` (ipc/util.h, `IPC_SEM_IDS` and so on).
#[derive(Clone, Copy)]
pub enum Table {
    /// Semaphores.
    Sem = 0,
    /// Message queues.
    Msg = 1,
    /// Shared memory.
    Shm = 2,
}

/// A namespace's table.
pub struct Ids {
    /// Its `ipc_ids`.
    ids: u64,
    /// The namespace's number (`ns_common.inum`).
    pub namespace: u32,
}

impl Ids {
    /// That of the current thread, whose `nsproxy` it is.
    #[inline(always)]
    pub fn of(nsproxy: u64, table: Table) -> Self {
        let space: u64 = peek(nsproxy + offset!(nsproxy_ipc) as u64);
        // struct ipc_ids ids[3], then int sem_ctls[4].
        let size = (offset!(ipc_sem_ctls) - offset!(ipc_ids)) as u64 / 3;
        Self {
            ids: space + offset!(ipc_ids) as u64 + table as u64 * size,
            namespace: peek(space + offset!(ipc_inum) as u64),
        }
    }

    /// That of a thread.
    #[inline(always)]
    pub fn of_thread(me: Ptr, table: Table) -> Self {
        Self::of(field!(me, task_nsproxy as u64), table)
    }

    /// How many objects it has.
    #[inline(always)]
    pub fn count(&self) -> u32 {
        peek(self.ids + offset!(ids_in_use) as u64)
    }

    /// The object of that id; 0: there is none.
    #[inline(always)]
    pub fn find(&self, id: u32) -> u64 {
        let object = at(peek(self.ids + offset!(ids_head) as u64), id & PLACE);
        if is(object, id) { object } else { 0 }
    }
}

/// An entry of an `xarray` (lib/xarray.c): nodes are marked by their lowest bits. Four levels are 24 bits.
#[inline(always)]
fn at(head: u64, place: u32) -> u64 {
    let mut entry = head;
    for _ in 0..4 {
        if entry & 3 != 2 || entry <= 4096 {
            break;
        }
        let node = entry - 2;
        let shift: u8 = peek(node + offset!(xa_shift) as u64);
        let slot = u64::from(place >> (shift & 31)) & 63;
        entry = peek(node + offset!(xa_slots) as u64 + slot * 8);
    }
    if entry & 3 == 0 { entry } else { 0 }
}

/// Whether that is the object of that id, and not removed: each begins with its `kern_ipc_perm`.
#[inline(always)]
pub fn is(object: u64, id: u32) -> bool {
    if object == 0 {
        return false;
    }
    // One read where they are as they have been in all kernels so far.
    if offset!(perm_deleted) == 4 && offset!(perm_id) == 8 {
        let words: [u32; 3] = peek(object);
        words[2] == id && words[1] & 0xff == 0
    } else {
        peek::<u32>(object + offset!(perm_id) as u64) == id && peek::<u8>(object + offset!(perm_deleted) as u64) == 0
    }
}

/// Its key, owner and permissions.
#[inline(always)]
pub fn facts(object: u64) -> (u32, u32, u32) {
    let key = peek(object + offset!(perm_key) as u64);
    let uid = peek(object + offset!(perm_uid) as u64);
    (key, uid, u32::from(peek::<u16>(object + offset!(perm_mode) as u64)))
}
