//! The probes of ipcscope: tracepoints only, one object for every kernel from 5.15 on.
//!
//! Each program is a few lines that call a `try_…` of its family in [`probes`]. Programs only ever observe: they write
//! to our maps and ring buffer and nowhere else.
//!
//! Functions are inlined, or have a plain exported name: a mangled one would carry a hash of the building folder into the
//! committed object.
//!
//! Invariants: a record that cannot be handed over is counted ([`emit`]); a thread that is not traced costs one hash
//! lookup ([`task`]); no field's place is built in: all come from the running kernel's BTF ([`kernel`]).
#![no_std]
#![no_main]
// Atomic additions: the target has them, `core`'s atomics for it do not; and closures that are inlined. This crate is built
// with RUSTC_BOOTSTRAP anyway.
#![feature(core_intrinsics, asm_experimental_arch, stmt_expr_attributes)]
#![expect(internal_features, reason = "atomic_xadd")]

mod arguments;
mod emit;
mod kernel;
mod probes;
mod task;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use probes::{call, mqueue, pipe, process, queue, ring, sched, seed, signal, socket};

/// Declares a tracepoint program that hands its context to a function.
macro_rules! program {
    ($(#[$doc:meta])* $name:ident = $tracepoint:literal => $body:path) => {
        $(#[$doc])*
        #[btf_tracepoint(function = $tracepoint)]
        #[inline(always)]
        pub fn $name(ctx: BtfTracePointContext) -> i32 {
            $body(&ctx);
            0
        }
    };
}

program! {
    /// `sys_enter(struct pt_regs *regs, long id)`
    sys_enter = "sys_enter" => call::enter
}
program! {
    /// `sys_exit(struct pt_regs *regs, long ret)`
    sys_exit = "sys_exit" => call::exit
}
program! {
    /// `sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next[, unsigned int prev_state])`
    sched_switch = "sched_switch" => sched::switch
}
program! {
    /// 5.18: `sched_switch(bool preempt, unsigned int prev_state, struct task_struct *prev, struct task_struct *next)`
    sched_switch_state_first = "sched_switch" => sched::switch_state_first
}
program! {
    /// `sched_waking(struct task_struct *p)`
    sched_waking = "sched_waking" => sched::waking
}
program! {
    /// `sched_wakeup_new(struct task_struct *p)`
    sched_wakeup_new = "sched_wakeup_new" => sched::waking_new
}
program! {
    /// `contention_begin(void *lock, unsigned int flags)`, since 5.19
    contention_begin = "contention_begin" => pipe::contention
}
program! {
    /// `task_newtask(struct task_struct *task, unsigned long clone_flags)`
    task_newtask = "task_newtask" => process::new_task
}
program! {
    /// `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
    sched_process_exec = "sched_process_exec" => process::exec
}
program! {
    /// `sched_process_exit(struct task_struct *p[, bool group_dead])`
    sched_process_exit = "sched_process_exit" => process::exit
}
program! {
    /// `sched_process_free(struct task_struct *p)`
    sched_process_free = "sched_process_free" => process::freed
}
program! {
    /// `task_rename(struct task_struct *task, const char *comm)`
    task_rename = "task_rename" => process::rename
}
program! {
    /// `signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)`
    signal_generate = "signal_generate" => signal::generate
}
program! {
    /// `signal_deliver(int sig, struct kernel_siginfo *info, struct k_sigaction *ka)`
    signal_deliver = "signal_deliver" => signal::deliver
}
program! {
    /// `skb_copy_datagram_iovec(const struct sk_buff *skb, int len)`
    skb_copied = "skb_copy_datagram_iovec" => socket::copied
}
program! {
    /// `udp_fail_queue_rcv_skb(int rc, struct sock *sk, …)`
    udp_dropped = "udp_fail_queue_rcv_skb" => socket::dropped
}
program! {
    /// `sk_data_ready(const struct sock *sk)`
    udp_arrived = "sk_data_ready" => socket::arrived
}
program! {
    /// `kmem_cache_alloc(unsigned long call_site, const void *ptr, …)`
    skb_allocated = "kmem_cache_alloc" => socket::allocated
}
program! {
    /// The same before 6.1, for allocations on a given node.
    skb_allocated_on_node = "kmem_cache_alloc_node" => socket::allocated
}

program! {
    /// `io_uring_submit_req(struct io_kiocb *req)`, since 6.3
    ring_submitted = "io_uring_submit_req" => ring::submitted
}
program! {
    /// `io_uring_submit_sqe(struct io_kiocb *req, bool force_nonblock)`, before
    ring_submitted_sqe = "io_uring_submit_sqe" => ring::submitted
}
program! {
    /// `io_uring_complete(struct io_ring_ctx *ctx, void *req, …)`, since 5.19
    ring_done = "io_uring_complete" => ring::done
}

program! {
    /// `kmalloc(unsigned long call_site, const void *ptr, …)`
    message_allocated = "kmalloc" => queue::allocated
}
program! {
    /// `kfree(unsigned long call_site, const void *ptr)`
    message_freed = "kfree" => queue::freed
}
program! {
    /// `kmem_cache_alloc(unsigned long call_site, const void *ptr, …)`
    mqueue_made = "kmem_cache_alloc" => mqueue::inode_made
}

/// `bpf_iter_task`: threads that are to be traced from the start.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn seed_task(ctx: *const seed::TaskContext) -> i32 {
    seed::task(ctx);
    0
}

/// `bpf_iter_task_file`: the channel ends they hold.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn seed_file(ctx: *const seed::FileContext) -> i32 {
    seed::file(ctx);
    0
}

/// The same hooks with nothing in them: what tracing costs before anything is traced (`cargo xtask bench`).
mod floor {
    use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

    macro_rules! empty {
        ($($name:ident = $tracepoint:literal),* $(,)?) => {
            $(#[btf_tracepoint(function = $tracepoint)]
            pub fn $name(_ctx: BtfTracePointContext) -> i32 { 0 })*
        };
    }

    empty! {
        floor_sys_enter = "sys_enter",
        floor_sys_exit = "sys_exit",
        floor_sched_switch = "sched_switch",
        floor_sched_waking = "sched_waking",
    }
}

/// Needed by `core`; the verifier proves it is never reached.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Some of the helpers are for programs with a GPL compatible licence only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
