//! Wire records, mutated as records, on the screen, while keys are typed.
#![no_main]

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ipcscope::{
    event::{Ending, Event, Header},
    source::Update,
    ui::{App, Message, Mode, Options, draw},
};
use ipcscope_fuzz::{frames, mutate, told};
use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzz_target};
use ratatui::{Terminal, backend::TestBackend};

/// Columns, lines, how it is decoded, and what is typed.
const CHOICES: usize = 16;

const NAMED: [KeyCode; 8] = [
    KeyCode::Enter,
    KeyCode::Esc,
    KeyCode::Tab,
    KeyCode::Up,
    KeyCode::Down,
    KeyCode::Left,
    KeyCode::Right,
    KeyCode::PageUp,
];

fuzz_target!(|input: &[u8]| {
    let Some((&[columns, rows, how, keys @ ..], rest)) = input.split_first_chunk::<CHOICES>() else { return };
    let mut events: Vec<Event> = Vec::new();
    told::decode(&frames::decode(rest), how, |event| events.push(event));
    let size = (u16::from(columns).max(1), u16::from(rows % 100).max(1));
    let mode = if how & 64 == 0 { Mode::Live } else { Mode::Replay };
    let mut app = App::new(Options { mode, ascii: how & 128 != 0, kept_events: 200, ..Options::default() }, size);
    app.update(Message::Update(Update::Started(Header::default())));
    let each = events.len().div_ceil(keys.len()).max(1);
    let mut events = events.into_iter();
    let mut wall = Duration::ZERO;
    for key in keys {
        app.update(Message::Update(Update::Events(events.by_ref().take(each).collect())));
        wall += Duration::from_millis(50);
        app.update(Message::Tick { wall });
        let code = NAMED.get(usize::from(key)).copied().unwrap_or(KeyCode::Char(char::from(key)));
        app.update(Message::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        show(&app, size);
    }
    app.update(Message::Update(Update::Ended(Ending::default())));
    show(&app, size);
});

fn show(app: &App, (columns, rows): (u16, u16)) {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(columns, rows));
    let Ok(_) = terminal.draw(|frame| draw(app, frame));
    let cells = terminal.backend().buffer().content();
    assert!(!cells.iter().any(|cell| cell.symbol().chars().any(char::is_control)));
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // One input in eight is one of other keys.
    if seed.is_multiple_of(8) && size >= CHOICES {
        let mut head = [0; CHOICES];
        head.copy_from_slice(&data[..CHOICES]);
        libfuzzer_sys::fuzzer_mutate(&mut head, CHOICES, CHOICES);
        data[..CHOICES].copy_from_slice(&head);
        return size;
    }
    mutate::input(data, size, max_size, seed, CHOICES)
});

fuzz_crossover!(|data1: &[u8], data2: &[u8], out: &mut [u8], seed: u32| {
    mutate::cross(data1, data2, out, seed, CHOICES)
});
