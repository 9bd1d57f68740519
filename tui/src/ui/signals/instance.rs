//! Signal instances, each with the numbers of its events.

use std::collections::{HashMap, VecDeque};

use crate::{
    event::{Event, Kind, Nanos, Phase, SignalEvent, SignalId},
    ui::{App, log::Log},
};

/// Instances that are kept at most.
const KEPT: usize = 100_000;

/// An instance.
#[derive(Debug)]
pub(in crate::ui) struct Instance {
    pub id: SignalId,
    /// Its events, in order.
    steps: Vec<u64>,
}

/// Instances, oldest first.
#[derive(Debug, Default)]
pub(in crate::ui) struct Instances {
    rows: VecDeque<Instance>,
    places: HashMap<SignalId, u64>,
    dropped: u64,
}

/// An instance with its events, as far as they are kept and not later than what is looked at.
#[derive(Debug)]
pub(super) struct Life<'a> {
    pub id: SignalId,
    /// Never empty.
    pub steps: Vec<(u64, &'a Event, &'a SignalEvent)>,
}

impl Instances {
    /// Takes note of the event with that number.
    pub(in crate::ui) fn learn(&mut self, event: &Event, index: u64) {
        let Kind::Signal(step) = &event.kind else { return };
        let row = self.places.get(&step.id).and_then(|place| place.checked_sub(self.dropped));
        if let Some(row) = row.and_then(|row| self.rows.get_mut(row as usize)) {
            row.steps.push(index);
            return;
        }
        self.places.insert(step.id, self.dropped + self.rows.len() as u64);
        self.rows.push_back(Instance { id: step.id, steps: vec![index] });
    }

    /// Drops those whose events are all older than `first`.
    pub(in crate::ui) fn trim(&mut self, first: u64) {
        while self.rows.len() > KEPT
            || self.rows.front().is_some_and(|row| row.steps.last().is_none_or(|last| *last < first))
        {
            let Some(row) = self.rows.pop_front() else { break };
            self.dropped += 1;
            self.places.remove(&row.id);
        }
    }

    /// How many older ones are not kept any more.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The events of one.
    pub(super) fn life<'a>(&self, id: SignalId, log: &'a Log, until: u64) -> Option<Life<'a>> {
        let row = self.places.get(&id)?.checked_sub(self.dropped)?;
        self.rows.get(row as usize)?.life(log, until)
    }
}

impl Instance {
    fn life<'a>(&self, log: &'a Log, until: u64) -> Option<Life<'a>> {
        let steps: Vec<_> = (self.steps.iter().take_while(|index| **index <= until))
            .filter_map(|index| {
                let event = log.get(*index)?;
                let Kind::Signal(step) = &event.kind else { return None };
                Some((*index, event, &**step))
            })
            .collect();
        (!steps.is_empty()).then_some(Life { id: self.id, steps })
    }

    /// Its first event that is kept, if it is not later than `until`.
    fn first<'a>(&self, log: &'a Log, until: u64) -> Option<(&'a Event, &'a SignalEvent)> {
        let index = self.steps.iter().find(|index| **index >= log.first()).filter(|index| **index <= until)?;
        let event = log.get(*index)?;
        if let Kind::Signal(step) = &event.kind { Some((event, step)) } else { None }
    }
}

impl<'a> Life<'a> {
    /// How it came about, if that is kept.
    pub(super) fn generated(&self) -> Option<(Nanos, &'a SignalEvent)> {
        self.step(Phase::Generated)
    }

    /// A step of it.
    pub(super) fn step(&self, phase: Phase) -> Option<(Nanos, &'a SignalEvent)> {
        self.steps.iter().find(|(_, _, step)| step.phase == phase).map(|(_, event, step)| (event.t, *step))
    }

    /// The latest step.
    pub(super) fn last(&self) -> Option<(Nanos, &'a SignalEvent)> {
        self.steps.last().map(|(_, event, step)| (event.t, *step))
    }

    /// The thread that took it, or else the one it was for.
    pub(super) fn receiver(&self) -> Option<u32> {
        let taken = self.steps.iter().rev().find(|(_, _, step)| step.phase != Phase::Generated);
        let by_thread = taken.and_then(|(_, event, _)| event.task).map(|task| task.tid);
        by_thread.or_else(|| self.last().map(|(_, step)| step.to.tid.unwrap_or(step.to.pid)))
    }
}

impl App {
    /// The last event that may be shown.
    pub(super) fn signals_until(&self) -> u64 {
        match &self.seen {
            Some(seen) if self.paused => seen.index.unwrap_or(u64::MAX),
            _ => u64::MAX,
        }
    }

    /// The instances that are listed, oldest first.
    pub(super) fn listed_signals(&self) -> Vec<SignalId> {
        let until = self.signals_until();
        let everything = self.list.filter.source().is_empty();
        let rows = self.signals.instances.rows.iter();
        rows.filter(|row| {
            let Some((_, first)) = row.first(&self.log, until) else { return false };
            let of = self.signals.of.is_none_or(|pid| {
                first.to.pid == pid || first.sender.as_ref().is_some_and(|sender| sender.pid == Some(pid))
            });
            let passes = || {
                let life = row.life(&self.log, until);
                life.is_some_and(|life| life.steps.iter().any(|(_, event, _)| self.list.filter.matches(event)))
            };
            of && (everything || passes())
        })
        .map(|row| row.id)
        .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::{Instances, Log};
    use crate::{
        event::{Phase, SignalId},
        model::{World, script},
    };

    #[test]
    fn events_of_an_instance_are_joined_and_dropped_with_the_log() {
        let (mut log, mut instances) = (Log::new(1000), Instances::default());
        for event in script::parse(script::SAMPLE).unwrap() {
            instances.learn(&event, log.end());
            let before = log.wants_world().then(World::new);
            log.push(event, before, false);
        }
        let phases = |instances: &Instances, until| -> Option<Vec<Phase>> {
            let life = instances.life(SignalId(1), &log, until)?;
            Some(life.steps.iter().map(|(_, _, step)| step.phase).collect())
        };
        assert_eq!(phases(&instances, u64::MAX), Some(vec![Phase::Generated, Phase::Delivered, Phase::Handled]));
        assert_eq!(phases(&instances, 79).map(|phases| phases.len()), Some(2), "not later than event 79");
        instances.trim(90);
        assert_eq!((phases(&instances, u64::MAX), instances.dropped()), (None, 1));
        instances.trim(1000);
        assert_eq!((instances.rows.len(), instances.places.len()), (0, 0));
    }
}
