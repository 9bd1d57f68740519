//! A recording as it is played: keys, the thread that reads the file, and what is on the screen then.

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use ipcscope::{
    source::{Request, Update, recording::Recording, replay},
    ui::{Effect, Mode, Options},
};

use crate::stage::{Stage, options};

/// A stage with a real recording behind it.
struct Theatre {
    stage: Stage,
    requests: Sender<Request>,
    updates: Receiver<Update>,
}

impl Theatre {
    /// Stands still after the first events.
    fn open(size: (u16, u16)) -> Self {
        Self::open_file(size, &lesson())
    }

    fn open_file(size: (u16, u16), file: &Path) -> Self {
        let (updates_in, updates) = bounded(8);
        let (requests, asked) = unbounded();
        let recording = Recording::open(file).unwrap();
        let has_screen = recording.screen().is_some();
        thread::spawn(move || replay::play(recording, 1.0, &updates_in, &asked));
        let options = Options { mode: Mode::Replay, has_command: false, terminal_pane: has_screen, ..options() };
        let mut theatre = Self { stage: Stage::new(options, size), requests, updates };
        theatre.keys(" ");
        // Until all of it is known.
        while !theatre.stage.screen().contains("‖ 1x     │") {
            theatre.settle();
        }
        theatre
    }

    fn keys(&mut self, keys: &str) -> &mut Self {
        self.stage.keys(keys);
        self.settle();
        self
    }

    /// Hands questions and answers to and fro until nothing more comes.
    fn settle(&mut self) {
        loop {
            for effect in self.stage.effects.drain(..) {
                if let Effect::Ask(request) = effect {
                    self.requests.send(request).unwrap();
                }
            }
            match self.updates.recv_timeout(Duration::from_millis(150)) {
                Ok(update) => self.stage.update(update),
                Err(_) if self.stage.effects.is_empty() => return,
                Err(_) => {}
            }
        }
    }

    /// What is asked for may take longer than it is quiet, on a machine that has other things to do.
    #[track_caller]
    fn shows(&mut self, text: &str) -> &mut Self {
        for _ in 0..40 {
            if self.stage.screen().contains(text) {
                break;
            }
            self.settle();
        }
        self.stage.shows(text);
        self
    }

    #[track_caller]
    fn hides(&mut self, text: &str) -> &mut Self {
        self.stage.hides(text);
        self
    }

    /// The line of what has just happened.
    fn moment(&mut self) -> String {
        let screen = self.stage.keys("1").screen();
        let line = screen.lines().rev().find(|line| line.starts_with(" ‖ ") && !line.contains(" of "));
        line.unwrap().to_owned()
    }

    /// The number of the event under the cursor.
    fn event(&mut self) -> u64 {
        let screen = self.stage.keys("2").screen();
        let title = screen.split_once(" event ").map(|(_, rest)| rest.split(' ').next().unwrap().to_owned());
        title.unwrap().parse().unwrap()
    }
}

fn lesson() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lessons/pipeline.ipcs")
}

#[test]
fn it_goes_to_times_parts_and_events() {
    let mut theatre = Theatre::open((120, 40));
    theatre.keys(":#2000<Enter>").shows("‖ paused");
    assert_eq!(theatre.event(), 2000);
    theatre.keys(":2.5<Enter>").shows("‖ paused 00:02.500000").shows(" 00:02.500 of ");
    let there = theatre.event();
    theatre.keys(":+2<Enter>");
    assert!(theatre.event() > there);
    theatre.keys(":-2<Enter>");
    assert!(theatre.event() <= there);
    theatre.keys(":#17<Enter>");
    assert_eq!(theatre.event(), 17);
    theatre.keys(":end<Enter>");
    let last = theatre.event();
    theatre.keys("g");
    assert_eq!(theatre.event(), 0);
    theatre.keys("G");
    assert_eq!(theatre.event(), last);
    theatre.keys(":tomorrow<Enter>").shows("is no place");
}

#[test]
fn steps_lead_on_beyond_what_is_kept() {
    let mut theatre = Theatre::open((120, 40));
    theatre.keys(":#9000<Enter>");
    for n in 1..=3 {
        theatre.keys(".");
        assert_eq!(theatre.event(), 9000 + n);
    }
    theatre.keys(",,,,");
    assert_eq!(theatre.event(), 8999);
    // Several windows back, page by page, and no event left out.
    let mut before = theatre.event();
    while before > 0 {
        theatre.keys("2<PgUp><PgUp><PgUp><PgUp><PgUp><PgUp><PgUp><PgUp><PgUp><PgUp><PgUp><PgUp><PgUp><PgUp>");
        let now = theatre.event();
        assert!(now < before, "{now} after {before}");
        before = now;
    }
    theatre.keys("2<PgUp>");
    assert_eq!(theatre.event(), 0);
}

#[test]
fn messages_states_and_matches_are_gone_to_wherever_they_are() {
    let mut theatre = Theatre::open((120, 40));
    theatre.keys("g").keys("2fkind:signal<Enter>").shows("kind ").shows("signal");
    let first = theatre.event();
    theatre.keys("n");
    let second = theatre.event();
    assert!(second > first);
    theatre.keys("N");
    assert_eq!(theatre.event(), first);
    theatre.keys("m");
    assert!(theatre.event() > first);
    let line = theatre.moment();
    assert!(line.contains(" write ") || line.contains(" read "), "{line}");
    theatre.keys("w");
    let line = theatre.moment();
    assert!(["RUNNING", "READY", "BLOCKED"].iter().any(|state| line.contains(&format!("→ {state}"))), "{line}");
    theatre.keys("2:end<Enter>").keys("fcomm:nobody<Enter>").shows("none further down");
    theatre.keys("N").shows("none further back");
}

#[test]
fn it_plays_on_from_where_it_is_looked_at() {
    let mut theatre = Theatre::open((120, 40));
    theatre.keys(":end<Enter>");
    let last = theatre.event();
    theatre.keys(":#3000<Enter>}}}}}}").shows("1000 times as fast").shows("‖ 1000x");
    theatre.keys(" ").shows("▶ replay");
    for _ in 0..20 {
        theatre.settle();
    }
    // Nothing more comes: it stands at the end.
    theatre.keys(" ");
    assert_eq!(theatre.event(), last);
}

#[test]
fn screens_of_a_moment() {
    for size in [(80, 24), (200, 50)] {
        let mut theatre = Theatre::open(size);
        theatre.keys(":#12000<Enter>1");
        let name = format!("playback_{}x{}", size.0, size.1);
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, theatre.stage.screen());
        });
    }
}

#[test]
fn notes_stay_in_the_recording() {
    let file = env::temp_dir().join(format!("ipcscope-notes-{}.ipcs", std::process::id()));
    fs::copy(lesson(), &file).unwrap();
    let mut theatre = Theatre::open_file((120, 40), &file);
    theatre.keys("'").shows("no notes yet");
    theatre.keys(":#3000<Enter>").keys("b").shows("note b");
    theatre.keys("the reader is slow<Enter>").shows("noted");
    theatre.keys(":#100<Enter>").shows("◆").keys("b<Enter>");
    drop(theatre);
    let mut theatre = Theatre::open_file((120, 40), &file);
    theatre.keys("B").shows("the reader is slow").shows("(a marked place)");
    theatre.keys("<Esc>").keys(":#200<Enter>").keys("'").shows("◆ the reader is slow");
    assert!(theatre.event() >= 3000);
    theatre.keys("\"").shows("a marked place");
    assert!((100..200).contains(&theatre.event()));
    theatre.keys("Bd").hides("(a marked place)");
    drop(theatre);
    let mut theatre = Theatre::open_file((120, 40), &file);
    theatre.keys("B").shows("the reader is slow").hides("(a marked place)");
    fs::remove_file(&file).unwrap();
}

#[test]
fn how_far_a_search_is_does_not_end_it() {
    let mut theatre = Theatre::open((120, 40));
    theatre.keys(":#100<Enter>");
    // At the end of what is kept, where more would be asked for if nothing were under way.
    theatre.stage.keys("2").keys(&"<Down>".repeat(950)).keys("fcomm:nobody<Enter>");
    assert!(matches!(theatre.stage.effects.last(), Some(Effect::Ask(Request::Replay(replay::Ask::Find { .. })))));
    theatre.stage.effects.clear();
    theatre.stage.update(Update::Notice("looking for it".to_owned()));
    assert!(theatre.stage.effects.is_empty(), "{:?}", theatre.stage.effects);
}
