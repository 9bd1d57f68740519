//! What can have happened between two observations.
//!
//! Between observations only calls on a CPU act, each by sections under the mutex, in any order. Invariants: the search
//! misses nothing; if there is too much to look at it says so instead. Sections that can as well come later are left
//! for later. Tested through `truth_tests`.

use super::Side;
use super::calls::{Call, Calls};
use super::hypothesis::{Hypothesis, Setting, collapse};
use super::ring::Seen;

/// States looked at between two observations.
const MOST_STATES: usize = 512;

/// Which states are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// Those that show what was seen; and this call, if any, may have done any number of sections. Other sections are
    /// done only where these need them.
    At(Seen, Option<u32>),
    /// All that others can bring about before this call has a section, and not beyond what was seen.
    Before(u32, Seen),
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
    goal: Goal,
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
            if next.len() > MOST_STATES {
                return Err(TooMany);
            }
            let news = came_in_vain(&mut state.hypothesis, acting, calls, setting);
            let (wanted, expand) = match goal {
                Goal::At(seen, leaves) => {
                    let there = state.hypothesis.ring.is_at(&seen);
                    let done = leaves.is_none_or(|slot| has_done_all(&state.hypothesis, slot, calls));
                    let needed = state
                        .by
                        .is_none_or(|by| leaves == Some(by) || calls.get(by).is_some_and(|call| seen.sees(call.side)))
                        || leaves.is_some_and(|slot| news.contains(&slot));
                    // Any section changes one side: a state that is there in both has nothing more to come.
                    (there && needed, !there || !(done || seen.is_all()))
                }
                Goal::Before(..) => (true, true),
            };
            if expand {
                for (slot, call) in able(acting, calls) {
                    if let Goal::Before(before, _) = goal
                        && before == slot
                        && call.side == Side::Read
                    {
                        continue;
                    }
                    let (Goal::At(seen, _) | Goal::Before(_, seen)) = goal;
                    for hypothesis in state.hypothesis.section(slot, call, setting) {
                        if !hypothesis.ring.is_beyond(&seen) {
                            next.push(State { hypothesis, by: Some(slot) });
                        }
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

/// The call will not act again, as far as this hypothesis goes.
fn has_done_all(hypothesis: &Hypothesis, slot: u32, calls: &Calls) -> bool {
    hypothesis.is_finished(slot) || calls.get(slot).is_none_or(|call| !call.has_effect())
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
