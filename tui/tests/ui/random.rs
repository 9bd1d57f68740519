//! Whatever is typed, at whatever size: no panic, and only printable text on the screen.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

use ipcscope::{
    event::{Ending, Event, Header, Kind},
    source::Update,
    ui::Options,
};
use proptest::prelude::*;

use crate::stage::{FAN, Stage, events, options};

#[derive(Clone, Debug)]
enum Step {
    Keys(String),
    Resize(u16, u16),
    Events(usize),
    Wait(u64),
    Output(Vec<u8>),
    Ended,
}

fn step() -> impl Strategy<Value = Step> {
    let key = prop_oneof![
        4 => "[1-4qdeptTfnNcghjklGHLN/?.,<> :|()!\"a-c0-9+\\-\\[\\]=s]".prop_map(|c| if c == "<" { "<Esc>".to_owned() } else { c }),
        3 => prop::sample::select(vec!["<Enter>", "<Esc>", "<Tab>", "<Up>", "<Down>", "<Left>", "<Right>", "<PgUp>"])
            .prop_map(str::to_owned),
        1 => prop::sample::select(vec!["<C-c>", "<C-l>", "<C-5>", "<C-d>", "<C-u>"]).prop_map(str::to_owned),
    ];
    prop_oneof![
        8 => prop::collection::vec(key, 1..6).prop_map(|keys| Step::Keys(keys.concat())),
        2 => (0_u16..220, 0_u16..60).prop_map(|(columns, rows)| Step::Resize(columns, rows)),
        4 => (1_usize..60).prop_map(Step::Events),
        1 => (0_u64..3000).prop_map(Step::Wait),
        1 => prop::collection::vec(any::<u8>(), 0..80).prop_map(Step::Output),
        1 => Just(Step::Ended),
    ]
}

/// What a traced program could try: escape sequences as its name.
fn hostile(mut event: Event) -> Event {
    if let Kind::Exec(exec) = &mut event.kind {
        "/\x1b[31m/\u{202e}".clone_into(&mut exec.exe);
        exec.argv.push("\x1b]0;title\x07\u{9b}2J".to_owned());
    }
    event
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn never_panics(steps in prop::collection::vec(step(), 1..40), fan in any::<bool>(), small_log in any::<bool>()) {
        let kept_events = if small_log { 16 } else { 100_000 };
        let mut stage = Stage::new(Options { terminal_pane: true, kept_events, ..options() }, (80, 24));
        stage.update(Update::Started(Header::default()));
        let script = if fan { FAN } else { ipcscope::model::script::SAMPLE };
        let mut all = events(script, 1.0).into_iter().map(hostile);
        for step in steps {
            match step {
                Step::Keys(keys) => { stage.keys(&keys); }
                Step::Resize(columns, rows) => stage.resize(columns, rows),
                Step::Events(count) => stage.update(Update::Events(all.by_ref().take(count).collect())),
                Step::Wait(ms) => stage.wait(ms),
                Step::Output(bytes) => stage.update(Update::Output(bytes)),
                Step::Ended => {
                    stage.update(Update::CommandEnded(ExitStatus::from_raw(9)));
                    stage.update(Update::Ended(Ending::default()));
                }
            }
            let screen = stage.screen();
            prop_assert!(!screen.chars().any(|c| c.is_control() && c != '\n'), "{screen:?}");
        }
    }
}
