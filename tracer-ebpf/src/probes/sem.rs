//! System V semaphores: operations on sets of them.
//!
//! What a thread waits for is done for it by the call that makes it possible (ipc/sem.c, `do_smart_update`), which then
//! wakes it. So a call that may change a value is told when it begins: whoever it wakes can name it.

use ipcscope_common::{
    call::class,
    descriptor::object,
    sem::{self, OPERATIONS, Operation, SEM_BEGIN, SEM_CALL, SemBegin, SemCall, state},
    settings::lost,
};

use super::{
    call::{end, interrupted, leave},
    ipc::{self, Ids, Table},
};
use crate::{
    emit::{emit, header, reserve},
    kernel::{Ptr, copy_user, offset, peek},
    task::{PAYLOAD, Task, with_payload},
};

/// Commands of semctl(2).
const IPC_SET: u64 = 1;
const SETVAL: u64 = 16;
const SETALL: u64 = 17;
/// Its number.
const SEMTIMEDOP: i32 = 220;
/// Bytes of a `sembuf`, and of those that are told.
const ONE: usize = size_of::<Operation>();
const ALL: usize = OPERATIONS * ONE;
const _: () = assert!(ALL < PAYLOAD);

/// Whether a command of semctl(2) changes something.
#[inline(always)]
fn changes(command: u64) -> bool {
    let command = command & 0xff;
    command <= IPC_SET || command == SETVAL || command == SETALL
}

/// A call on semaphores begins.
#[inline(always)]
pub fn begin(me: Ptr) {
    let Some((task, payload)) = with_payload(me) else { return };
    let [arg0, arg1, command, fourth, ..] = task.args;
    let ids = Ids::of_thread(me, Table::Sem);
    task.payload_len = 0;
    if task.class == class::SEMGET {
        // As many as there are before.
        task.requested = u64::from(ids.count());
        return;
    }
    let end = &mut task.ends[0];
    end.object = object::SEM;
    end.in_use = 1;
    // What was known of a descriptor's file is not known any more.
    (end.file, end.address) = (0, 0);
    (end.ino, end.dev) = (u64::from(arg0 as u32), ids.namespace);
    if task.class == class::SEMCTL && !changes(command) {
        return;
    }
    if task.class == class::SEMOP {
        let count = command;
        task.requested = count;
        let bytes = if count < OPERATIONS as u64 { count as u32 * ONE as u32 } else { ALL as u32 };
        if bytes != 0 && copy_user::<PAYLOAD>(payload, arg1, bytes) {
            task.payload_len = bytes;
        }
    }
    let header = header(SEM_BEGIN, task.entered, task.tid, task.tgid);
    let timed = task.number() == SEMTIMEDOP && fourth != 0;
    let command = match task.class {
        class::SEMCTL => command as i32,
        _ if timed => sem::TIMED,
        _ => -1,
    };
    emit(lost::IPC, SemBegin { header, id: arg0 as i32, namespace: ids.namespace, nr: task.nr, command });
}

/// It returned.
#[inline(always)]
pub fn finish(me: Ptr) {
    let Some((task, payload)) = with_payload(me) else { return };
    tell(task, payload, me);
    if interrupted(task.ret) || task.watched != 0 {
        end(task, task.ret, task.returned);
    }
    leave(task, me);
}

#[inline(always)]
fn tell(task: &Task, payload: &[u8; PAYLOAD], me: Ptr) {
    let ret = task.ret;
    let [arg0, arg1, arg2, ..] = task.args;
    let (id, flags) = match task.class {
        class::SEMGET => (ret as i32, arg2 as i32),
        class::SEMCTL if changes(arg2) => (arg0 as i32, arg2 as i32),
        class::SEMOP => (arg0 as i32, 0),
        _ => return,
    };
    let ids = Ids::of_thread(me, Table::Sem);
    let set = if id < 0 { 0 } else { ids.find(id as u32) };
    let Some(mut record) = reserve::<SemCall>(lost::IPC) else { return };
    // SAFETY: the record's room.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).header = header(SEM_CALL, task.returned, task.tid, task.tgid);
        (*room).entered = task.entered;
        (*room).ret = ret;
        (*room).id = id;
        (*room).nr = task.nr;
        (*room).flags = flags;
        (*room).namespace = ids.namespace;
        if set != 0 {
            ((*room).key, (*room).uid, (*room).mode) = ipc::facts(set);
            (*room).semaphores = peek(set + offset!(sems_count) as u64);
            let operated: u64 = peek(set + offset!(sems_list) as u64 + offset!(sem_operated) as u64);
            let fresh = task.class == class::SEMGET && u64::from(ids.count()) == task.requested + 1 && operated == 0;
            (*room).state = state::FOUND | if fresh { state::FRESH } else { 0 };
        } else {
            ((*room).key, (*room).uid, (*room).mode) = (arg0 as u32, 0, 0);
            ((*room).semaphores, (*room).state) = (arg1 as u32, 0);
        }
        (*room).operations = [Operation { number: 0, change: 0, flags: 0 }; OPERATIONS];
        (*room).values = [0; OPERATIONS];
        (*room).count = 0;
        if task.class == class::SEMOP {
            (*room).count = if task.payload_len == 0 { 0 } else { task.requested as u32 };
            (*room).operations = core::ptr::read_unaligned(payload.as_ptr().cast());
        } else if flags as u64 & 0xff == SETVAL && task.class == class::SEMCTL {
            (*room).count = 1;
            // union semun: the value is an int.
            (*room).operations[0] = Operation { number: arg1 as u16, change: task.args[3] as i16, flags: 0 };
        }
        if set != 0 {
            for at in 0..OPERATIONS {
                (*room).values[at] = value(set, (*room).operations[at].number);
            }
        }
    }
    record.submit();
}

/// The value of one of them.
#[inline(always)]
fn value(set: u64, number: u16) -> u16 {
    let place = set + offset!(sems_list) as u64 + u64::from(number) * offset!(sem_size) as u64;
    peek::<u32>(place + offset!(sem_value) as u64) as u16
}
