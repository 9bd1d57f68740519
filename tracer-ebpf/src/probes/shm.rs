//! System V shared memory: who makes, attaches and detaches segments.
//!
//! Nothing of it blocks, and what is done with the memory no probe sees, so one record per call that succeeded or was
//! refused is all there is.

use ipcscope_common::{
    call::class,
    settings::lost,
    shm::{SHM_CALL, ShmCall, state},
};

use super::{
    call::leave,
    ipc::{self, Ids, Table},
};
use crate::{
    arguments::IPC,
    emit::{header, reserve},
    kernel::{Ptr, offset, peek, peek_user},
    task::{Task, traced},
};

/// `IPC_RMID` and `IPC_SET`: the commands that change something.
const IPC_SET: u64 = 1;

/// A call on shared memory returned.
#[inline(always)]
pub fn finish(me: Ptr) {
    let Some(task) = traced(me) else { return };
    tell(task, me);
    leave(task, me);
}

#[inline(always)]
fn tell(task: &Task, me: Ptr) {
    let ret = task.ret;
    let [arg0, arg1, arg2, arg3, ..] = task.args;
    let (id, address, flags) = match task.class {
        class::SHMGET => (ret as i32, 0, arg2),
        // Of ipc(2), where its argument says.
        class::SHMAT if task.raw == IPC && ret == 0 => (arg0 as i32, peek_user::<u32>(arg3).unwrap_or(0).into(), arg2),
        class::SHMAT => (arg0 as i32, ret as u64, arg2),
        class::SHMDT => (-1, arg0, 0),
        _ => (arg0 as i32, 0, arg1),
    };
    if task.class == class::SHMCTL && flags & 0xff > IPC_SET {
        return;
    }
    let ids = Ids::of_thread(me, Table::Shm);
    let segment = if id < 0 { 0 } else { ids.find(id as u32) };
    let Some(mut record) = reserve::<ShmCall>(lost::IPC) else { return };
    // SAFETY: the record's room.
    unsafe {
        let room = record.as_mut_ptr();
        (*room).header = header(SHM_CALL, task.returned, task.tid, task.tgid);
        (*room).entered = task.entered;
        (*room).ret = ret;
        (*room).address = address;
        (*room).id = id;
        (*room).nr = task.nr;
        (*room).flags = flags as i32;
        (*room).namespace = ids.namespace;
        if segment != 0 {
            (*room).size = peek(segment + offset!(shm_size) as u64);
            (*room).attached = peek(segment + offset!(shm_attached) as u64);
            ((*room).key, (*room).uid, (*room).mode) = ipc::facts(segment);
            let maker: u64 = peek(segment + offset!(shm_creator) as u64);
            let attach_time: u64 = peek(segment + offset!(shm_attach_time) as u64);
            let fresh = maker == me as u64 && attach_time == 0;
            (*room).state = state::FOUND | if fresh { state::FRESH } else { 0 };
        } else {
            ((*room).size, (*room).attached) = (arg1, 0);
            ((*room).key, (*room).uid, (*room).mode, (*room).state) = (arg0 as u32, 0, 0, 0);
        }
    }
    record.submit();
}
