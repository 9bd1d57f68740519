//! How sure the clocks of a merged trace are, in words.
//!
//! Tested where recordings are merged, by tui/src/source/merge/tests.rs, and here.

use super::{duration, span::harmless};
use crate::event::{Basis, HostClock, Nanos};

/// How a part's clock was aligned, in words.
pub fn told(clock: &HostClock) -> String {
    let begins = format!("begins at {:.6} s", Nanos(clock.offset_ns).seconds());
    let n = clock.matched;
    let messages = if n == 1 { "1 message".to_owned() } else { format!("{n} messages") };
    let sure =
        clock.uncertainty_ns.map_or_else(|| "how exactly is unknown".to_owned(), |ns| format!("±{}", duration(ns)));
    if let Some(by) = clock.violation_ns {
        let by = duration(by);
        return format!("{begins}, {sure}: its clock drifts, {messages} contradict each other by up to {by}");
    }
    match clock.basis {
        Basis::Reference => format!("{begins}; its clock is the trace's"),
        Basis::SameBoot => format!("{begins}, {sure}: on a clock of those before"),
        Basis::Messages => format!("{begins} {sure}, by {messages}, both ways"),
        Basis::OneWay => format!("{begins} by the time of day, {sure}: {messages}, all one way"),
        Basis::TimeOfDay => format!("{begins} by the time of day, {sure}: no message was matched"),
    }
}

/// Whose clock it is: the host, and the recording it comes from.
pub fn whose(clock: &HostClock) -> String {
    harmless(format!("{} ({})", clock.host, clock.file))
}

/// How far times of different hosts may be off, in a word; `None` in a trace that is not merged, or of one clock.
pub fn doubt(clocks: &[HostClock]) -> Option<String> {
    // What is told of each is against the first's clock: between two others both count. A clock counts once.
    let mut each = Vec::new();
    for clock in clocks.iter().filter(|clock| !matches!(clock.basis, Basis::Reference | Basis::SameBoot)) {
        match clock.uncertainty_ns.filter(|_| clock.violation_ns.is_none()) {
            Some(ns) => each.push(ns),
            None => return Some("±?".to_owned()),
        }
    }
    each.sort_unstable();
    let worst = each.iter().rev().take(2).fold(0_u64, |sum, ns| sum.saturating_add(*ns));
    (worst > 0).then(|| format!("±{}", duration(worst)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_is_that_of_the_two_worst_clocks() {
        let clock = |basis, uncertainty_ns| HostClock { uncertainty_ns, basis, ..HostClock::default() };
        let first = clock(Basis::Reference, Some(0));
        let messages = |ns| clock(Basis::Messages, Some(ns));
        assert_eq!(doubt(&[]), None);
        assert_eq!(doubt(&[first.clone(), clock(Basis::SameBoot, Some(0))]), None);
        assert_eq!(doubt(&[first.clone(), messages(9_000)]).as_deref(), Some("±9 µs"));
        assert_eq!(
            doubt(&[
                first.clone(),
                messages(9_000),
                messages(100),
                messages(3_000),
                clock(Basis::SameBoot, Some(9_000))
            ])
            .as_deref(),
            Some("±12 µs")
        );
        assert_eq!(doubt(&[first.clone(), messages(9_000), clock(Basis::TimeOfDay, None)]).as_deref(), Some("±?"));
        let drifts = HostClock { violation_ns: Some(1), ..messages(9_000) };
        assert_eq!(doubt(&[first, drifts]).as_deref(), Some("±?"));
    }
}
