//! The filter language (contract, section 5).
//!
//! `a b` needs both, `a | b` one of them (it binds less), `!a` the opposite, brackets group, quotes keep blanks and take
//! the meaning from everything else. A word is `FIELD:VALUE`, a comparison such as `bytes>100`, `t:1.5..2.0`, or
//! a bare word. What an event does not have never matches, so `!bytes>100` keeps events without bytes.
//!
//! By hand and not with a parser library: there are five rules, and most of the code is about telling the place of a
//! mistake and what would be right.

mod field;
mod parse;
mod text;

use self::field::Test;
pub use self::field::time;
use crate::event::Event;

/// A parsed filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    source: String,
    /// None for the empty filter.
    expression: Option<Expression>,
}

/// Why a filter was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at column {}", .column + 1)]
pub struct FilterError {
    /// Place of the mistake: characters before it.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

/// What an event must be.
#[derive(Clone, Debug, PartialEq)]
enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Test(Test),
}

impl Filter {
    /// Reads a filter; the empty text matches everything.
    pub fn parse(source: &str) -> Result<Self, FilterError> {
        Ok(Self { source: source.to_owned(), expression: parse::filter(source)? })
    }

    /// What passes both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let sides = [&self.expression, &other.expression].map(Clone::clone);
        let expression = match sides {
            [Some(one), Some(other)] => Some(Expression::All(vec![one, other])),
            [one, other] => one.or(other),
        };
        let source = [&*self.source, &*other.source].into_iter().filter(|text| !text.trim().is_empty());
        let source = source.map(|text| format!("({text})")).collect::<Vec<_>>().join(" ");
        Self { source, expression }
    }

    /// The text it was read from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the event passes; a quiet one never does.
    pub fn matches(&self, event: &Event) -> bool {
        !event.kind.is_quiet() && self.expression.as_ref().is_none_or(|expression| expression.holds(event))
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.expression.is_none()
    }
}

impl Expression {
    fn holds(&self, event: &Event) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(event)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(event)),
            Self::Not(part) => !part.holds(event),
            Self::Test(test) => test.holds(event),
        }
    }
}

#[cfg(test)]
mod tests;
