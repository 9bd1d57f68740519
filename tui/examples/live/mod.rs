//! What the live tests trace besides pipes under load: each workload prints `name value` lines of what it did and saw.

mod attach;
mod flood;
mod pipes;
mod processes;
mod signals;
mod sys;

/// Runs a workload; `false` if there is none of that name.
pub fn run(words: &[&str]) -> bool {
    match words {
        ["forks", count] => attach::forks(count.parse().unwrap()),
        ["busy", messages] => attach::busy(messages.parse().unwrap()),
        ["signal-flood", count] => flood::signals(count.parse().unwrap()),
        ["tree", depth, width] => processes::tree(depth.parse().unwrap(), width.parse().unwrap()),
        ["reader"] => attach::reader(),
        ["pair"] => attach::pair(),
        ["threads"] => attach::threads(),
        ["hold-still", ready] => pipes::hold_still(ready.parse().unwrap()),
        [name] => return pipes::run(name) || signals::run(name) || processes::run(name),
        _ => return false,
    }
    true
}
