//! Checkpoints of a recording, made by a thread that reads it once.

use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use std::time::{Duration, Instant};

use super::{Extent, Target};
use crate::{
    analyze::{Findings, Lines},
    event::Event,
    model::World,
    source::recording::{Item, Recording, Standing},
};

/// Events between two checkpoints at least; more where the world is large and copies cost.
pub const APART: u64 = 1 << 14;
/// What all checkpoints may take, bytes: so much, or so much for each event. Beyond, every other one goes.
const ROOM: usize = 512 << 20;
const ROOM_PER_EVENT: usize = 48;
/// What the command wrote that is kept, bytes; what comes later is only shown when it is played.
const OUTPUT: usize = 64 << 20;
/// Of that, how much is written anew to a terminal after going somewhere, bytes: more would take longer than a frame.
const REWRITTEN: usize = 1 << 20;
/// How often the wait for the index looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);

/// Everything that events are folded into.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Processes, channels, signals.
    pub world: World,
    /// The names of things in lines.
    pub lines: Lines,
    /// The rules of `diagnose`.
    pub findings: Findings,
}

impl Scene {
    /// Before the first event; `follows`: children were traced, too.
    pub fn new(follows: bool) -> Self {
        Self { world: World::new(), lines: Lines::new(), findings: Findings::new().with_children(follows) }
    }

    /// Takes an event in.
    pub fn apply(&mut self, event: &Event) {
        self.lines.learn(event);
        self.findings.apply(&self.world, event);
        self.world.apply(event);
    }
}

/// A moment from which a recording can be read on.
#[derive(Debug)]
pub struct Checkpoint {
    /// Events before it.
    pub event: u64,
    /// The decoder and the place in the file.
    pub standing: Standing,
    /// What those events came to.
    pub scene: Scene,
    /// About how many bytes it takes.
    weight: usize,
}

#[derive(Debug, Default)]
struct State {
    checkpoints: Vec<Arc<Checkpoint>>,
    extent: Extent,
    output: Vec<(u64, Vec<u8>)>,
    output_len: usize,
}

/// The checkpoints of a recording, as far as it has been read.
#[derive(Debug, Default)]
pub struct Index {
    state: Mutex<State>,
    news: Condvar,
    stop: AtomicBool,
}

impl Index {
    /// Reads the whole recording, unless told to stop, with checkpoints at least so many events `apart`. An error ends it;
    /// whoever plays meets it, too.
    pub fn build(&self, recording: Recording, apart: u64) {
        self.build_within(recording, apart, (ROOM, ROOM_PER_EVENT));
    }

    /// The same with no more of them than there is room for.
    pub(super) fn build_within(&self, mut recording: Recording, mut apart: u64, (room, per_event): (usize, usize)) {
        let mut scene = Scene::new(recording.follows());
        let (mut count, mut last) = (0_u64, None);
        let mut events = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            if last.is_none_or(|last| count >= last + apart)
                && let Some(standing) = recording.standing()
            {
                let changed = count - last.replace(count).unwrap_or(0);
                let changed = usize::try_from(changed).unwrap_or(usize::MAX);
                let weight = recording.weight(changed) + weight(&scene.world, changed);
                let checkpoint = Checkpoint { event: count, standing, scene: scene.clone(), weight };
                let mut state = self.state();
                state.checkpoints.push(Arc::new(checkpoint));
                let room = room.max(usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(per_event));
                while state.checkpoints.len() > 2 && state.weight() > room {
                    state.thin();
                    apart = apart.saturating_mul(2);
                }
                state.extent.indexed = scene.world.now;
                self.news.notify_all();
            }
            match recording.next_item(&mut events) {
                Ok(Some(Item::Events)) => {
                    count += events.len() as u64;
                    events.drain(..).for_each(|event| scene.apply(&event));
                }
                Ok(Some(Item::Output(time, bytes))) => {
                    let mut state = self.state();
                    if state.output_len + bytes.len() <= OUTPUT {
                        state.output_len += bytes.len();
                        state.output.push((time, bytes));
                    }
                }
                Ok(None) | Err(_) => break,
            }
        }
        let mut state = self.state();
        state.extent = Extent { indexed: scene.world.now, complete: true };
        self.news.notify_all();
    }

    /// Ends [`Index::build`].
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// How much is known.
    pub fn extent(&self) -> Extent {
        self.state().extent
    }

    /// The last checkpoint before the place, and one that is `lead` events earlier, or as many as there are; waits until it
    /// has been read as far, unless `cancelled`.
    pub fn before(
        &self,
        target: Target,
        lead: u64,
        cancelled: impl Fn() -> bool,
    ) -> Option<(Arc<Checkpoint>, Option<Arc<Checkpoint>>)> {
        let mut state = self.state();
        let began = Instant::now();
        loop {
            let is_read = state.extent.complete
                || match target {
                    Target::Event(event) => state.checkpoints.last().is_some_and(|last| last.event > event),
                    Target::Seq(seq) => state.checkpoints.last().is_some_and(|last| last.scene.world.events > seq),
                    Target::Time(t) => state.checkpoints.last().is_some_and(|last| last.scene.world.now > t),
                    Target::End => false,
                };
            if is_read {
                break;
            }
            if began.elapsed() >= LOOK && cancelled() {
                return None;
            }
            state = self.news.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        let place = match target {
            Target::Event(event) => state.checkpoints.partition_point(|point| point.event <= event),
            Target::Seq(seq) => state.checkpoints.partition_point(|point| point.scene.world.events <= seq),
            Target::Time(t) => {
                state.checkpoints.partition_point(|point| point.event == 0 || point.scene.world.now <= t)
            }
            Target::End => state.checkpoints.len(),
        };
        let at = place.checked_sub(1)?;
        let point = state.checkpoints.get(at)?;
        let before = state.checkpoints.get(..at).unwrap_or_default();
        let earlier = before.iter().rev().find(|earlier| earlier.event + lead <= point.event).or(before.first());
        Some((Arc::clone(point), earlier.cloned()))
    }

    /// The checkpoints that begin before that event, as far as they are known.
    pub fn until(&self, event: u64) -> Vec<Arc<Checkpoint>> {
        let state = self.state();
        state.checkpoints.iter().take_while(|point| point.event < event).cloned().collect()
    }

    /// What the command had written by then, or the last part of it.
    pub fn output(&self, until: u64) -> Vec<u8> {
        let state = self.state();
        let end = state.output.partition_point(|(time, _)| *time <= until);
        let written = state.output.get(..end).unwrap_or_default();
        let mut room = REWRITTEN;
        let kept = written.iter().rev().take_while(|(_, bytes)| {
            let fits = bytes.len() <= room;
            room = room.saturating_sub(bytes.len());
            fits
        });
        let begin = end - kept.count();
        written.get(begin..).unwrap_or_default().iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Every other checkpoint goes, but for the first.
    fn thin(&mut self) {
        let mut stays = false;
        self.checkpoints.retain(|_| {
            stays = !stays;
            stays
        });
    }

    fn weight(&self) -> usize {
        self.checkpoints.iter().map(|point| point.weight).sum()
    }
}

/// About how many bytes a copy of a world takes, where so many events have happened since the last: what has not changed
/// since then is shared.
fn weight(world: &World, changed: usize) -> usize {
    let threads: usize = world.processes.values().map(|process| process.threads.len()).sum();
    let channels = world.channels.len();
    let copied = channels.min(changed);
    world.processes.len() * 2000 + threads * 300 + channels * 200 + copied * 1500 + world.signals.len() * 600
}
