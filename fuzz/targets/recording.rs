//! A file: opened, salvaged, decoded and told, from the beginning and from every place that can be gone to; merged.
#![no_main]

use std::{
    env,
    fs::{self, File},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use ipcscope::{
    event::Event,
    source::{
        merge::Merge,
        recording::{Recording, Standing},
    },
    trace,
};
use ipcscope_fuzz::{file, told::Told};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

/// Places of a recording that are gone to.
const PLACES: usize = 4;

/// What an input is merged with.
const OTHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tui/tests/fixtures/flight.ipcs");

/// A file that has no name any more: nothing is left of it, however this ends.
fn path() -> &'static Path {
    static FILE: OnceLock<(File, PathBuf)> = OnceLock::new();
    let (_, path) = FILE.get_or_init(|| {
        // Where memory is a folder, the disk is spared.
        let folder = Some(PathBuf::from("/dev/shm")).filter(|folder| folder.is_dir()).unwrap_or_else(env::temp_dir);
        let name = folder.join(format!("ipcscope-fuzz-{}.ipcs", std::process::id()));
        let file = File::create(&name).expect("a file can be made");
        fs::remove_file(&name).expect("and its name taken away");
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        (file, path.into())
    });
    path
}

fuzz_target!(|input: &[u8]| {
    fs::write(path(), input).expect("the input is written for a while");
    let notes = trace::read_notes(path());
    assert!(notes.is_ok_and(|notes| notes.iter().all(|note| !note.text.chars().any(char::is_control))));
    let Ok(mut recording) = Recording::open(path()) else { return };
    drop(recording.outline());
    let mut told = Told::new(input.len() as u8, recording.header());
    let mut places = Vec::new();
    let all = rest(&mut recording, &mut places);
    for event in &all {
        told.event(event);
    }
    told.end();
    let note = recording.note();
    assert!(note.is_none_or(|note| !note.chars().any(char::is_control)));
    drop((recording.ending(), recording.screen()));
    for (before, standing) in places.iter().rev().take(PLACES) {
        if recording.go(standing).is_ok() {
            assert_eq!(rest(&mut recording, &mut Vec::new()), all[*before..]);
        }
    }
    if input.len().is_multiple_of(3) {
        let others = [path().to_owned(), PathBuf::from(OTHER)];
        if let Ok(merge) = Merge::prepare(&others) {
            drop(merge.write(Vec::new()));
        }
    }
});

/// Reads on to the end; what has been read, and how it stood between.
fn rest(recording: &mut Recording, places: &mut Vec<(usize, Standing)>) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        if let Some(standing) = recording.standing()
            && places.last().is_none_or(|(before, _)| *before < events.len())
        {
            places.push((events.len(), standing));
        }
        let mut fresh = Vec::new();
        let Ok(Some(_)) = recording.next_item(&mut fresh) else { return events };
        events.append(&mut fresh);
    }
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| { file::input(data, size, max_size, seed) });
