//! Processes and threads: creation, program, name, end.

use aya_ebpf::{helpers::bpf_probe_read_kernel_str_bytes, programs::BtfTracePointContext};
use ipcscope_common::{
    process::{ARGS_LEN, EXEC, EXIT, Exec, Exit, FREED, Freed, NEW_TASK, NewTask, RENAME, Rename},
    settings::lost,
};

use super::{descriptor, signal};
use crate::{
    emit::{count_lost, emit, header, reserve},
    kernel::{Ptr, copy_user, current, field, namespaced_tid, now, peek, setting},
    task::{Task, follow, forget, member, traced},
};

/// `CLONE_THREAD`: the new thread belongs to its creator's process.
const CLONE_THREAD: u64 = 0x10000;

/// `CLONE_FILES`: it shares its creator's descriptors.
const CLONE_FILES: u64 = 0x400;

/// In `copy_process`, before the new thread can run: nothing of it is lost.
#[inline(always)]
pub fn new_task(ctx: &BtfTracePointContext) {
    let Some(parent) = member(current()) else { return };
    let task: Ptr = ctx.arg(0);
    let flags: u64 = ctx.arg(1);
    if flags & CLONE_THREAD == 0 && setting!(follow) == 0 {
        return;
    }
    let (tid, tgid) = (field!(task, task_pid as u32), field!(task, task_tgid as u32));
    let blocked = field!(task, task_blocked as u64);
    let mut entry = Task::new(tid, tgid, parent.held as u8);
    entry.mask = blocked;
    if !follow(task, &mut entry) {
        count_lost(lost::TASK_TABLE);
        return;
    }
    if flags & CLONE_FILES != 0
        && let Some(creator) = traced(current())
    {
        // From now on others can close its descriptors.
        creator.known = 0;
    }
    let ns_tid = namespaced_tid(task);
    let header = header(NEW_TASK, now(), tid, tgid);
    emit(
        lost::PROCESS,
        NewTask {
            header,
            flags,
            files: field!(task, task_files as u64),
            parent_tid: parent.tid,
            parent_tgid: parent.tgid,
            ns_tid,
            // A thread's process is numbered where its creator is; user space knows that number.
            ns_tgid: if tid == tgid { ns_tid } else { 0 },
            blocked,
            comm: field!(task, task_comm as [u8; 16]),
        },
    );
}

/// In `exec_binprm`, after the new program is in place and close-on-exec descriptors are closed.
#[inline(always)]
pub fn exec(ctx: &BtfTracePointContext) {
    let task: Ptr = ctx.arg(0);
    let (Some(entry), Some(member)) = (traced(task), member(task)) else { return };
    let tgid = field!(task, task_tgid as u32);
    let old_tid: i32 = ctx.arg(1);
    // An exec by another thread than the leader takes over the leader's id.
    entry.tid = field!(task, task_pid as u32);
    entry.tgid = tgid;
    entry.held = 0;
    entry.known = 0;
    member.tid = entry.tid;
    member.tgid = tgid;
    member.held = 0;
    entry.class = 0;
    entry.sampled = 0;
    entry.watched = 0;
    let held = descriptor::held(task);
    let bprm: Ptr = ctx.arg(2);
    let mm = field!(task, task_mm as Ptr);
    let start = field!(mm, mm_arg_start as u64);
    let len = (field!(mm, mm_arg_end as u64) - start) as u32;
    let header = header(EXEC, now(), entry.tid, tgid);
    let Some(mut record) = reserve::<Exec>(lost::PROCESS) else { return };
    // SAFETY: the record's room, written field by field.
    unsafe {
        let exec = &mut *record.as_mut_ptr();
        exec.header = header;
        exec.old_tid = old_tid as u32;
        exec.held = held;
        exec.files = field!(task, task_files as u64);
        exec.args_len = len;
        exec.blocked = field!(task, task_blocked as u64);
        exec.ignored = signal::dispositions(task).0;
        exec.comm = field!(task, task_comm as [u8; 16]);
        exec.exe = [0; 256];
        exec.args = [0; ARGS_LEN];
        let name = field!(bprm, bprm_filename as u64);
        exec.exe_len = bpf_probe_read_kernel_str_bytes(name as *const u8, &mut exec.exe).map_or(0, |s| s.len() as u32);
        copy_user::<ARGS_LEN>(&raw mut exec.args, start, len);
    }
    record.submit();
}

/// In `do_exit`. The descriptors are closed right after.
#[inline(always)]
pub fn exit(ctx: &BtfTracePointContext) {
    let task: Ptr = ctx.arg(0);
    let Some(entry) = traced(task) else { return };
    entry.class = 0;
    let signal = field!(task, task_signal as Ptr);
    // signal_struct.live has been counted down for this thread already.
    let last = u32::from(field!(signal, signal_live as i32) == 0);
    let header = header(EXIT, now(), entry.tid, entry.tgid);
    emit(lost::PROCESS, Exit { header, code: field!(task, task_exit_code as i32), last });
}

/// In `delayed_put_task_struct`, after an RCU grace period.
#[inline(always)]
pub fn freed(ctx: &BtfTracePointContext) {
    let task: Ptr = ctx.arg(0);
    let Some(entry) = member(task) else { return };
    let header = header(FREED, now(), entry.tid, entry.tgid);
    emit(lost::PROCESS, Freed { header });
    forget(task);
}

/// In `__set_task_comm`: exec, prctl(PR_SET_NAME), a write to /proc/PID/comm.
#[inline(always)]
pub fn rename(ctx: &BtfTracePointContext) {
    let task: Ptr = ctx.arg(0);
    let Some(entry) = member(task) else { return };
    let name: u64 = ctx.arg(1);
    let mut comm: [u8; 16] = peek(name);
    comm[15] = 0;
    let header = header(RENAME, now(), entry.tid, entry.tgid);
    emit(lost::PROCESS, Rename { header, comm });
}
