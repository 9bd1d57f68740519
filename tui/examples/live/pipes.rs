//! Pipes, one property each.

use std::{fs, os::raw::c_int, ptr};

use super::sys::{check, close, dup, fork, kill, name, outcome, pid, pipe, read, reap, say, sleep, until_state, write};

/// How often files are made where others were.
const ROUNDS: usize = 1000;

/// Runs a workload; `false` if there is none of that name.
pub fn run(name: &str) -> bool {
    match name {
        "duplicates" => duplicates(),
        "passed" => passed(),
        "partial" => partial(),
        "vectored" => vectored(),
        "reused-files" => reused_files(),
        "full" => full(),
        "slots" => slots(),
        "packets" => packets(),
        "splice" => splice(),
        "tee" => tee(),
        "vmsplice" => vmsplice(),
        "sendfile" => sendfile(),
        "resize" => resize(),
        "epipe" => epipe(),
        "sigpipe" => sigpipe(),
        "last-holder" => last_holder(),
        "waits" => waits(),
        "holders" => holders(),
        "over" => over(),
        "cloexec" => cloexec(),
        "ping-pong" => ping_pong(),
        "poll" => poll(),
        _ => return false,
    }
    true
}

/// Writes through a duplicate and through an inherited end: one channel.
fn duplicates() {
    let (r, w) = pipe(0);
    say("channel", name(r));
    let again = dup(w);
    // SAFETY: plain calls on our own descriptors.
    let third = unsafe { libc::fcntl(w, libc::F_DUPFD, 50) };
    // SAFETY: as above.
    check("dup3", i64::from(unsafe { libc::dup3(w, 60, libc::O_CLOEXEC) }));
    say("duplicates", format!("{again} {third} 60"));
    write(w, b"one");
    write(again, b"two");
    write(third, b"three");
    write(60, b"four");
    let child = fork(|| {
        write(60, b"five");
    });
    reap(child);
    let (got, bytes) = read(r, 100);
    say("got", got);
    say("bytes", String::from_utf8(bytes).unwrap());
    say("child", child);
}

/// Sends a writing end through a socket to a process that did not inherit it.
fn passed() {
    let mut sockets = [0; 2];
    // SAFETY: room for two descriptors.
    check("socketpair", unsafe {
        i64::from(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, sockets.as_mut_ptr()))
    });
    let child = fork(|| {
        let fd = receive(sockets[1]);
        write(fd, b"from the child");
        close(fd);
        // SAFETY: a byte on the stack.
        unsafe { libc::send(sockets[1], [fd as u8].as_ptr().cast(), 1, 0) };
    });
    let (r, w) = pipe(0);
    say("channel", name(r));
    say("child", child);
    send(sockets[0], w);
    close(w);
    let (got, _) = read(r, 100);
    say("got", got);
    let (_, fd) = read(sockets[0], 1);
    say("fd", fd[0]);
    let (got, _) = read(r, 100);
    say("end", got);
    reap(child);
}

pub(super) fn send(socket: c_int, fd: c_int) {
    let mut byte = [0_u8];
    let mut control = [0_u64; 3];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all zero is a valid header; the control buffer has room for one descriptor and is aligned.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        ptr::write_unaligned(libc::CMSG_DATA(header).cast(), fd);
        check("sendmsg", libc::sendmsg(socket, &raw const message, 0) as i64);
    }
}

pub(super) fn receive(socket: c_int) -> c_int {
    let mut byte = [0_u8];
    let mut control = [0_u64; 3];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: as in `send`.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        check("recvmsg", libc::recvmsg(socket, &raw mut message, 0) as i64);
        ptr::read_unaligned(libc::CMSG_DATA(libc::CMSG_FIRSTHDR(&raw const message)).cast())
    }
}

/// Two writes, read in three unequal pieces.
fn partial() {
    let (r, w) = pipe(0);
    say("channel", name(r));
    write(w, b"abcdef");
    write(w, b"ghij");
    for count in [4, 4, 100] {
        say(&format!("read-{count}"), read(r, count).0);
    }
}

/// Pipes that are made right after another file was closed: the kernel makes the write end where that was.
fn reused_files() {
    for _ in 0..ROUNDS {
        // SAFETY: NUL-terminated.
        let file = check("open", i64::from(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY) })) as c_int;
        write(file, b"y");
        close(file);
        let (r, w) = pipe(libc::O_NONBLOCK);
        assert_eq!(outcome(read(r, 1).0), "EAGAIN");
        write(w, b"x");
        read(r, 1);
        close(r);
        close(w);
    }
    say("rounds", ROUNDS);
}

/// Three parts in, two parts out.
fn vectored() {
    let (r, w) = pipe(0);
    say("channel", name(r));
    let parts =
        [&b"ab"[..], b"cde", b"f"].map(|part| libc::iovec { iov_base: part.as_ptr() as *mut _, iov_len: part.len() });
    // SAFETY: three parts of constants, which writev only reads.
    say("writev", unsafe { libc::writev(w, parts.as_ptr(), 3) });
    let (mut one, mut two) = ([0_u8; 4], [0_u8; 10]);
    let parts = [
        libc::iovec { iov_base: one.as_mut_ptr().cast(), iov_len: one.len() },
        libc::iovec { iov_base: two.as_mut_ptr().cast(), iov_len: two.len() },
    ];
    // SAFETY: two buffers with their lengths.
    say("readv", unsafe { libc::readv(r, parts.as_ptr(), 2) });
}

/// A pipe that does not wait, filled byte-exactly, then one byte more.
fn full() {
    let (r, w) = pipe(libc::O_NONBLOCK);
    say("channel", name(r));
    say("empty", outcome(read(r, 10).0));
    say("large", outcome(write(w, &vec![b'x'; 70_000])));
    say("more", outcome(write(w, b"y")));
    say("read", outcome(read(r, 5000).0));
    // One page is free again; half of that is what fits of nothing less than PIPE_BUF.
    say("again", outcome(write(w, &[b'z'; 6000])));
}

/// 3000 bytes a write: a page each, so 16 pages are full long before 64 KiB.
fn slots() {
    let (r, w) = pipe(libc::O_NONBLOCK);
    say("channel", name(r));
    let mut writes = 0;
    let mut bytes = 0;
    loop {
        let wrote = write(w, &[b'x'; 3000]);
        if wrote < 0 {
            say("error", outcome(wrote));
            break;
        }
        writes += 1;
        bytes += wrote;
    }
    say("writes", writes);
    say("bytes", bytes);
    say("drained", read(r, 100_000).0);
}

/// A packet is read whole or cut off.
fn packets() {
    let (r, w) = pipe(libc::O_DIRECT);
    say("channel", name(r));
    write(w, b"first packet");
    write(w, b"second");
    write(w, b"third one");
    say("one", read(r, 5).0);
    say("two", read(r, 100).0);
    say("three", read(r, 4).0);
}

/// Pipe to pipe without a copy: our numbers for who sent what to whom.
fn splice() {
    let (r1, w1) = pipe(0);
    let (r2, w2) = pipe(0);
    say("channel", name(r1));
    say("second", name(r2));
    write(w1, b"hello ");
    write(w1, b"world");
    // SAFETY: no offsets.
    let moved = unsafe { libc::splice(r1, ptr::null_mut(), w2, ptr::null_mut(), 8, 0) };
    say("spliced", moved);
    say("rest", read(r1, 100).0);
    say("second-read", read(r2, 100).0);
    // From a file, and into one.
    let (path, file) = temporary(b"from a file");
    // SAFETY: as above.
    say("in", unsafe { libc::splice(file, ptr::null_mut(), w1, ptr::null_mut(), 100, 0) });
    // SAFETY: as above.
    say("out", unsafe { libc::splice(r1, ptr::null_mut(), file, ptr::null_mut(), 100, 0) });
    fs::remove_file(path).unwrap();
}

fn temporary(content: &[u8]) -> (std::path::PathBuf, c_int) {
    use std::os::fd::IntoRawFd as _;
    let path = std::env::temp_dir().join(format!("ipcscope-workload-{}", pid()));
    fs::write(&path, content).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    (path, file.into_raw_fd())
}

/// A copy that takes nothing away.
fn tee() {
    let (r1, w1) = pipe(0);
    let (r2, w2) = pipe(0);
    say("channel", name(r1));
    say("second", name(r2));
    write(w1, b"twice");
    // SAFETY: a plain call.
    say("teed", unsafe { libc::tee(r1, w2, 100, 0) });
    say("copy", read(r2, 100).0);
    say("original", read(r1, 100).0);
}

/// Memory given to a pipe, and taken out of it.
fn vmsplice() {
    let (r, w) = pipe(0);
    say("channel", name(r));
    let parts =
        [&b"gift"[..], b"wrapped"].map(|part| libc::iovec { iov_base: part.as_ptr() as *mut _, iov_len: part.len() });
    // SAFETY: constants that nobody changes.
    say("in", unsafe { libc::vmsplice(w, parts.as_ptr(), 2, 0) });
    say("read", read(r, 4).0);
    let mut buffer = [0_u8; 100];
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: a buffer and its length.
    say("out", unsafe { libc::vmsplice(r, &raw const part, 1, 0) });
}

/// From a file into a pipe.
fn sendfile() {
    let (r, w) = pipe(0);
    say("channel", name(r));
    let (path, file) = temporary(b"the whole file");
    // SAFETY: no offset.
    say("sent", unsafe { libc::sendfile(w, file, ptr::null_mut(), 100) });
    say("read", read(r, 100).0);
    fs::remove_file(path).unwrap();
}

/// Larger, smaller, and smaller than what is in it.
fn resize() {
    let (r, w) = pipe(0);
    say("channel", name(r));
    // SAFETY: plain calls.
    let resize = |size: c_int| i64::from(unsafe { libc::fcntl(w, libc::F_SETPIPE_SZ, size) });
    say("larger", outcome(resize(131_072)));
    write(w, &vec![b'x'; 40_000]);
    say("below", outcome(resize(8192)));
    read(r, 39_000);
    say("smaller", outcome(resize(8192)));
    say("rest", read(r, 10_000).0);
}

/// Nobody reads, and SIGPIPE is ignored.
fn epipe() {
    // SAFETY: plain call.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let (r, w) = pipe(0);
    say("channel", name(r));
    close(r);
    say("error", outcome(write(w, b"lost")));
}

/// Nobody reads, and SIGPIPE kills.
fn sigpipe() {
    let (r, w) = pipe(0);
    say("channel", name(r));
    let child = fork(|| {
        // SAFETY: plain call. Rust ignores it from the start.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        close(r);
        write(w, b"first");
        sleep(10_000);
    });
    close(w);
    say("child", child);
    say("read", read(r, 100).0);
    let second = fork(|| {
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (r, w) = pipe(0);
        say("broken", name(r));
        close(r);
        write(w, b"nobody");
        sleep(10_000);
    });
    say("second", second);
    say("status", reap(second));
    kill(child, libc::SIGKILL);
    reap(child);
}

/// The end comes only when the last of three writers has closed.
fn last_holder() {
    let (r, w) = pipe(0);
    say("channel", name(r));
    let child = fork(|| {
        sleep(150);
        write(w, b"late");
    });
    let again = dup(w);
    close(w);
    close(again);
    say("child", child);
    say("first", read(r, 100).0);
    say("end", read(r, 100).0);
    reap(child);
}

/// A reader that waits for a writer, a writer that waits for a reader.
fn waits() {
    let (r, w) = pipe(0);
    say("empty", name(r));
    let child = fork(|| {
        sleep(200);
        write(w, b"now");
    });
    read(r, 100);
    reap(child);
    let (r, w) = pipe(0);
    say("full", name(r));
    write(w, &vec![b'x'; 65_536]);
    let child = fork(|| {
        close(w);
        sleep(200);
        let mut total = 0;
        while total < 65_540 {
            total += read(r, 65_536).0;
        }
    });
    write(w, b"room");
    say("writer", pid());
    reap(child);
}

/// Writes down who holds which pipe, while everybody stands still, then says so through a pipe of its own.
fn holders() {
    let (ready_r, ready_w) = pipe(0);
    let (go_r, go_w) = pipe(libc::O_CLOEXEC);
    let (spare_r, spare_w) = pipe(0);
    let gone = pipe(0);
    close(gone.0);
    close(gone.1);
    let stand = || {
        write(ready_w, b"r");
        read(go_r, 1);
    };
    let mut children = vec![
        // Closes everything it can spare.
        fork(|| {
            close(spare_r);
            close(spare_w);
            stand();
        }),
        // Moves ends around, one over the other.
        fork(|| {
            // SAFETY: plain calls on our own descriptors.
            unsafe {
                libc::dup2(spare_w, spare_r);
                libc::dup2(spare_w, 40);
                libc::fcntl(go_w, libc::F_DUPFD_CLOEXEC, 45);
            }
            close(spare_w);
            stand();
        }),
        // A range of them goes at once.
        fork(|| {
            for fd in 100..120 {
                // SAFETY: as above.
                unsafe { libc::dup2(spare_r, fd) };
            }
            // SAFETY: as above.
            check("close_range", unsafe { libc::syscall(libc::SYS_close_range, 103, 115, 0) });
            // SAFETY: as above.
            check("close_range", unsafe { libc::syscall(libc::SYS_close_range, 118, u32::MAX, 0) });
            stand();
        }),
        // A descriptor table of its own, made by unsharing.
        fork(|| {
            let grandchild = fork(|| {
                close(spare_r);
                stand();
            });
            say("grandchild", grandchild);
            close(spare_w);
            stand();
            reap(grandchild);
        }),
    ];
    // Runs another program, which keeps what is not close-on-exec.
    children.push(fork(|| {
        close(spare_r);
        let program = std::env::current_exe().unwrap();
        let program = std::ffi::CString::new(program.to_str().unwrap()).unwrap();
        let number = |fd: c_int| std::ffi::CString::new(fd.to_string()).unwrap();
        let words = [program.clone(), c"hold-still".to_owned(), number(ready_w)];
        let mut argv: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
        argv.push(ptr::null());
        // SAFETY: a list of strings that ends with a null pointer.
        check("execv", i64::from(unsafe { libc::execv(program.as_ptr(), argv.as_ptr()) }));
    }));
    let mut ready = 0;
    while ready < children.len() as i64 + 1 {
        ready += read(ready_r, 1).0;
    }
    for child in &children {
        // Ready means about to read: now they do.
        until_state(*child, 'S');
    }
    let mut all = children.clone();
    let parent_of =
        |child: c_int| fs::read_to_string(format!("/proc/{child}/task/{child}/children")).unwrap_or_default();
    for child in &children {
        all.extend(parent_of(*child).split_whitespace().map(|pid| pid.parse::<c_int>().unwrap()));
    }
    all.push(pid());
    for one in all {
        tell_held(one);
    }
    write(spare_w, b"STILL");
    read(spare_r, 5);
    // The one that runs another program has no end to wait on.
    kill(children[4], libc::SIGTERM);
    write(go_w, b"ggggg");
    for child in children {
        reap(child);
    }
}

fn tell_held(pid: c_int) {
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let entry = entry.unwrap();
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_str().unwrap().to_owned();
        if !target.starts_with("pipe:[") {
            continue;
        }
        let fd = entry.file_name().into_string().unwrap();
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let end = match u32::from_str_radix(flags.trim(), 8).unwrap() & 3 {
            0 => "r",
            1 => "w",
            _ => "rw",
        };
        say("hold", format_args!("{pid} {fd} {target} {end}"));
    }
}

/// Says that it is there, and waits to be killed.
pub fn hold_still(ready: c_int) {
    write(ready, b"r");
    sleep(60_000);
}

/// dup2 over an end of another pipe closes that.
fn over() {
    let (r1, w1) = pipe(0);
    let (r2, w2) = pipe(0);
    say("first", name(r1));
    say("second", name(r2));
    // SAFETY: a plain call.
    check("dup2", i64::from(unsafe { libc::dup2(w2, w1) }));
    say("fd", w1);
    say("end", read(r1, 10).0);
    write(w1, b"to the second");
    say("read", read(r2, 100).0);
}

/// What is marked close-on-exec is gone after it: the reader sees the end.
fn cloexec() {
    let (r, w) = pipe(libc::O_CLOEXEC);
    let (r2, w2) = pipe(0);
    say("channel", name(r));
    say("kept", name(r2));
    let child = fork(|| {
        let argv = [c"sleep".as_ptr(), c"0.3".as_ptr(), ptr::null()];
        // SAFETY: a list of strings that ends with a null pointer.
        check("execvp", i64::from(unsafe { libc::execvp(argv[0], argv.as_ptr()) }));
    });
    say("child", child);
    close(w);
    close(w2);
    say("end", read(r, 1).0);
    say("child-then", super::sys::state(child));
    say("kept-end", read(r2, 1).0);
    reap(child);
}

/// Two processes that wait for each other a thousand times.
fn ping_pong() {
    let (r1, w1) = pipe(0);
    let (r2, w2) = pipe(0);
    say("there", name(r1));
    say("back", name(r2));
    let child = fork(|| {
        for _ in 0..1000 {
            let (_, ball) = read(r1, 100);
            write(w2, &ball);
        }
    });
    for number in 0_usize..1000 {
        write(w1, &vec![b'x'; 1 + number % 50]);
        read(r2, 100);
    }
    reap(child);
}

/// A reader that asks with poll before it reads.
fn poll() {
    let (r, w) = pipe(libc::O_NONBLOCK);
    say("channel", name(r));
    let child = fork(|| {
        sleep(100);
        write(w, b"ready");
    });
    let mut one = libc::pollfd { fd: r, events: libc::POLLIN, revents: 0 };
    // SAFETY: one descriptor.
    say("poll", unsafe { libc::poll(&raw mut one, 1, 10_000) });
    say("read", read(r, 100).0);
    reap(child);
}
