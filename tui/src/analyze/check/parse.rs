//! From text to rules: `NAME: [no|N..M] FILTER [within T]`, or a built-in, a line each; `#` starts a comment.

use super::{Builtin, Filter, Rule, Test};

/// Why a rules file was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct RuleError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Where in the line (bytes before it), and what.
type Mistake = (usize, String);

pub(super) fn rules(text: &str) -> Result<Vec<Rule>, RuleError> {
    let mut rules: Vec<Rule> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let bare = without_comment(line);
        if bare.trim().is_empty() {
            continue;
        }
        let parsed = rule(bare).and_then(|rule| match rules.iter().find(|other| other.name == rule.name) {
            Some(_) => Err((0, format!("there is another rule `{}`", rule.name))),
            None => Ok(rule),
        });
        match parsed {
            Ok(rule) => rules.push(rule),
            Err((at, message)) => {
                let column = line.get(..at).unwrap_or(line).chars().count() + 1;
                return Err(RuleError { line: number + 1, column, message });
            }
        }
    }
    Ok(rules)
}

/// A `#` within quotes or a word (`pipe:[8]#2`) is none.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => return line.get(..at).unwrap_or(line),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open && before != '\\' => quote = None,
            _ => {}
        }
        before = c;
    }
    line
}

fn rule(line: &str) -> Result<Rule, Mistake> {
    let start = line.len() - line.trim_start().len();
    let whole = line.trim();
    if let Some(builtin) = Builtin::by_name(whole) {
        return Ok(Rule { name: whole.to_owned(), test: Test::Builtin(builtin) });
    }
    let builtins = Builtin::ALL.map(|(_, name)| name).join(", ");
    let Some((name, rest)) = whole.split_once(':') else {
        return Err((start, format!("`NAME: FILTER` is missing its colon, and this is none of {builtins}")));
    };
    let name_ok = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_. ".contains(c));
    if !name_ok || !rest.starts_with(char::is_whitespace) && !rest.is_empty() {
        return Err((start, "a rule begins with its name, a colon and a blank: `NAME: FILTER`".to_owned()));
    }
    let at = start + name.len() + 1 + (rest.len() - rest.trim_start().len());
    let body = rest.trim();
    let test = match Builtin::by_name(body) {
        Some(builtin) => Test::Builtin(builtin),
        None => count(at, body)?,
    };
    Ok(Rule { name: name.trim().to_owned(), test })
}

fn count(at: usize, body: &str) -> Result<Test, Mistake> {
    let first = body.split_whitespace().next().unwrap_or_default();
    let range = if first == "no" { Some((0, 0)) } else { range(at, first)? };
    let skipped = if range.is_some() { first.len() } else { 0 };
    let rest = body.get(skipped..).unwrap_or_default();
    let at = at + skipped + (rest.len() - rest.trim_start().len());
    let rest = rest.trim();
    let (filter, within) = within(at, rest)?;
    if filter.is_empty() {
        return Err((at, "a filter is missing, such as kind:signal or bytes>100".to_owned()));
    }
    let parsed = Filter::parse(filter).map_err(|error| {
        let before: usize = filter.chars().take(error.column).map(char::len_utf8).sum();
        (at + before, error.message)
    })?;
    let (least, most) = range.unwrap_or((1, u64::MAX));
    Ok(Test::Count { least, most, filter: parsed, within })
}

/// `N..M`, `N..`, `..M`, `N`; `None` if it is not meant to be one.
fn range(at: usize, word: &str) -> Result<Option<(u64, u64)>, Mistake> {
    if word.is_empty() || !word.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Ok(None);
    }
    let number = |text: &str, none: u64| if text.is_empty() { Some(none) } else { text.parse().ok() };
    let (least, most) = match word.split_once("..") {
        Some((least, most)) => (number(least, 0), number(most, u64::MAX)),
        None => (number(word, 0), number(word, 0)),
    };
    match (least, most) {
        (Some(least), Some(most)) if least <= most => Ok(Some((least, most))),
        _ => Err((at, format!("`{word}` is not a range such as 1..3, 2.. or ..5"))),
    }
}

/// A last `within T`.
fn within(at: usize, text: &str) -> Result<(&str, Option<u64>), Mistake> {
    let Some((before, last)) = text.rsplit_once(char::is_whitespace) else { return Ok((text, None)) };
    // A quote ends there: it is part of the filter.
    if last.contains(['"', '\'']) {
        return Ok((text, None));
    }
    let Some(filter) =
        before.trim_end().strip_suffix("within").filter(|f| f.is_empty() || f.ends_with(char::is_whitespace))
    else {
        return Ok((text, None));
    };
    let place = at + before.len() + 1;
    let unit = last.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let scale = match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "min" => 6e10,
        _ => return Err((place, format!("`{last}` is not a time such as 100ms or 2s"))),
    };
    let number = last.strip_suffix(unit).and_then(|number| number.parse::<f64>().ok());
    let ns = number.ok_or_else(|| (place, format!("`{last}` is not a time such as 100ms or 2s")))? * scale;
    Ok((filter.trim_end(), Some(ns as u64)))
}
