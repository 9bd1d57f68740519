//! Wire records, mutated as records, through the decoder and all that is made of its events.
#![no_main]

use ipcscope::event::Header;
use ipcscope_fuzz::{
    frames, mutate,
    told::{self, Told},
};
use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzz_target};

/// What is made of events, and how they are decoded.
const CHOICES: usize = 2;

fuzz_target!(|input: &[u8]| {
    let Some((&[other, how], rest)) = input.split_first_chunk::<CHOICES>() else { return };
    let mut told = Told::new(other, &Header::default());
    told::decode(&frames::decode(rest), how, |event| told.event(&event));
    told.end();
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::input(data, size, max_size, seed, CHOICES)
});

fuzz_crossover!(|data1: &[u8], data2: &[u8], out: &mut [u8], seed: u32| {
    mutate::cross(data1, data2, out, seed, CHOICES)
});
