//! Programs that know the truth: they do what live tests trace, and write down what they did.
//!
//! `workload pipe WRITERS READERS MESSAGES LARGEST FILE`: every byte of a message names its writer (high four bits) and the
//! message's number (low four bits, modulo 16), so that what a reader gets tells whose bytes they are. Each reader writes a
//! line per read to FILE.PID: runs of equal bytes as `BYTE:COUNT`; each writer a line per message: its size.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test program: any surprise ends it")]

mod live;

use std::{
    fmt::Write as _,
    fs,
    io::{PipeReader, PipeWriter, Read, Write},
    process,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["pipe", writers, readers, messages, largest, file] => pipe(
            writers.parse().unwrap(),
            readers.parse().unwrap(),
            messages.parse().unwrap(),
            largest.parse().unwrap(),
            file,
        ),
        words if live::run(words) => {}
        _ => {
            eprintln!("usage: workload pipe WRITERS READERS MESSAGES LARGEST FILE");
            process::exit(2);
        }
    }
}

/// Runs `child` in a process of its own.
fn fork(child: impl FnOnce()) -> i32 {
    // SAFETY: this program has one thread.
    match unsafe { libc::fork() } {
        0 => {
            child();
            process::exit(0);
        }
        pid => pid,
    }
}

fn pipe(writers: u8, readers: u8, messages: u32, largest: u32, file: &str) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut children = Vec::new();
    for _ in 0..readers {
        let reader = reader.try_clone().unwrap();
        let close = writer.try_clone().unwrap();
        children.push(fork(|| read_all(reader, [writer_of(&writer), writer_of(&close)], file)));
    }
    for number in 0..writers {
        let writer = writer.try_clone().unwrap();
        children.push(fork(move || write_all(writer, number, messages, largest, file)));
    }
    drop(writer);
    drop(reader);
    for _ in children {
        // SAFETY: plain call.
        unsafe { libc::wait(std::ptr::null_mut()) };
    }
}

fn writer_of(writer: &PipeWriter) -> i32 {
    use std::os::fd::AsRawFd as _;
    writer.as_raw_fd()
}

fn read_all(mut reader: PipeReader, close: [i32; 2], file: &str) {
    for fd in close {
        // SAFETY: ours, and not used again in this process: else the end would never come.
        unsafe { libc::close(fd) };
    }
    let mut buffer = vec![0; 50_000];
    let mut log = String::new();
    loop {
        let count = reader.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        for run in buffer[..count].chunk_by(|a, b| a == b) {
            write!(log, "{}:{} ", run[0], run.len()).unwrap();
        }
        log.push('\n');
    }
    fs::write(format!("{file}.r{}", process::id()), log).unwrap();
}

fn write_all(mut writer: PipeWriter, number: u8, messages: u32, largest: u32, file: &str) {
    let mut log = String::new();
    let mut random = u64::from(number) * 7919 + 12345;
    for message in 0..messages {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Most are small, one in a hundred may be as large as allowed.
        let limit = if message % 100 == 99 { largest } else { largest.min(3000) };
        let size = 1 + (random >> 33) as u32 % limit;
        let bytes = vec![number << 4 | (message % 16) as u8; size as usize];
        writer.write_all(&bytes).unwrap();
        writeln!(log, "{size}").unwrap();
    }
    fs::write(format!("{file}.w{}", process::id()), log).unwrap();
}
