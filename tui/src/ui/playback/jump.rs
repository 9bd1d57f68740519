//! `:` and where it leads: a time, a step in time, a part of the whole, an event.

use crate::{analyze, event::Nanos, source::replay::Target, ui::App};

/// What can be typed.
pub(in crate::ui) const FORMS: &str = "1.5 or 200ms: a time; +10ms, -1: from here; 50%; #42: an event; start; end";

/// A place as it is typed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ui) enum Place {
    Time(Nanos),
    /// So many ns later, or earlier.
    Step(u64, bool),
    /// Of the whole time.
    Percent(f64),
    /// An event by its `seq`.
    Event(u64),
    Start,
    End,
}

impl Place {
    /// Reads a place; a mistake is told with what would be right.
    pub(in crate::ui) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || format!("`{text}` is no place; {FORMS}");
        match text {
            "start" | "s" => return Ok(Self::Start),
            "end" | "e" => return Ok(Self::End),
            _ => {}
        }
        if let Some(number) = text.strip_prefix('#') {
            return number.parse().map(Self::Event).map_err(|_| wrong());
        }
        if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.trim().parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
            return percent.map(Self::Percent).ok_or_else(wrong);
        }
        if let Some(step) = text.strip_prefix('+') {
            return analyze::time(step).map(|step| Self::Step(step.0, true)).map_err(|_| wrong());
        }
        if let Some(step) = text.strip_prefix(['-', '−']) {
            return analyze::time(step).map(|step| Self::Step(step.0, false)).map_err(|_| wrong());
        }
        // As clocks of this application show it: minutes:seconds.
        if let Some((minutes, seconds)) = text.split_once(':') {
            let minutes = minutes.parse::<u64>().map_err(|_| wrong())?;
            let seconds = analyze::time(seconds).map_err(|_| wrong())?;
            return Ok(Self::Time(Nanos(minutes.saturating_mul(60_000_000_000).saturating_add(seconds.0))));
        }
        analyze::time(text).map(Self::Time).map_err(|_| wrong())
    }
}

impl App {
    /// Goes to a place that was typed.
    pub(in crate::ui) fn jump_to(&mut self, place: Place) {
        let now = self.now().0;
        let length = if self.is_replay() { self.playback.length() } else { self.live.now };
        let target = match place {
            Place::Time(t) => Target::Time(t),
            Place::Step(ns, true) => Target::Time(Nanos(now.saturating_add(ns))),
            Place::Step(ns, false) => Target::Time(Nanos(now.saturating_sub(ns))),
            Place::Percent(percent) => Target::Time(Nanos((length.0 as f64 * percent / 100.0) as u64)),
            Place::Event(seq) => Target::Seq(seq),
            Place::Start => Target::Event(0),
            Place::End => Target::End,
        };
        self.go_to(target);
    }
}

#[cfg(test)]
mod tests {
    use super::Place;
    use crate::event::Nanos;

    #[test]
    fn places_are_read_as_people_write_them() {
        for (text, place) in [
            ("1.5", Place::Time(Nanos(1_500_000_000))),
            ("200ms", Place::Time(Nanos(200_000_000))),
            ("01:02.5", Place::Time(Nanos(62_500_000_000))),
            ("+10us", Place::Step(10_000, true)),
            ("-1", Place::Step(1_000_000_000, false)),
            ("50%", Place::Percent(50.0)),
            ("#42", Place::Event(42)),
            (" end ", Place::End),
        ] {
            assert_eq!(Place::parse(text), Ok(place), "{text}");
        }
        for text in ["", "x", "101%", "#", "1.5 parsecs", "+", "1:x"] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }
}
