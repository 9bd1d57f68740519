//! What can have happened between two observations.
//!
//! Between observations only calls on a CPU act, each by sections under the mutex, in any order. Invariants: the search
//! misses nothing; if there is too much to look at it says so instead. Sections that can as well come later are left
//! for later. Tested through `truth_tests`.

use super::{Position, Side};
use super::calls::{Call, Calls};
use super::hypothesis::{Hypothesis, Setting, collapse};

/// States looked at between two observations.
const MOST_STATES: usize = 2048;

/// Which states are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal<'a> {
    /// Those that a stable sample saw.
    At(&'a Position),
    /// Those in which this call has done any number of sections, and the others no more than it needs.
    After(u32),
    /// All that others can bring about before this call has a section.
    Before(u32),
}

/// Too many states.
#[derive(Debug)]
pub(super) struct TooMany;

struct State {
    hypothesis: Hypothesis,
    /// The call whose section led here.
    by: Option<u32>,
}

/// All states that sections of the calls `acting` can lead to and that the goal wants.
pub(super) fn reach(
    from: Vec<Hypothesis>,
    goal: Goal<'_>,
    acting: &[u32],
    calls: &Calls,
    setting: &Setting,
) -> Result<Vec<Hypothesis>, TooMany> {
    let mut reached = Vec::new();
    let mut looked_at = 0;
    let mut level: Vec<State> = from.into_iter().map(|hypothesis| State { hypothesis, by: None }).collect();
    while !level.is_empty() {
        looked_at += level.len();
        if looked_at > MOST_STATES {
            return Err(TooMany);
        }
        let mut next: Vec<State> = Vec::new();
        for mut state in level {
            let news = came_in_vain(&mut state.hypothesis, acting, calls, setting);
            let (wanted, expand) = match goal {
                Goal::At(seen) => {
                    let there = state.hypothesis.ring.is_at(seen);
                    (there, !there)
                }
                Goal::After(slot) => {
                    let done = state.hypothesis.is_finished(slot) || calls.get(slot).is_none_or(|call| !call.has_effect());
                    (state.by.is_none_or(|by| by == slot) || news.contains(&slot), !done)
                }
                Goal::Before(_) => (true, true),
            };
            if expand {
                for (slot, call) in able(acting, calls) {
                    if let Goal::Before(before) = goal
                        && before == slot
                        && call.side == Side::Read
                    {
                        continue;
                    }
                    for hypothesis in state.hypothesis.section(slot, call, setting) {
                        if let Goal::At(seen) = goal
                            && hypothesis.ring.is_beyond(seen)
                        {
                            continue;
                        }
                        next.push(State { hypothesis, by: Some(slot) });
                    }
                }
            }
            if wanted {
                reached.push(state.hypothesis);
            }
        }
        level = if next.len() > 1 { join_alike(next) } else { next };
    }
    Ok(reached)
}

fn able<'a>(acting: &'a [u32], calls: &'a Calls) -> impl Iterator<Item = (u32, &'a Call)> {
    acting.iter().filter_map(|&slot| Some((slot, calls.get(slot)?)))
}

/// The writes that may have found the pipe full in this state, for the first time.
fn came_in_vain(hypothesis: &mut Hypothesis, acting: &[u32], calls: &Calls, setting: &Setting) -> Vec<u32> {
    let mut news = Vec::new();
    for (slot, call) in able(acting, calls) {
        if hypothesis.may_have_started(slot, call, setting) {
            news.push(slot);
        }
    }
    news
}

/// Joins states that are alike and were reached by the same call.
fn join_alike(states: Vec<State>) -> Vec<State> {
    // `last` is part of likeness, and it is the call that led here.
    let joined = collapse(states.into_iter().map(|state| state.hypothesis).collect());
    joined.into_iter().map(|hypothesis| State { by: hypothesis.last, hypothesis }).collect()
}
