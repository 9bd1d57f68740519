//! What events and worlds mean: filters, lines for people, explanations.

mod explain;
mod filter;
mod line;
mod properties;
mod span;

pub use explain::explain;
pub use filter::{Filter, FilterError};
pub use line::{Lines, TimeStyle, line};
pub use properties::{Addressing, Cast, Direction, Properties, Unit, properties};
pub use span::{Role, Span, coloured, duration, plain};

#[cfg(test)]
mod tests;
