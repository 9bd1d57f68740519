//! What events and worlds mean: filters, lines for people, explanations, findings.

mod check;
mod clock;
mod explain;
mod filter;
mod findings;
mod line;
mod properties;
mod span;
mod stats;

pub use check::{Check, RuleError, Rules, Verdict};
pub use clock::{doubt as clocks_doubt, told as clock_told, whose as clock_whose};
pub use explain::explain;
pub use filter::{Filter, FilterError, time};
pub use findings::{Finding, Findings};
pub use line::{Lines, TimeStyle, line};
pub use properties::{Addressing, Cast, Direction, Properties, Unit, properties};
pub use span::{Role, Span, coloured, duration, plain};

pub use stats::{ChannelStats, Latency, ProcessStats, RpcStats, SignalStats, Stats, Tables, Waited};

#[cfg(test)]
mod tests;
