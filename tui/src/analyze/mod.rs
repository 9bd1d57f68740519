//! What events and worlds mean: filters, lines for people, explanations.

mod explain;
mod filter;
mod line;

pub use explain::explain;
pub use filter::{Filter, FilterError};
pub use line::line;
