//! Where the running kernel keeps the fields the probes read: user space takes the places from the kernel's BTF at start.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The place of a field that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

macro_rules! offsets {
    ($($name:ident: $of:literal . $member:literal;)*) => {
        /// Byte offsets, one per field.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        pub struct Offsets {
            $(#[doc = concat!("`", $of, ".", $member, "`")] pub $name: u32,)*
        }

        impl Offsets {
            /// No field is known.
            pub const NONE: Self = Self { $($name: ABSENT),* };
        }

        /// For each field of [`Offsets`], in order: the structure and the member's path; `sizeof`: how large it is.
        pub const FIELDS: &[(&str, &str)] = &[$(($of, $member)),*];
    };
}

offsets! {
    task_state: "task_struct"."__state";
    task_exit_state: "task_struct"."exit_state";
    task_pid: "task_struct"."pid";
    task_tgid: "task_struct"."tgid";
    task_comm: "task_struct"."comm";
    task_real_parent: "task_struct"."real_parent";
    task_files: "task_struct"."files";
    task_fs: "task_struct"."fs";
    fs_entry: "fs_struct"."pwd.dentry";
    fs_mount: "fs_struct"."pwd.mnt";
    fs_root_entry: "fs_struct"."root.dentry";
    fs_root_mount: "fs_struct"."root.mnt";
    task_signal: "task_struct"."signal";
    task_sighand: "task_struct"."sighand";
    task_blocked: "task_struct"."blocked";
    task_real_blocked: "task_struct"."real_blocked";
    task_ptrace: "task_struct"."ptrace";
    task_exit_code: "task_struct"."exit_code";
    task_mm: "task_struct"."mm";
    task_group_leader: "task_struct"."group_leader";
    task_thread_pid: "task_struct"."thread_pid";
    task_flags: "task_struct"."flags";
    task_sleeps: "task_struct"."nvcsw";
    task_status: "task_struct"."thread_info.status";
    mm_arg_start: "mm_struct"."arg_start";
    mm_arg_end: "mm_struct"."arg_end";
    bprm_filename: "linux_binprm"."filename";
    pid_level: "pid"."level";
    pid_numbers: "pid"."numbers";
    upid_nr: "upid"."nr";
    upid_ns: "upid"."ns";
    signal_live: "signal_struct"."live";
    signal_flags: "signal_struct"."flags";
    signal_group_exit_code: "signal_struct"."group_exit_code";
    signal_tty: "signal_struct"."tty";
    tty_name: "tty_struct"."name";
    tty_index: "tty_struct"."index";
    tty_link: "tty_struct"."link";
    tty_entry: "tty_struct"."driver_data";
    tty_of_file: "tty_file_private"."tty";
    signal_pids: "signal_struct"."pids";
    sighand_action: "sighand_struct"."action";
    files_count: "files_struct"."count";
    files_fdt: "files_struct"."fdt";
    fdtable_max_fds: "fdtable"."max_fds";
    fdtable_fd: "fdtable"."fd";
    file_inode: "file"."f_inode";
    file_flags: "file"."f_flags";
    file_dentry: "file"."f_path.dentry";
    file_mount: "file"."f_path.mnt";
    dentry_name: "dentry"."d_name.name";
    dentry_parent: "dentry"."d_parent";
    dentry_super_block: "dentry"."d_sb";
    mount_root: "vfsmount"."mnt_root";
    mount_super_block: "vfsmount"."mnt_sb";
    mount_place: "mount"."mnt";
    mount_parent: "mount"."mnt_parent";
    mount_point: "mount"."mnt_mountpoint";
    file_mode: "file"."f_mode";
    file_private_data: "file"."private_data";
    eventpoll_rbr: "eventpoll"."rbr";
    epitem_fd: "epitem"."ffd.fd";
    epitem_file: "epitem"."ffd.file";
    epitem_events: "epitem"."event.events";
    request_file: "io_kiocb"."file";
    request_operation: "io_kiocb"."opcode";
    request_flags: "io_kiocb"."flags";
    request_cqe: "io_kiocb"."cqe";
    request_ring: "io_kiocb"."ctx";
    request_rw_len: "io_rw"."len";
    request_message_len: "io_sr_msg"."len";
    accept_slot: "io_accept"."file_slot";
    socket_slot: "io_socket"."file_slot";
    open_slot: "io_open"."file_slot";
    close_slot: "io_close"."file_slot";
    close_fd: "io_close"."fd";
    shutdown_how: "io_shutdown"."how";
    listen_backlog: "io_listen"."backlog";
    request_pipe_fds: "io_pipe"."fds";
    request_pipe_slot: "io_pipe"."file_slot";
    inode_mode: "inode"."i_mode";
    inode_ino: "inode"."i_ino";
    inode_sb: "inode"."i_sb";
    inode_pipe: "inode"."i_pipe";
    inode_uid: "inode"."i_uid";
    inode_device: "inode"."i_rdev";
    inode_size: "inode"."i_size";
    inode_private: "inode"."i_private";
    eventfd_id: "eventfd_ctx"."id";
    eventfd_count: "eventfd_ctx"."count";
    eventfd_flags: "eventfd_ctx"."flags";
    signalfd_mask: "signalfd_ctx"."sigmask";
    socket_inode: "socket_alloc"."vfs_inode";
    mqueue_inode: "mqueue_inode_info"."vfs_inode";
    mqueue_messages: "mqueue_inode_info"."attr.mq_maxmsg";
    mqueue_message_size: "mqueue_inode_info"."attr.mq_msgsize";
    mqueue_depth: "mqueue_inode_info"."attr.mq_curmsgs";
    mqueue_fill: "mqueue_inode_info"."qsize";
    task_nsproxy: "task_struct"."nsproxy";
    nsproxy_ipc: "nsproxy"."ipc_ns";
    nsproxy_mounts: "nsproxy"."mnt_ns";
    mounts_inum: "mnt_namespace"."ns.inum";
    ipc_ids: "ipc_namespace"."ids";
    ipc_sem_ctls: "ipc_namespace"."sem_ctls";
    ipc_inum: "ipc_namespace"."ns.inum";
    ipc_mqueues: "ipc_namespace"."mq_mnt";
    ids_head: "ipc_ids"."ipcs_idr.idr_rt.xa_head";
    xa_shift: "xa_node"."shift";
    xa_slots: "xa_node"."slots";
    perm_id: "kern_ipc_perm"."id";
    perm_deleted: "kern_ipc_perm"."deleted";
    perm_key: "kern_ipc_perm"."key";
    perm_uid: "kern_ipc_perm"."uid";
    perm_mode: "kern_ipc_perm"."mode";
    ids_in_use: "ipc_ids"."in_use";
    shm_size: "shmid_kernel"."shm_segsz";
    shm_attached: "shmid_kernel"."shm_nattch";
    shm_attach_time: "shmid_kernel"."shm_atim";
    shm_creator: "shmid_kernel"."shm_creator";
    sems_count: "sem_array"."sem_nsems";
    sems_list: "sem_array"."sems";
    sem_size: "sem"."sizeof";
    sem_value: "sem"."semval";
    sem_operated: "sem"."sem_otime";
    queue_cbytes: "msg_queue"."q_cbytes";
    queue_qnum: "msg_queue"."q_qnum";
    queue_qbytes: "msg_queue"."q_qbytes";
    message_len: "msg_msg"."m_ts";
    message_type: "msg_msg"."m_type";
    socket_sk: "socket"."sk";
    sock_socket: "sock"."sk_socket";
    sock_type: "sock"."sk_type";
    sock_protocol: "sock"."sk_protocol";
    sock_shutdown: "sock"."sk_shutdown";
    sock_queued: "sock"."sk_receive_queue.qlen";
    sock_peek_off: "sock"."sk_peek_off";
    sock_last: "sock"."sk_receive_queue.prev";
    sock_family: "sock_common"."skc_family";
    sock_state: "sock_common"."skc_state";
    sock_daddr: "sock_common"."skc_daddr";
    sock_saddr: "sock_common"."skc_rcv_saddr";
    sock_dport: "sock_common"."skc_dport";
    sock_port: "sock_common"."skc_num";
    sock_daddr6: "sock_common"."skc_v6_daddr";
    sock_saddr6: "sock_common"."skc_v6_rcv_saddr";
    sock_net: "sock_common"."skc_net.net";
    net_inum: "net"."ns.inum";
    unix_peer: "unix_sock"."peer";
    unix_addr: "unix_sock"."addr";
    unix_address_len: "unix_address"."len";
    unix_address_name: "unix_address"."name";
    skb_sk: "sk_buff"."sk";
    skb_len: "sk_buff"."len";
    udp_queued: "udp_sock"."reader_queue.qlen";
    tcp_write_seq: "tcp_sock"."write_seq";
    tcp_copied_seq: "tcp_sock"."copied_seq";
    super_block_dev: "super_block"."s_dev";
    super_block_magic: "super_block"."s_magic";
    pipe_owner: "pipe_inode_info"."mutex.owner";
    pipe_head: "pipe_inode_info"."head";
    pipe_tail: "pipe_inode_info"."tail";
    pipe_max_usage: "pipe_inode_info"."max_usage";
    pipe_ring_size: "pipe_inode_info"."ring_size";
    pipe_readers: "pipe_inode_info"."readers";
    pipe_writers: "pipe_inode_info"."writers";
    pipe_r_counter: "pipe_inode_info"."r_counter";
    pipe_w_counter: "pipe_inode_info"."w_counter";
    pipe_bufs: "pipe_inode_info"."bufs";
    buffer_offset: "pipe_buffer"."offset";
    buffer_len: "pipe_buffer"."len";
    buffer_flags: "pipe_buffer"."flags";
    regs_di: "pt_regs"."di";
    regs_si: "pt_regs"."si";
    regs_dx: "pt_regs"."dx";
    regs_r10: "pt_regs"."r10";
    regs_r8: "pt_regs"."r8";
    regs_r9: "pt_regs"."r9";
    regs_ax: "pt_regs"."ax";
    regs_sp: "pt_regs"."sp";
    regs_orig_ax: "pt_regs"."orig_ax";
    regs_bx: "pt_regs"."bx";
    regs_cx: "pt_regs"."cx";
    regs_bp: "pt_regs"."bp";
}

impl Offsets {
    /// The kernel has sockets, and UNIX ones.
    pub fn has_sockets(&self) -> bool {
        ![self.socket_inode, self.socket_sk, self.sock_family, self.unix_peer, self.skb_sk].contains(&ABSENT)
    }
}

/// Structures that a kernel may be built without; what needs them is then not captured.
pub const OPTIONAL: &[&str] = &[
    "tty_file_private",
    "io_kiocb",
    "io_rw",
    "io_sr_msg",
    "io_accept",
    "io_socket",
    "io_open",
    "io_close",
    "io_shutdown",
    "io_listen",
    "io_pipe",
    "eventfd_ctx",
    "signalfd_ctx",
    "socket_alloc",
    "mqueue_inode_info",
    "ipc_namespace",
    "ipc_ids",
    "kern_ipc_perm",
    "msg_queue",
    "shmid_kernel",
    "sem_array",
    "sem",
    "msg_msg",
    "socket",
    "sock",
    "sock_common",
    "net",
    "unix_sock",
    "unix_address",
    "sk_buff",
    "tcp_sock",
    "udp_sock",
];

/// Members that a structure may be without: no IPv6, no network namespaces.
pub const OPTIONAL_MEMBERS: &[&str] = &["cqe", "skc_v6_daddr", "skc_v6_rcv_saddr", "skc_net.net"];

const _: () = assert!(size_of::<Offsets>() == 4 * FIELDS.len());
