//! What the live tests trace besides pipes under load: each workload prints `name value` lines of what it did and saw.

mod attach;
mod pipes;
mod signals;
mod states;
mod sys;
mod verdicts;

/// Runs a workload; `false` if there is none of that name.
pub fn run(words: &[&str]) -> bool {
    match words {
        ["forks", count] => attach::forks(count.parse().unwrap()),
        ["busy", messages] => attach::busy(messages.parse().unwrap()),
        ["reader"] => attach::reader(),
        ["pair"] => attach::pair(),
        ["threads"] => attach::threads(),
        ["hold-still", ready] => pipes::hold_still(ready.parse().unwrap()),
        ["verdicts"] => verdicts::verdicts(),
        [name] if states::run(name) => {}
        [name] => return pipes::run(name) || signals::run(name),
        _ => return false,
    }
    true
}
