//! The terminal: taken over for the application, and given back as it was.

use std::{
    io::{self, BufWriter, Stdout, Write as _, stdout},
    panic::{self, PanicHookInfo},
    sync::{Arc, Mutex},
    thread,
};

use crossterm::{
    event::{DisableBracketedPaste, EnableBracketedPaste},
    execute, queue,
    style::force_color_output,
    terminal::{
        BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
        disable_raw_mode, enable_raw_mode,
    },
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend};

type Hook = dyn Fn(&PanicHookInfo) + Send + Sync;

/// The terminal while it is ours; dropping it gives it back.
pub(super) struct Screen {
    terminal: Terminal<Backend>,
    before: Arc<Hook>,
    reports: Arc<Mutex<Vec<String>>>,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn take(color: bool) -> io::Result<Self> {
        // The option has already weighed NO_COLOR; crossterm would ask the environment again.
        force_color_output(color);
        let reports = Arc::new(Mutex::new(Vec::new()));
        let before = hook(&reports);
        let terminal = blank();
        let entered = enter();
        let mut screen = Self { terminal: terminal?, before, reports };
        entered?;
        screen.repaint()?;
        Ok(screen)
    }

    /// Draws a frame, to appear at once.
    pub(super) fn draw(&mut self, render: impl FnOnce(&mut Frame)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(render)?;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
    }

    /// Everything will be painted anew.
    pub(super) fn repaint(&mut self) -> io::Result<()> {
        // `Terminal::clear` would ask the terminal where its cursor is, which not every terminal answers.
        execute!(self.terminal.backend_mut(), Clear(ClearType::All))?;
        self.terminal = blank()?;
        Ok(())
    }

    /// Gives the terminal back, stops as a job, and takes the terminal over again when continued.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        leave();
        signal_hook::low_level::raise(signal_hook::consts::SIGTSTP)?;
        enter()?;
        self.repaint()
    }

    /// Takes the terminal over anew, whatever became of it while we were stopped.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        // Only what is off can be turned on.
        disable_raw_mode()?;
        enter()?;
        self.repaint()
    }
}

type Backend = CrosstermBackend<BufWriter<Stdout>>;

/// A terminal that is taken to be empty.
fn blank() -> io::Result<Terminal<Backend>> {
    Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(64 << 10, stdout())))
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
        if !thread::panicking() {
            let before = self.before.clone();
            panic::set_hook(Box::new(move |info| before(info)));
        }
        if let Ok(reports) = self.reports.lock() {
            for report in reports.iter() {
                let _ = writeln!(io::stderr(), "{report}");
            }
        }
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste)
}

/// Puts everything back; what fails is of no use to anybody any more.
fn leave() {
    let _ = execute!(stdout(), EndSynchronizedUpdate, DisableBracketedPaste, LeaveAlternateScreen);
    let _ = execute!(stdout(), crossterm::cursor::Show);
    let _ = disable_raw_mode();
}

/// A panic of this thread restores the terminal before it is reported; one of another thread is reported at the end,
/// so that it does not spoil the screen. Returns the hook that was there before.
fn hook(reports: &Arc<Mutex<Vec<String>>>) -> Arc<Hook> {
    let before: Arc<Hook> = panic::take_hook().into();
    let (drawing, original, reports) = (thread::current().id(), before.clone(), reports.clone());
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == drawing {
            leave();
            original(info);
        } else if let Ok(mut reports) = reports.lock() {
            reports.push(format!("thread '{}': {info}", thread::current().name().unwrap_or("unnamed")));
        }
    }));
    before
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::{env, fs::File, io::Read as _, process::Command};

    use nix::{
        pty::{Winsize, openpty},
        sys::termios::{LocalFlags, tcgetattr},
    };

    use super::Screen;

    /// Set for the process that is to panic.
    const VARIABLE: &str = "IPCSCOPE_TEST_PANIC";
    const ENTER: &str = "\u{1b}[?1049h";
    const LEAVE: &str = "\u{1b}[?1049l";

    /// Does nothing unless the other test starts it.
    #[test]
    fn panics_where_it_is_told_to() {
        if env::var_os(VARIABLE).is_none() {
            return;
        }
        let mut screen = Screen::take(false).unwrap();
        screen.draw(|_| ()).unwrap();
        panic!("a fault of ours");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_reported() {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let slave = || pty.slave.try_clone().unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", "app::terminal::tests::panics_where_it_is_told_to"]);
        command.env(VARIABLE, "1").stdin(slave()).stdout(slave()).stderr(slave());
        let status = command.status().unwrap();
        assert_eq!(status.code(), Some(101), "libtest's way to say that it panicked");
        let flags = tcgetattr(&pty.slave).unwrap().local_flags;
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG), "{flags:?}");
        // The other side stays open in us, so there is no end to read to; it all fits the terminal's buffer.
        let mut shown = vec![0; 1 << 16];
        let count = File::from(pty.master).read(&mut shown).unwrap();
        let shown = String::from_utf8_lossy(shown.get(..count).unwrap());
        let at = |words: &str| shown.find(words).unwrap_or_else(|| panic!("no {words:?} in {shown:?}"));
        assert!(at(ENTER) < at(LEAVE) && at(LEAVE) < at("a fault of ours"), "{shown:?}");
    }
}
