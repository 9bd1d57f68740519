//! What the live tests trace besides pipes under load: each workload prints `name value` lines of what it did and saw.

mod attach;
mod beyond;
mod blocking;
mod compat;
mod datagrams;
mod deadlocks;
mod flood;
mod kept;
mod many;
mod mistakes;
mod mqueues;
mod objects;
mod origins;
mod pipes;
mod processes;
mod queues;
mod rpc;
mod shared;
mod signals;
mod sockets;
mod states;
mod subject;
mod sys;
mod unruly;
mod verdicts;
mod waits;

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
        ["mistake", name] => mistakes::run(name, true),
        ["correct", name] => mistakes::run(name, false),
        ["hold-still", ready] => pipes::hold_still(ready.parse().unwrap()),
        ["verdicts"] => verdicts::verdicts(),
        words if sockets::run(words) || rpc::run(words) => {}
        [name] if states::run(name) => {}
        ["give", path] => beyond::give(path),
        ["take", path] => beyond::take(path),
        ["compat"] => compat::compat(),
        ["queue-load", senders, receivers, messages] => {
            queues::load(senders.parse().unwrap(), receivers.parse().unwrap(), messages.parse().unwrap());
        }
        ["queues"] => queues::queues(),
        ["queue-leave"] => queues::leave(),
        ["queue-use-up", queue] => queues::use_up(queue.parse().unwrap()),
        words if mqueues::run(words) || datagrams::run(words) => {}
        words if shared::run(words) || objects::run(words) => {}
        ["unruly", count] => unruly::unruly(count.parse().unwrap()),
        ["one-after-the-other", count] => many::one_after_the_other(count.parse().unwrap()),
        ["many", kind, count] => many::many(kind, count.parse().unwrap()),
        ["requests"] => beyond::requests(),
        ["serve", fifo] => beyond::serve(fifo),
        ["ring"] => beyond::ring(),
        [name] => {
            return pipes::run(name)
                || signals::run(name)
                || origins::run(name)
                || waits::run(name)
                || processes::run(name);
        }
        _ => return false,
    }
    true
}
