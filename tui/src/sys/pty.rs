//! The command's own terminal: a pseudo-terminal whose master side the application holds, pty(7).
//!
//! Reading the master fails with EIO once nobody holds the other side: that is its end of file.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use nix::{
    fcntl::OFlag,
    pty::{grantpt, posix_openpt, unlockpt},
    sys::{
        stat::fstat,
        termios::{InputFlags, SetArg, tcgetattr, tcsetattr},
    },
};

/// `UNIX98_PTY_SLAVE_MAJOR` (include/uapi/linux/major.h).
const SLAVES: u64 = 136;

/// The master side, twice: one to read from, one to write to and to steer by, so that two threads can have one each.
#[derive(Debug)]
pub struct Pty {
    /// What the command prints comes out here.
    pub reader: OwnedFd,
    /// What is written here is typed.
    pub writer: OwnedFd,
    /// See [`place`].
    pub place: Option<u64>,
}

impl Pty {
    /// A new terminal of that size, and the side the command gets.
    pub(super) fn open(rows: u16, columns: u16) -> io::Result<(Self, OwnedFd)> {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        // TIOCGPTPEER (4.13) needs no path, so it works whatever is mounted on /dev/pts: ioctl_tty(2).
        // SAFETY: the call takes flags by value and returns a new descriptor, which nobody else owns.
        let slave = unsafe {
            let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
            match libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) {
                fd if fd >= 0 => OwnedFd::from_raw_fd(fd),
                _ => return Err(io::Error::last_os_error()),
            }
        };
        let mut modes = tcgetattr(&slave)?;
        // Erasing a character erases all its bytes.
        modes.input_flags |= InputFlags::IUTF8;
        tcsetattr(&slave, SetArg::TCSANOW, &modes)?;
        // Both copies are close-on-exec (F_DUPFD_CLOEXEC).
        let reader = master.as_fd().try_clone_to_owned()?;
        let writer = master.as_fd().try_clone_to_owned()?;
        let pty = Self { reader, writer, place: place(&slave) };
        pty.resize(rows, columns)?;
        Ok((pty, slave))
    }

    /// The terminal has a new size; the kernel tells its foreground processes with SIGWINCH.
    pub fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        resize(&self.writer, rows, columns)
    }
}

/// The same, for whoever holds just the [`Pty::writer`].
pub fn resize(terminal: impl AsFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize, which lives until the call returns.
    match unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Which pseudoterminal a descriptor of a slave's side is of: the device of its file system, as the kernel numbers it, and
/// in the lower half its index; `None`: it is none.
pub fn place(terminal: impl AsFd) -> Option<u64> {
    let found = fstat(terminal).ok()?;
    let (major, minor) = (u64::from(libc::major(found.st_rdev)), u64::from(libc::minor(found.st_rdev)));
    let index = major.checked_sub(SLAVES).filter(|beyond| *beyond < 8)? << 8 | minor;
    let device = u64::from(libc::major(found.st_dev)) << 20 | u64::from(libc::minor(found.st_dev));
    Some(device << 32 | index)
}

/// Keeps a terminal open after we are gone: a small process of its own reads it until nobody has it open any more, so that
/// whoever lives on there is not hung up.
pub fn keep_open(terminal: impl AsFd) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let terminal = terminal.as_fd().as_raw_fd();
    // SAFETY: between fork and _exit the child makes plain calls only, on its own stack.
    unsafe {
        match libc::fork() {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                libc::setsid();
                libc::dup2(terminal, 0);
                libc::close_range(1, u32::MAX, 0);
                let mut buffer = [0_u8; 4096];
                while libc::read(0, buffer.as_mut_ptr().cast(), buffer.len()) > 0 {}
                libc::_exit(0)
            }
            _ => Ok(()),
        }
    }
}
