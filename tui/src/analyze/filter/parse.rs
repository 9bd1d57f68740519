//! From text to an expression.

use super::{Expression, FilterError, field};

/// Brackets within brackets; an expression is walked recursively.
const DEPTH: usize = 64;

pub(super) fn filter(source: &str) -> Result<Option<Expression>, FilterError> {
    let mut parser = Parser { text: source.chars().collect(), at: 0 };
    parser.blanks();
    if parser.peek().is_none() {
        return Ok(None);
    }
    let expression = parser.any(0)?;
    match parser.peek() {
        None => Ok(Some(expression)),
        // Only a bracket ends `any` early.
        Some(_) => Err(wrong(parser.at, "no bracket is open for this `)`")),
    }
}

pub(super) fn wrong(column: usize, message: impl Into<String>) -> FilterError {
    FilterError { column, message: message.into() }
}

struct Parser {
    text: Vec<char>,
    at: usize,
}

/// A character of a word: whether it was quoted, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Letter {
    pub(super) c: char,
    pub(super) quoted: bool,
    pub(super) column: usize,
}

impl Parser {
    fn any(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.all(depth)?];
        while self.peek() == Some('|') {
            self.at += 1;
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                None | Some('|' | ')') if parts.is_empty() => return Err(wrong(self.at, "a word is missing")),
                None | Some('|' | ')') => return Ok(one_or(parts, Expression::All)),
                Some(_) => parts.push(self.one(depth)?),
            }
        }
    }

    fn one(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut negated = false;
        while self.peek() == Some('!') {
            self.at += 1;
            negated = !negated;
            self.blanks();
        }
        let start = self.at;
        let expression = match self.peek() {
            Some('(') if depth >= DEPTH => return Err(wrong(start, format!("more than {DEPTH} brackets are open"))),
            Some('(') => {
                self.at += 1;
                let inner = self.any(depth + 1)?;
                if self.peek() != Some(')') {
                    return Err(wrong(start, "this bracket is never closed"));
                }
                self.at += 1;
                inner
            }
            None | Some('|' | ')') => return Err(wrong(start, "a word is missing after `!`")),
            Some(_) => Expression::Test(field::test(start, &self.word()?)?),
        };
        Ok(if negated { Expression::Not(Box::new(expression)) } else { expression })
    }

    /// Up to a blank, bracket or `|` outside quotes.
    fn word(&mut self) -> Result<Vec<Letter>, FilterError> {
        let mut word = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                '"' | '\'' => self.quoted(c, &mut word)?,
                '|' | '(' | ')' => break,
                c if c.is_whitespace() => break,
                c => {
                    word.push(Letter { c, quoted: false, column: self.at });
                    self.at += 1;
                }
            }
        }
        Ok(word)
    }

    fn quoted(&mut self, quote: char, word: &mut Vec<Letter>) -> Result<(), FilterError> {
        let start = self.at;
        loop {
            self.at += 1;
            let Some(c) = self.peek() else { return Err(wrong(start, "this quote is never closed")) };
            if c == quote {
                self.at += 1;
                return Ok(());
            }
            // A backslash protects a quote; before anything else it is itself, as escaped text has many.
            let protected = self.text.get(self.at + 1).copied().filter(|next| c == '\\' && *next == quote);
            self.at += usize::from(protected.is_some());
            word.push(Letter { c: protected.unwrap_or(c), quoted: true, column: self.at });
        }
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }
}

fn one_or(mut parts: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            parts.extend(last);
            many(parts)
        }
    }
}
