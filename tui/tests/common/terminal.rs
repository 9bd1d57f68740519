//! ipcscope on a terminal: a pty that we type into, and a screen that understands what is drawn.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::NonZeroU16,
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    process::{Child, ExitStatus},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use nix::{
    pty::{OpenptyResult, Winsize, openpty},
    sys::termios::{LocalFlags, tcgetattr},
};

use super::{PATIENCE, ipcscope, wait};

struct Shown {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

/// A terminal with ipcscope on it.
pub struct Terminal {
    /// ipcscope.
    pub child: Child,
    master: File,
    shown: Arc<Mutex<Shown>>,
}

fn size(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

fn winsize(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Terminal {
    /// `ipcscope ARGUMENTS` on a new terminal of that size.
    pub fn start(columns: u16, rows: u16, arguments: &[&str]) -> Self {
        let OpenptyResult { master, slave } = openpty(Some(&winsize(rows, columns)), None).unwrap();
        let master = File::from(master);
        // Else whatever is started keeps the terminal open.
        // SAFETY: a plain call on a descriptor of ours.
        unsafe { libc::fcntl(master.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
        let mut command = ipcscope();
        command
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave);
        // SAFETY: both calls are allowed between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        // Our copies of the terminal's other side go with it.
        drop(command);
        let parser = vt100::Parser::new(size(rows), size(columns), 0);
        let shown = Arc::new(Mutex::new(Shown { parser, bytes: Vec::new() }));
        let (mut reader, into) = (master.try_clone().unwrap(), Arc::clone(&shown));
        let mut answers = master.try_clone().unwrap();
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                let mut shown = into.lock().unwrap();
                shown.parser.process(&buffer[..count]);
                shown.bytes.extend_from_slice(&buffer[..count]);
                // Where is the cursor? Every terminal answers that.
                if buffer[..count].windows(4).any(|window| window == b"\x1b[6n") {
                    let (row, column) = shown.parser.screen().cursor_position();
                    let _ = write!(answers, "\x1b[{};{}R", row + 1, column + 1);
                }
            }
        });
        Self { child, master, shown }
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.shown.lock().unwrap().parser.screen().contents()
    }

    /// Everything that was written to the terminal.
    pub fn bytes(&self) -> Vec<u8> {
        self.shown.lock().unwrap().bytes.clone()
    }

    /// On the alternate screen, and the cursor hidden.
    pub fn modes(&self) -> (bool, bool) {
        let shown = self.shown.lock().unwrap();
        (shown.parser.screen().alternate_screen(), shown.parser.screen().hide_cursor())
    }

    /// Types.
    pub fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.shown.lock().unwrap().parser.set_size(size(rows), size(columns));
        let size = winsize(rows, columns);
        // SAFETY: a size on the stack; the kernel tells the foreground group by SIGWINCH.
        assert_eq!(unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }, 0);
    }

    /// Waits for the screen to show something.
    pub fn until(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> Duration {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if fits(&screen) {
                return began.elapsed();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ipcscope ended ({ended:?}) before {what}:\n{screen}");
            assert!(began.elapsed() < PATIENCE, "never {what}:\n{screen}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for words on the screen.
    pub fn shows(&mut self, words: &str) {
        self.until(words, |screen| screen.contains(words));
    }

    /// Sends a signal to ipcscope.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a plain call, on a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Waits for its end, and for the terminal to be as it was.
    pub fn finish(&mut self) -> ExitStatus {
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "ipcscope does not end:\n{}", self.screen());
            thread::sleep(Duration::from_millis(10));
        }
        let status = wait(&mut self.child);
        thread::sleep(Duration::from_millis(100));
        let screen = self.screen();
        assert_eq!(self.modes(), (false, false), "the terminal is given back ({status}):\n{screen}");
        assert!(!screen.contains("panicked"), "{screen}");
        let termios = tcgetattr(&self.master).unwrap();
        assert!(termios.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG), "{status}");
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
