//! What events and worlds mean: filters, lines for people, explanations, findings.

mod explain;
mod filter;
mod findings;
mod line;
mod span;

pub use explain::explain;
pub use filter::{Filter, FilterError};
pub use findings::{Finding, Findings};
pub use line::{Lines, TimeStyle, line};
pub use span::{Role, Span, coloured, duration, plain};


#[cfg(test)]
mod tests;
