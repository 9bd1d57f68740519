//! Programs to attach to, and programs that do very much.

use std::io::{BufRead as _, Write as _};

use super::sys::{close, fork, name, pid, pipe, read, reap, say, sleep, write};

/// So many short-lived processes in a row.
pub fn forks(count: u32) {
    for _ in 0..count {
        reap(fork(|| {}));
    }
    say("forks", count);
}

/// One writer, one reader, small messages as fast as they go.
pub fn busy(messages: u64) {
    let (r, w) = pipe(0);
    say("channel", name(r));
    let child = fork(|| {
        close(w);
        let mut reads = 0_u64;
        let mut bytes = 0;
        loop {
            let got = read(r, 64).0;
            if got <= 0 {
                break;
            }
            reads += 1;
            bytes += got;
        }
        say("reads", reads);
        say("received", bytes);
    });
    close(r);
    for _ in 0..messages {
        write(w, &[b'x'; 100]);
    }
    close(w);
    say("sends", messages);
    reap(child);
}

/// Reads standard input and answers each message with its length, to the end.
pub fn reader() {
    say("pid", pid());
    loop {
        let got = read(0, 1000).0;
        if got <= 0 {
            break;
        }
        say("got", got);
    }
    say("done", 0);
}

/// A child that hands lines from standard input on to its parent, through a pipe.
pub fn pair() {
    let (r, w) = pipe(0);
    let child = fork(|| {
        close(r);
        for line in std::io::stdin().lock().lines() {
            write(w, line.unwrap().as_bytes());
        }
    });
    close(w);
    say("channel", name(r));
    say("pid", pid());
    say("child", child);
    loop {
        let got = read(r, 1000).0;
        if got <= 0 {
            break;
        }
        say("got", got);
    }
    reap(child);
}

/// A second thread from the start; at each line a third thread and a child, each writing into a pipe.
pub fn threads() {
    let (r, w) = pipe(0);
    let (r2, w2) = pipe(0);
    std::thread::spawn(move || {
        loop {
            let got = read(r2, 100).0;
            write(w, &vec![b'o'; got as usize]);
        }
    });
    sleep(20);
    say("channel", name(r));
    say("pid", pid());
    for line in std::io::stdin().lock().lines() {
        line.unwrap();
        write(w2, b"wake");
        say("old-thread", read(r, 100).0);
        std::thread::spawn(move || write(w, b"new thread")).join().unwrap();
        say("new-thread", read(r, 100).0);
        // Between fork and exit the child only writes: other threads do not matter.
        reap(fork(|| {
            write(w, b"child");
        }));
        say("child", read(r, 100).0);
        std::io::stdout().flush().unwrap();
    }
}
