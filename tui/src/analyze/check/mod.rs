//! Assertions over a trace (contract, section 5), for graders and CI.
//!
//! A [`Rules`] file is read first, with the place of every mistake; [`Check`] folds the events, and [`Check::verdicts`] tells
//! of each rule whether it held and which events decided. Invariant: a rule that could not be judged does not hold.

mod parse;

use super::{Filter, Finding, Findings, Stats};
use crate::{
    event::{Ending, Event, Kind, Nanos},
    model::{Side, World},
};

pub use parse::RuleError;

/// Events kept to show why a rule is broken.
const SHOWN: usize = 5;

/// A rules file.
#[derive(Clone, Debug, Default)]
pub struct Rules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    name: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    /// So many events match, of those up to a time since the start.
    Count {
        least: u64,
        most: u64,
        filter: Filter,
        within: Option<u64>,
    },
    Builtin(Builtin),
}

/// What is asked for often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Builtin {
    NoLostEvents,
    NoLeakedEnds,
    EveryMessageReceived,
    NoEintrUnhandled,
    NoDeadlock,
}

impl Builtin {
    const ALL: [(Self, &'static str); 5] = [
        (Self::NoLostEvents, "no-lost-events"),
        (Self::NoLeakedEnds, "no-leaked-ends"),
        (Self::EveryMessageReceived, "every-message-received"),
        (Self::NoEintrUnhandled, "no-eintr-unhandled"),
        (Self::NoDeadlock, "no-deadlock"),
    ];

    fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(builtin, _)| *builtin)
    }
}

impl Rules {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        parse::rules(text).map(Self)
    }
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its name.
    pub name: String,
    /// It held.
    pub holds: bool,
    /// Why, in a sentence.
    pub why: String,
    /// Events that decided, by `seq`; the first few.
    pub evidence: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
struct Matches {
    count: u64,
    shown: Vec<u64>,
}

/// Rules at work.
#[derive(Debug)]
pub struct Check {
    rules: Vec<(Rule, Matches)>,
    world: World,
    findings: Findings,
    stats: Stats,
    /// Ends that processes ended with and never used: what is told, and the event.
    leaks: Vec<(String, u64)>,
}

impl Check {
    /// Begins. `findings` are those of an empty trace.
    pub fn new(rules: Rules, findings: Findings) -> Self {
        Self {
            rules: rules.0.into_iter().map(|rule| (rule, Matches::default())).collect(),
            world: World::new(),
            findings,
            stats: Stats::default(),
            leaks: Vec::new(),
        }
    }

    /// Takes an event in.
    pub fn apply(&mut self, event: &Event) {
        for (rule, matches) in &mut self.rules {
            let Test::Count { filter, within, .. } = &rule.test else { continue };
            if within.is_none_or(|within| event.t.0 <= within) && filter.matches(event) {
                matches.count += 1;
                if matches.shown.len() < SHOWN {
                    matches.shown.push(event.seq);
                }
            }
        }
        self.findings.apply(&self.world, event);
        self.stats.apply(event);
        if let (Kind::Exit(exit), Some(task)) = (&event.kind, event.task)
            && !exit.thread
        {
            self.leaked(task.pid, event.seq);
        }
        self.world.apply(event);
    }

    /// Ends beyond standard input, output and error that the process still has and never used.
    fn leaked(&mut self, pid: u32, seq: u64) {
        let Some(process) = self.world.process(pid) else { return };
        for (fd, (id, end)) in process.descriptors.range(3..) {
            let Some(channel) = self.world.channels.get(id) else { continue };
            let used = |side| match side {
                Side::Send => channel.senders.contains_key(&process.key),
                Side::Receive => channel.receivers.contains_key(&process.key),
            };
            if !(end.reads() && used(Side::Receive) || end.writes() && used(Side::Send)) {
                let end = if end.writes() { "write" } else { "read" };
                let told = format!(
                    "{} {} ended with the {end} end of {id} (fd {fd}) and never used it",
                    process.comm,
                    process.number()
                );
                self.leaks.push((super::span::harmless(told), seq));
            }
        }
    }

    /// What became of each rule when it is `now`.
    pub fn verdicts(&self, now: Nanos, ending: &Ending) -> Vec<Verdict> {
        let findings = self.findings.at(&self.world, now);
        let judge = |(rule, matches): &(Rule, Matches)| {
            let (holds, why, evidence) = match &rule.test {
                Test::Count { least, most, .. } => count(*least, *most, matches, ending),
                Test::Builtin(builtin) => self.builtin(*builtin, &findings, ending),
            };
            Verdict { name: rule.name.clone(), holds, why, evidence }
        };
        self.rules.iter().map(judge).collect()
    }

    fn builtin(&self, builtin: Builtin, findings: &[Finding], ending: &Ending) -> (bool, String, Vec<u64>) {
        let of = |rules: &[&str]| {
            let broken: Vec<_> = findings.iter().filter(|finding| rules.contains(&finding.rule)).collect();
            let why = broken.iter().map(|finding| finding.what.clone()).collect::<Vec<_>>().join(" ");
            let evidence = broken.iter().flat_map(|finding| finding.evidence.iter().copied()).take(SHOWN).collect();
            (broken.is_empty(), if broken.is_empty() { "none found".to_owned() } else { why }, evidence)
        };
        let (holds, why, evidence) = match builtin {
            Builtin::NoLostEvents => return (ending.lost == 0, format!("{} records lost", ending.lost), Vec::new()),
            Builtin::NoLeakedEnds => {
                let told: Vec<_> = self.leaks.iter().take(SHOWN).map(|(told, _)| told.clone()).collect();
                let evidence = self.leaks.iter().take(SHOWN).map(|(_, seq)| *seq).collect();
                let why = match self.leaks.len() {
                    0 => "none found".to_owned(),
                    n => format!("{n} leaked: {}", told.join("; ")),
                };
                (self.leaks.is_empty(), why, evidence)
            }
            Builtin::EveryMessageReceived => {
                let tables = self.stats.tables(self.world.now);
                let left: Vec<_> = tables
                    .channels
                    .iter()
                    .filter(|row| row.sent > row.received && row.mechanism.keeps_bytes())
                    .map(|row| format!("{} of {} bytes in {}", row.sent - row.received, row.sent, row.channel))
                    .collect();
                let why =
                    if left.is_empty() { "all were".to_owned() } else { format!("not received: {}", left.join(", ")) };
                (left.is_empty(), why, Vec::new())
            }
            Builtin::NoEintrUnhandled => of(&["eintr-not-retried"]),
            Builtin::NoDeadlock => of(&["deadlock", "full-pipe", "no-end-of-file"]),
        };
        if holds && ending.lost > 0 {
            return (false, format!("cannot be told: {} records lost", ending.lost), evidence);
        }
        (holds, why, evidence)
    }
}

/// Whether as many matched as were wanted. What was lost may have matched.
fn count(least: u64, most: u64, matches: &Matches, ending: &Ending) -> (bool, String, Vec<u64>) {
    let n = matches.count;
    let wanted = match (least, most) {
        (_, 0) => "none may".to_owned(),
        (least, u64::MAX) => format!("at least {least} must"),
        (least, most) if least == most => format!("{least} must"),
        (least, most) => format!("{least} to {most} must"),
    };
    let matched = format!("{n} {} and {wanted}", if n == 1 { "event matches" } else { "events match" });
    let holds = (least..=most).contains(&n);
    let sure = most == u64::MAX || ending.lost == 0;
    match (holds, sure) {
        (true, false) => {
            (false, format!("cannot be told: {matched}, but {} records were lost", ending.lost), Vec::new())
        }
        (holds, _) => (holds, matched, if holds || n < least { Vec::new() } else { matches.shown.clone() }),
    }
}

#[cfg(test)]
mod tests;
