//! `watch`: the live application.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    ops::ControlFlow,
    os::fd::OwnedFd,
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, unbounded};

use super::{
    args::{Target, WatchArgs},
    follow::Save,
    lines::colours,
    replay::need_terminal,
    setup,
};
use signal_hook::consts;

use crate::{
    app,
    decode::{Decoder, sequence::Batch},
    event::{Ending, Event},
    source::{
        Request, Update,
        live::{Session, StartError},
    },
    sys::{
        launch::{Running, Terminal},
        outcome::Outcome,
        pty,
    },
    trace::{self, FrameKind, Recorder, Screen},
    ui::{self, Options},
};

/// The terminal of the command before the application has told its size.
const ROWS: u16 = 10;
const COLUMNS: u16 = 80;
/// How often to look at the command.
const LOOK: Duration = Duration::from_millis(20);
/// From SIGTERM to SIGKILL for a command that is to end.
const GRACE: Duration = Duration::from_secs(2);

/// What the tracing thread leaves behind.
#[derive(Default)]
struct Left {
    status: Option<ExitStatus>,
    failure: Option<(String, i32)>,
}

/// Traces and shows.
pub fn run(args: &WatchArgs) -> anyhow::Result<Outcome> {
    show(args, setup::title(&args.target))
}

/// Traces and shows, under a title.
pub fn show(args: &WatchArgs, title: String) -> anyhow::Result<Outcome> {
    if args.record.is_none() && (args.keep.last.is_some() || args.keep.max_size.is_some()) {
        anyhow::bail!("--last and --max-size are about a recording: add --record FILE");
    }
    need_terminal("ipcscope trace")?;
    let has_command = matches!(args.target.target(), Target::Command(_));
    let (updates_in, updates) = bounded(256);
    let (requests, asked) = unbounded();
    let left = Arc::new(Mutex::new(Left::default()));
    let tracer = {
        let (args, left) = (args.clone(), Arc::clone(&left));
        // The first frame does not wait for the probes.
        thread::Builder::new().name("tracer".to_owned()).spawn(move || trace(&args, &updates_in, &asked, &left))?
    };
    let outcome = app::run(
        &updates,
        &requests,
        Options {
            title,
            has_command,
            terminal_pane: has_command,
            color: colours(args.color, true),
            ..Options::default()
        },
    )?;
    // Leaving the application ends the tracing thread: its queues are gone.
    drop((updates, requests));
    let _ = tracer.join();
    let left = left.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((failure, status)) = &left.failure {
        eprintln!("ipcscope: {failure}");
        return Ok(Outcome::Code(*status));
    }
    Ok(match (outcome, left.status) {
        (ui::Outcome::Signal(signal), _) => Outcome::Signal(signal),
        (_, Some(status)) => Outcome::from(status),
        _ => Outcome::Code(0),
    })
}

/// The tracing thread: from probes to events.
fn trace(args: &WatchArgs, updates: &Sender<Update>, asked: &Receiver<Request>, left: &Mutex<Left>) {
    let fail = |error: &anyhow::Error| {
        let status = error.downcast_ref::<StartError>().map_or(1, StartError::exit_status);
        left.lock().unwrap_or_else(PoisonError::into_inner).failure = Some((super::reasons(error), status));
        let _ = updates.send(Update::Failed(super::reasons(error)));
    };
    let recording = match args.record.as_deref().map(|path| setup::place(path, &args.keep)).transpose() {
        Ok(recording) => recording,
        Err(error) => return fail(&error),
    };
    let save = match if args.keep.last.is_some() { Save::register() } else { Ok(Save::default()) } {
        Ok(save) => save,
        Err(error) => return fail(&error.into()),
    };
    let mut session = match setup::start(&args.target, Terminal::Pty { rows: ROWS, columns: COLUMNS }) {
        Ok(session) => session,
        Err(error) => return fail(&error),
    };
    let screen = session.running.is_some().then_some(Screen { rows: ROWS, columns: COLUMNS });
    let recorder = match recording.map(|place| setup::recorder(place, &session, &args.target, screen)) {
        Some(Ok(recorder)) => Some(Arc::new(recorder)),
        Some(Err(error)) => return fail(&error),
        None => None,
    };
    if updates.send(Update::Started(session.header.clone())).is_err() {
        return;
    }
    let mut running = session.running.take();
    let mut input = None;
    if let Some(pty) = running.as_mut().and_then(|running| running.pty.take()) {
        input = Some(File::from(pty.writer));
        let (updates, recorder, start) = (updates.clone(), recorder.clone(), session.clock_start);
        let spawned = thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(move || read_terminal(pty.reader, &updates, recorder.as_deref(), start));
        if let Err(error) = spawned {
            return fail(&error.into());
        }
    }
    let mut work = Work {
        decoder: Decoder::new(args.target.events, args.target.payload),
        events: 0,
        most: args.target.count.unwrap_or(u64::MAX),
        running,
        input,
        recorder,
        save,
        kill_at: None,
        until: args.target.duration.map(|duration| Instant::now() + duration),
    };
    work.run(&mut session, updates, asked, left);
    // Detach before anything else: the command may live on.
    drop(session);
    let Work { mut running, recorder, decoder, events, input, .. } = work;
    if let Some(recorder) = recorder {
        let ending = Ending { events, lost: decoder.lost(), lost_by: decoder.lost_by().clone() };
        // The terminal's thread may still hold it for a moment; it ends with the command's terminal.
        if let Some(recorder) = Arc::into_inner(recorder)
            && let Err(error) = recorder.finish(ending)
        {
            left.lock().unwrap_or_else(PoisonError::into_inner).failure = Some((error.to_string(), 1));
        }
    }
    // A command that was told to end and has not: once more, for good.
    if work.kill_at.is_some()
        && let Some(running) = running.as_mut()
    {
        end_for_good(running, left);
    }
    // One that lives on keeps its terminal.
    if let (Some(terminal), Some(_), None) = (&input, &running, work.kill_at) {
        let _ = pty::keep_open(terminal);
    }
}

fn end_for_good(running: &mut Running, left: &Mutex<Left>) {
    let until = Instant::now() + GRACE;
    while Instant::now() < until {
        if let Ok(Some(status)) = running.try_wait() {
            left.lock().unwrap_or_else(PoisonError::into_inner).status = Some(status);
            return;
        }
        thread::sleep(LOOK);
    }
    let _ = running.signal_group(consts::SIGKILL);
    if let Ok(status) = running.wait() {
        left.lock().unwrap_or_else(PoisonError::into_inner).status = Some(status);
    }
}

struct Work {
    decoder: Decoder,
    events: u64,
    most: u64,
    running: Option<Running>,
    input: Option<File>,
    recorder: Option<Arc<Recorder>>,
    save: Save,
    kill_at: Option<Instant>,
    until: Option<Instant>,
}

impl Work {
    fn run(&mut self, session: &mut Session, updates: &Sender<Update>, asked: &Receiver<Request>, left: &Mutex<Left>) {
        let has_command = self.running.is_some();
        let mut winding = false;
        loop {
            match session.batches.recv_timeout(LOOK) {
                Ok(batch) => {
                    if self.batch(&batch, session, updates).is_break() {
                        return;
                    }
                    if !has_command && !winding && !self.decoder.is_anybody_left() {
                        winding = true;
                        session.wind_down();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if !winding && let Some(Ok(Some(status))) = self.running.as_mut().map(Running::try_wait) {
                left.lock().unwrap_or_else(PoisonError::into_inner).status = Some(status);
                let _ = updates.send(Update::CommandEnded(status));
                self.running = None;
                self.kill_at = None;
                winding = true;
                session.wind_down();
            }
            if self.until.is_some_and(|until| Instant::now() >= until) || self.events >= self.most {
                self.until = None;
                self.most = u64::MAX;
                winding = true;
                session.wind_down();
            }
            self.save(updates);
            if self.answer(asked).is_break() {
                return;
            }
        }
        let mut events = Vec::new();
        self.decoder.finish(&mut events);
        let _ = self.tell(events, updates);
        let ending = Ending { events: self.events, lost: self.decoder.lost(), lost_by: self.decoder.lost_by().clone() };
        let _ = updates.send(Update::Ended(ending));
        self.after_tracing(updates, asked, left);
    }

    /// Tracing is over; the command, if it lives, keeps its terminal until the application is left.
    fn after_tracing(&mut self, updates: &Sender<Update>, asked: &Receiver<Request>, left: &Mutex<Left>) {
        while self.answer(asked).is_continue() {
            self.save(updates);
            if let Some(Ok(Some(status))) = self.running.as_mut().map(Running::try_wait) {
                left.lock().unwrap_or_else(PoisonError::into_inner).status = Some(status);
                let _ = updates.send(Update::CommandEnded(status));
                self.running = None;
            }
            thread::sleep(LOOK);
        }
    }

    /// Writes what the flight recorder has, if it is asked to.
    fn save(&self, updates: &Sender<Update>) {
        let Some(recorder) = &self.recorder else { return };
        if self.save.take() {
            recorder.save();
        }
        setup::tell_saved(recorder, |saved| {
            let _ = updates.send(Update::Notice(saved));
        });
    }

    fn batch(&mut self, batch: &Batch, session: &mut Session, updates: &Sender<Update>) -> ControlFlow<()> {
        let mut events = Vec::new();
        if let Some(recorder) = &self.recorder {
            recorder.records(batch.clone(), session.clock_start);
        }
        for bytes in batch.iter() {
            self.decoder.record(bytes, &mut events);
        }
        session.forget_pipes(&self.decoder.take_gone());
        self.tell(events, updates)
    }

    fn tell(&mut self, events: Vec<Event>, updates: &Sender<Update>) -> ControlFlow<()> {
        self.events += events.iter().filter(|event| !event.kind.is_quiet()).count() as u64;
        if !events.is_empty() && updates.send(Update::Events(events)).is_err() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Does what the application asks; breaks when it is gone, or wants to detach.
    fn answer(&mut self, asked: &Receiver<Request>) -> ControlFlow<()> {
        loop {
            match asked.try_recv() {
                Ok(Request::Input(bytes)) => {
                    if let Some(input) = &mut self.input {
                        // A terminal that takes no more input drops it, as a real one does.
                        let _ = input.write(&bytes);
                    }
                }
                // What happens cannot be played otherwise.
                Ok(Request::Replay(_)) => {}
                Ok(Request::Resize { rows, columns }) => {
                    if let Some(input) = &self.input {
                        let _ = pty::resize(input, rows, columns);
                    }
                }
                Ok(Request::Detach) | Err(TryRecvError::Disconnected) => return ControlFlow::Break(()),
                Ok(Request::EndCommand) => {
                    if let Some(running) = &self.running {
                        let _ = running.signal_group(consts::SIGTERM);
                        // A stopped one takes it only when it goes on.
                        let _ = running.signal_group(consts::SIGCONT);
                        self.kill_at = Some(Instant::now() + GRACE);
                    }
                }
                Err(TryRecvError::Empty) => break,
            }
        }
        if self.kill_at.is_some_and(|at| Instant::now() >= at)
            && let Some(running) = &self.running
        {
            let _ = running.signal_group(consts::SIGKILL);
        }
        ControlFlow::Continue(())
    }
}

/// Hands on what the command writes to its terminal.
fn read_terminal(reader: OwnedFd, updates: &Sender<Update>, recorder: Option<&Recorder>, start: u64) {
    let mut file = File::from(reader);
    let mut buffer = vec![0; 16 << 10];
    // EIO: nobody has it open any more.
    while let Ok(count) = file.read(&mut buffer) {
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { return };
        if let Some(recorder) = recorder {
            let mut frames = trace::Batch::default();
            frames.push(FrameKind::Output, crate::sys::clock::now().saturating_sub(start), bytes);
            recorder.record(frames);
        }
        if updates.send(Update::Output(bytes.to_vec())).is_err() {
            return;
        }
    }
}
