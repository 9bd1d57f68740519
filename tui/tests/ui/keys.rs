//! Keys, and what they show or ask for.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

use ipcscope::{
    event::{Ending, Header, Nanos},
    model::script,
    source::{Request, Update},
    ui::{Effect, Message, Options, Outcome},
};

use crate::stage::{Stage, events, options};

const SIZE: (u16, u16) = (120, 40);

fn asked(stage: &mut Stage) -> String {
    let effects: Vec<String> = stage.effects.drain(..).map(|effect| format!("{effect:?}")).collect();
    effects.join("\n")
}

fn paned() -> Stage {
    let mut stage = Stage::new(Options { terminal_pane: true, ..options() }, SIZE);
    stage.update(Update::Started(Header::default()));
    stage
}

#[test]
fn quitting_asks_while_the_command_runs() {
    let mut stage = Stage::live(SIZE, 0.0034);
    stage.keys("q").shows("the command is running");
    stage.keys("<Esc>").hides("the command is running");
    assert_eq!(asked(&mut stage), "");
    stage.keys("qd");
    assert_eq!(asked(&mut stage), "Ask(Detach)\nQuit(Detached)");
}

#[test]
fn ending_the_command_waits_for_its_end() {
    let mut stage = Stage::live(SIZE, 0.0034);
    stage.keys("qe").shows("ending it");
    assert_eq!(asked(&mut stage), "Ask(EndCommand)");
    stage.update(Update::CommandEnded(ExitStatus::from_raw(15)));
    assert_eq!(asked(&mut stage), "Quit(Done)");
}

#[test]
fn quitting_twice_does_not_wait_for_a_stubborn_command() {
    let mut stage = Stage::live(SIZE, 0.0034);
    stage.keys("qeq");
    assert!(matches!(stage.effects.last(), Some(Effect::Quit(Outcome::Ending))));
}

#[test]
fn quits_at_once_when_the_command_has_ended_or_there_is_none() {
    let mut stage = Stage::live(SIZE, 0.0034);
    stage.update(Update::CommandEnded(ExitStatus::from_raw(0)));
    stage.keys("q");
    assert_eq!(asked(&mut stage), "Quit(Done)");
    let mut stage = Stage::new(Options { has_command: false, ..options() }, SIZE);
    stage.keys("<C-c>");
    assert_eq!(asked(&mut stage), "Quit(Done)");
}

#[test]
fn stays_open_after_the_command_and_tells_how_it_ended() {
    let mut stage = Stage::live(SIZE, 1.0);
    stage.update(Update::CommandEnded(ExitStatus::from_raw(13)));
    stage.shows("killed by SIGPIPE");
    stage.update(Update::Ended(Ending { events: 113, lost: 7, ..Ending::default() }));
    stage.shows("lost 7").shows("113 events");
    assert_eq!(asked(&mut stage), "");
}

#[test]
fn pausing_freezes_the_world_and_keeps_events() {
    let mut stage = Stage::live(SIZE, 0.0034);
    stage.keys(" ").shows("‖ paused 00:00.003380").shows("write: pipe full");
    stage.update(Update::Events(events(script::SAMPLE, 1.0).into_iter().filter(|e| e.t > Nanos(3_390_000)).collect()));
    stage.shows("write: pipe full").shows("113 events");
    stage.keys(" ").shows("killed by SIGPIPE").hides("paused");
}

#[test]
fn stepping_back_shows_the_world_at_that_event() {
    let mut stage = Stage::live(SIZE, 1.0);
    stage.keys(" ").shows("† ended");
    stage.keys("2g1").shows("‖ paused 00:00.000100").hides("head 4712");
    stage.keys("2G1").shows("head 4712").shows("† ended");
    for _ in 0..41 {
        stage.keys(",");
    }
    stage.shows("00:00.003380").shows("write: pipe full");
    stage.keys(".").shows("00:00.003600");
}

#[test]
fn filter_lists_matches_only_and_escape_drops_it() {
    let mut stage = Stage::live(SIZE, 1.0);
    stage.keys("2/signal:USR1<Enter>").shows("3 of 113 events").hides("execve");
    stage.keys("<Esc>").hides("of 113 events");
    stage.keys("/kind:nonsense<Enter>").shows("^").shows("nonsense");
    stage.keys("<Esc>").hides("nonsense");
}

#[test]
fn find_goes_from_match_to_match() {
    let mut stage = Stage::live(SIZE, 1.0);
    stage.keys("2gfsignal:USR1<Enter>").shows("event 74");
    stage.keys("n").shows("event 79");
    stage.keys("nn").shows("none further down");
    stage.keys("N").shows("event 79");
}

#[test]
fn from_a_receive_to_its_send_and_back() {
    let mut stage = Stage::live(SIZE, 1.0);
    stage.keys("2gfkind:recv bytes>0<Enter>").shows("took 8192 bytes out of pipe:[8124]");
    stage.keys("c").shows("yes (4711) put 8192 bytes into pipe:[8124]");
    stage.keys("e").shows("took 8192 bytes out of pipe:[8124]");
}

#[test]
fn from_an_event_to_the_map_at_that_moment() {
    let mut stage = Stage::live(SIZE, 1.0);
    stage.keys("2gfkind:recv bytes>0<Enter><Enter>").shows("‖ paused").shows("anonymous pipe");
}

#[test]
fn from_the_map_to_the_events_of_a_channel() {
    let mut stage = Stage::live(SIZE, 0.0034);
    stage.keys("<Down><Down><Right>").shows("anonymous pipe");
    stage.keys("<Enter>").shows("filter channel:81").shows("events");
}

#[test]
fn keys_go_to_the_command_while_its_terminal_is_focused() {
    let mut stage = paned();
    assert_eq!(asked(&mut stage), "Ask(Resize { rows: 9, columns: 120 })");
    stage.keys("tq<C-c><Up>").shows("Ctrl-] leaves");
    let typed: Vec<Vec<u8>> = stage
        .effects
        .drain(..)
        .filter_map(|effect| if let Effect::Ask(Request::Input(bytes)) = effect { Some(bytes) } else { None })
        .collect();
    assert_eq!(typed, [&b"q"[..], b"\x03", b"\x1b[A"]);
    stage.tell(Message::Paste("a\nb".to_owned()));
    stage.keys("<C-5>").hides("Ctrl-] leaves");
    assert_eq!(asked(&mut stage), "Ask(Input([97, 13, 98]))");
}

#[test]
fn a_focused_terminal_gives_the_keys_back_when_the_command_ends() {
    let mut stage = paned();
    stage.keys("t");
    stage.update(Update::CommandEnded(ExitStatus::from_raw(0)));
    stage.keys("q");
    assert!(matches!(stage.effects.last(), Some(Effect::Quit(Outcome::Done))));
}

#[test]
fn the_terminal_keeps_its_size_whatever_has_the_focus() {
    let mut stage = paned();
    stage.effects.clear();
    stage.keys("t<C-5>2/x<Esc>1 ");
    stage.wait(100);
    let resized = stage.effects.iter().any(|effect| matches!(effect, Effect::Ask(Request::Resize { .. })));
    assert!(!resized, "{:?}", stage.effects);
    stage.resize(100, 30);
    assert!(matches!(stage.effects.last(), Some(Effect::Ask(Request::Resize { rows: 6, columns: 100 }))));
}

#[test]
fn blocked_time_counts_up_while_nothing_happens() {
    let mut stage = Stage::live(SIZE, 0.003_39);
    stage.wait(2400);
    stage.shows("◌ BLOCKED 2.4 s");
}

#[test]
fn a_signal_flashes_and_fades() {
    let mut stage = Stage::live(SIZE, 0.003_73);
    stage.shows("⚡SIGUSR1 ┘");
    stage.wait(1600);
    stage.hides("⚡SIGUSR1 ┘");
}

#[test]
fn number_keys_and_tab_go_through_the_views() {
    let mut stage = Stage::live(SIZE, 0.004_1);
    stage.keys("3").shows("┌ timeline");
    stage.keys("4").shows("┌ signals 3");
    stage.keys("2").shows("┌ events");
    stage.keys("1").shows("┌ processes and channels");
    stage.keys("<Tab><Tab>").shows("┌ timeline");
    stage.keys("<Tab><Tab>").shows("┌ processes and channels");
}

#[test]
fn the_timeline_s_cursor_is_the_moment_of_all_views() {
    let mut stage = Stage::live(SIZE, 1.0);
    stage.keys(" 3gHHH").shows("at 0.000100 s");
    stage.keys("1").shows("‖ paused 00:00.000100").hides("head 4712");
    stage.keys("3GLL1").shows("head 4712").shows("† ended");
    // Back by cells: the map goes along.
    stage.keys("3[[[[1").shows("‖ paused 00:00.005");
}

#[test]
fn the_timeline_zooms_around_its_cursor_and_back_to_everything() {
    let mut stage = Stage::live(SIZE, 1.0);
    stage.keys("3").shows("one cell = 100 µs").shows("following");
    stage.keys("<Left>").hides("following");
    stage.keys("+++").shows("one cell = 10 µs");
    stage.keys("-").shows("one cell = 20 µs");
    stage.keys("0").shows("one cell = 100 µs").shows("│0.000100 s");
    stage.keys("G").shows("following");
}

#[test]
fn lanes_are_selected_and_their_events_walked() {
    let mut stage = Stage::live(SIZE, 1.0);
    stage.keys("3<Down><Down><Down>").shows("┌ sort 4713 at");
    stage.keys("[").shows("ZOMBIE → DEAD");
    stage.keys("[[").shows("close pipe:[8125]");
    stage.keys("<Enter>").shows("┌ events").shows("sort (4713) closed the read end");
}

#[test]
fn cause_and_effect_lead_from_a_receive_to_its_send_and_back() {
    let mut stage = Stage::live(SIZE, 1.0);
    stage.keys("2gfkind:recv<Enter>").shows("head (4712) took 8192 bytes");
    stage.keys("c").shows("yes (4711) put 8192 bytes").shows("sent");
    stage.keys("e").shows("head (4712) took 8192 bytes").shows("received");
    // In the timeline the same keys lead from lane to lane.
    stage.keys("3c").shows("┌ yes 4711 at");
    stage.keys("e").shows("┌ head 4712 at");
}

#[test]
fn the_other_links_are_reached_one_after_the_other() {
    let mut stage = Stage::live(SIZE, 1.0);
    stage.keys("2gfsignal:USR1<Enter>").shows("sh (4710) sent SIGUSR1");
    stage.keys("e").shows("o: 1 more");
    stage.keys("o").shows("2 of 2").shows("made sort (4713) READY");
}

#[test]
fn signals_lead_to_the_list_the_timeline_and_the_map_to_signals() {
    let mut stage = Stage::live(SIZE, 1.0);
    stage.keys("4g").shows("┌ SIGUSR1 #1");
    stage.keys("<Enter>").shows("┌ events").shows("sh (4710) sent SIGUSR1");
    stage.keys("4z").shows("┌ sh 4710 at 0.003700 s");
    stage.keys("4c").shows("sh (4710) sent SIGUSR1");
    stage.keys("4e").shows("SIGUSR1 delivered");
    stage.keys("1<Down><Down>s").shows("┌ signals of").shows("(Esc: all)");
    stage.keys("<Esc>").shows("┌ signals 3");
    stage.keys("/signal:PIPE<Enter>").shows("┌ signals 1 ").shows("SIGPIPE");
}

#[test]
fn while_paused_in_the_past_no_later_signal_shows() {
    let mut stage = Stage::live(SIZE, 1.0);
    stage.keys(" 2gfsignal:CHLD<Enter>,,,,4").shows("┌ signals 1 ").hides("SIGCHLD");
}

/// A child that waits for an end-of-file that never comes: its parent holds the write end and waits for the child.
const STUCK: &str = "0 1 par exec /bin/par\n0 1 par pipe 7 3 4\n0 1 par fork 2\n0 2 kid inherit 7 r 3 from 1\n\
                     0 1 par close 7 r 3\n0.1 2 kid state BLOCKED read 7 fd 3\n0.2 1 par state BLOCKED wait4 for 2\n";

#[test]
fn findings_come_by_themselves_and_lead_to_their_events() {
    let mut stage = Stage::new(options(), SIZE);
    stage.update(Update::Started(Header::default()));
    stage.wait(1000);
    stage.update(Update::Events(events(STUCK, 1.0)));
    stage.keys("!").shows("no findings so far").hides("no-end-of-file");
    stage.wait(5000);
    stage.shows("! 1 finding ");
    stage.keys("!").shows("! no-end-of-file").shows("par 1 (fd 4), which never wrote").shows("events 1 5");
    stage.keys("<Right><Enter>").hides("! no-end-of-file").shows("event 5").shows("BLOCKED in read");
    stage.keys("!<Esc>").hides("! no-end-of-file");
}
