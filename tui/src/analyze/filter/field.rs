//! Words: what they mean and whether an event is so.

use super::{
    FilterError,
    parse::{Letter, wrong},
    text::{contains, is_channel, kind_name, texts},
};
use crate::event::{ChannelType, Event, Kind, Nanos, ThreadState, number as pid_of, signal_name};

/// What a word asks of an event.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    /// In lower case, anywhere in a text.
    Text(String),
    Kind(&'static str),
    Type(ChannelType),
    /// With that number, on that host if one is named (in lower case).
    Pid(u32, Option<String>),
    Host(String),
    Comm(String),
    Channel(String),
    Signal(String),
    State(ThreadState),
    Syscall(String),
    Error(String),
    Number(Quantity, Comparison, u64),
    /// From (included) to (included), ns.
    Time(u64, u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Quantity {
    Bytes,
    Blocked,
    Latency,
    Time,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

const FIELDS: [&str; 14] = [
    "kind", "type", "pid", "comm", "channel", "signal", "state", "syscall", "error", "t", "bytes", "blocked",
    "latency", "host",
];
const KINDS: [&str; 10] = ["fork", "exec", "exit", "state", "channel", "send", "recv", "signal", "rpc", "lost"];
/// The longest first: `>=` begins with `>`.
const OPERATORS: [(&str, Comparison); 7] = [
    (">=", Comparison::GreaterOrEqual),
    ("<=", Comparison::LessOrEqual),
    ("!=", Comparison::NotEqual),
    (">", Comparison::Greater),
    ("<", Comparison::Less),
    ("=", Comparison::Equal),
    (":", Comparison::Equal),
];

/// Reads a word that starts at that column.
pub(super) fn test(start: usize, word: &[Letter]) -> Result<Test, FilterError> {
    let text = |letters: &[Letter]| letters.iter().map(|letter| letter.c).collect::<String>();
    let is_operator = |letter: &Letter| !letter.quoted && matches!(letter.c, ':' | '<' | '>' | '=');
    let Some(mut place) = word.iter().position(is_operator) else {
        let bare = text(word);
        return if bare.is_empty() {
            Err(wrong(start, "these quotes are empty"))
        } else {
            Ok(Test::Text(bare.to_lowercase()))
        };
    };
    // `!=` begins before its `=`.
    if word.get(place).is_some_and(|l| l.c == '=') && place > 0 && word.get(place - 1).is_some_and(|l| l.c == '!') {
        place -= 1;
    }
    let (field, rest) = word.split_at(place);
    let field = text(field);
    let all = text(rest);
    let Some((sign, comparison)) = OPERATORS.iter().find(|(sign, _)| all.starts_with(sign)).copied() else {
        return Err(wrong(start, "this is not understood"));
    };
    let value = rest.get(sign.len()..).unwrap_or_default();
    let column = value.first().map_or(start + word.len(), |letter| letter.column);
    let value = text(value);
    if !FIELDS.contains(&field.as_str()) {
        return Err(wrong(start, unknown_field(&field, sign)));
    }
    if value.is_empty() {
        return Err(wrong(column, format!("a value is missing after `{field}{sign}`")));
    }
    let quantity = match field.as_str() {
        "bytes" => Quantity::Bytes,
        "blocked" => Quantity::Blocked,
        "latency" => Quantity::Latency,
        "t" => Quantity::Time,
        _ if sign != ":" => {
            let message = format!("`{field}` is not compared by `{sign}`: write `{field}:{value}`");
            return Err(wrong(start, message));
        }
        _ => return named(&field, &value).map_err(|message| wrong(column, message)),
    };
    if quantity == Quantity::Time && sign == ":" {
        return range(&value).map_err(|message| wrong(column, message));
    }
    let number = number(quantity, &value).map_err(|message| wrong(column, message))?;
    Ok(Test::Number(quantity, comparison, number))
}

fn named(field: &str, value: &str) -> Result<Test, String> {
    Ok(match field {
        "kind" => Test::Kind(one_of(field, value, KINDS.into_iter(), |kind| kind)?),
        "type" => Test::Type(one_of(field, value, ChannelType::ALL.iter().copied(), ChannelType::name)?),
        "state" => Test::State(one_of(field, value, ThreadState::ALL.into_iter(), ThreadState::name)?),
        "pid" => {
            let (pid, host) =
                value.split_once('@').map_or((value, None), |(pid, host)| (pid, Some(host.to_lowercase())));
            let pid = pid.parse().map_err(|_| format!("`{value}` is not a process id, as in `pid:4711`"))?;
            Test::Pid(pid, host)
        }
        "host" => Test::Host(value.to_lowercase()),
        "comm" => Test::Comm(value.to_lowercase()),
        "channel" => Test::Channel(value.to_owned()),
        "signal" => {
            let (name, _) = signal_name(value).ok_or_else(|| {
                format!("`{value}` is not a signal, as in `signal:USR1`, `signal:10`, `signal:RTMIN+2`")
            })?;
            Test::Signal(name)
        }
        "syscall" => Test::Syscall(value.to_lowercase()),
        _ => Test::Error(value.to_uppercase()),
    })
}

fn one_of<T: Copy>(
    field: &str,
    value: &str,
    all: impl Iterator<Item = T> + Clone,
    name: fn(T) -> &'static str,
) -> Result<T, String> {
    all.clone().find(|item| name(*item).eq_ignore_ascii_case(value)).ok_or_else(|| {
        let names: Vec<_> = all.map(name).collect();
        let hint = nearest(value, &names).map(|name| format!(" Did you mean `{field}:{name}`?")).unwrap_or_default();
        format!("`{value}` is no {field}; there are {}.{hint}", names.join(", "))
    })
}

fn unknown_field(field: &str, sign: &str) -> String {
    if field.is_empty() {
        return format!("a field is missing before `{sign}`; fields are {}", FIELDS.join(", "));
    }
    let hint = match nearest(field, &FIELDS) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "to search for text, put it in quotes.".to_owned(),
    };
    format!("unknown field `{field}`: {hint} Fields are {}", FIELDS.join(", "))
}

/// The name most like `word`, if one is.
fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().take(32).collect();
    let best = names.iter().map(|name| (distance(&word, &name.to_lowercase()), *name)).min()?;
    (best.0 * 2 < word.len()).then_some(best.1)
}

/// Levenshtein's: letters to insert, remove or change.
fn distance(word: &[char], name: &str) -> usize {
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (index, c) in name.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        for (cell, have) in row.iter_mut().skip(1).zip(word) {
            let best = (*cell + 1).min(left + 1).min(diagonal + usize::from(*have != c));
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A time as filters take it: `1.5` seconds, `10ms`.
pub fn time(text: &str) -> Result<Nanos, String> {
    number(Quantity::Time, text).map(Nanos)
}

fn number(quantity: Quantity, value: &str) -> Result<u64, String> {
    let (digits, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len()));
    let size = match (quantity, unit) {
        (Quantity::Bytes, "" | "B") => Some(1),
        (Quantity::Bytes, "KiB") => Some(1 << 10),
        (Quantity::Bytes, "MiB") => Some(1 << 20),
        (Quantity::Bytes, _) => None,
        (_, "ns") => Some(1),
        (_, "us" | "µs" | "μs") => Some(1_000),
        (_, "ms") => Some(1_000_000),
        (_, "s") | (Quantity::Time, "") => Some(1_000_000_000),
        _ => None,
    };
    let example = match quantity {
        Quantity::Bytes => "bytes, as in 100 or 64KiB",
        Quantity::Time => "a time in seconds, as in 1.5",
        _ => "a duration with its unit (ns, us, µs, ms, s), as in 10ms",
    };
    size.and_then(|size| decimal(digits, size)).ok_or_else(|| format!("`{value}` is not {example}"))
}

/// `1.5` times `size`, without the rounding of binary fractions.
fn decimal(digits: &str, size: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut total = if whole.is_empty() { 0 } else { whole.parse::<u128>().ok()?.checked_mul(u128::from(size))? };
    let mut place = u128::from(size) * 1_000_000_000;
    for digit in fraction.chars().take(9) {
        place /= 10;
        total += u128::from(digit.to_digit(10)?) * place / 1_000_000_000;
    }
    u64::try_from(total).ok().filter(|_| fraction.bytes().all(|b| b.is_ascii_digit()))
}

fn range(value: &str) -> Result<Test, String> {
    let usage = || format!("`{value}` is not a time range in seconds, as in `t:1.5..2.0`, `t:1.5..` or `t:..2`");
    let (from, to) = value.split_once("..").ok_or_else(usage)?;
    let bound =
        |text: &str, open| if text.is_empty() { Ok(open) } else { number(Quantity::Time, text).map_err(|_| usage()) };
    let (from, to) = (bound(from, 0)?, bound(to, u64::MAX)?);
    if from > to {
        return Err(format!("`{value}` ends before it begins"));
    }
    Ok(Test::Time(from, to))
}

fn is_host(event: &Event, name: &str) -> bool {
    event.host.as_ref().is_some_and(|host| host.0.to_lowercase() == name)
}

impl Test {
    pub(super) fn holds(&self, event: &Event) -> bool {
        match self {
            Self::Text(needle) => texts(event, &mut |text| contains(text, needle)),
            Self::Kind(name) => kind_name(&event.kind) == *name,
            Self::Type(mechanism) => mechanism_of(event) == Some(*mechanism),
            Self::Pid(pid, host) => {
                let target = if let Kind::Signal(step) = &event.kind { Some(step.to.pid) } else { None };
                let mut concerned = event.task.map(|task| task.pid).into_iter().chain(target);
                concerned.any(|id| pid_of(id) == *pid) && host.as_ref().is_none_or(|host| is_host(event, host))
            }
            Self::Host(name) => is_host(event, name),
            Self::Comm(name) => event.comm.is_some_and(|comm| comm.to_string().to_lowercase() == *name),
            Self::Channel(name) => is_channel(event, name),
            Self::Signal(name) => match &event.kind {
                Kind::Signal(step) => step.signal == *name,
                Kind::Exit(exit) => exit.signal.as_ref() == Some(name),
                _ => false,
            },
            Self::State(state) => match &event.kind {
                Kind::State(change) => change.to == *state,
                Kind::Signal(step) => step.target_state == Some(*state),
                _ => false,
            },
            Self::Syscall(name) => syscalls(event).into_iter().flatten().any(|call| call == name),
            Self::Error(name) => error(event) == Some(name),
            Self::Number(quantity, comparison, number) => {
                quantity.of(event).is_some_and(|value| comparison.holds(value, *number))
            }
            Self::Time(from, to) => (*from..=*to).contains(&event.t.0),
        }
    }
}

impl Quantity {
    fn of(self, event: &Event) -> Option<u64> {
        match (self, &event.kind) {
            (Self::Time, _) => Some(event.t.0),
            (Self::Bytes, Kind::Send(transfer) | Kind::Recv(transfer)) => transfer.bytes,
            (Self::Bytes, _) => None,
            (Self::Blocked, _) => event.call()?.blocked_ns,
            (Self::Latency, Kind::Signal(step)) => step.delivery.pending_ns,
            (Self::Latency, Kind::Rpc(rpc)) => rpc.latency_ns,
            (Self::Latency, _) => Some(event.call()?.took_ns),
        }
    }
}

impl Comparison {
    fn holds(self, value: u64, number: u64) -> bool {
        match self {
            Self::Less => value < number,
            Self::LessOrEqual => value <= number,
            Self::Equal => value == number,
            Self::NotEqual => value != number,
            Self::GreaterOrEqual => value >= number,
            Self::Greater => value > number,
        }
    }
}

fn mechanism_of(event: &Event) -> Option<ChannelType> {
    match &event.kind {
        Kind::Channel(change) => Some(change.mechanism),
        Kind::Send(transfer) | Kind::Recv(transfer) => Some(transfer.mechanism),
        Kind::Rpc(rpc) => Some(rpc.mechanism),
        // A state names its channel only; the name begins with the type.
        _ => {
            let id = &event.channel()?.0;
            ChannelType::ALL
                .iter()
                .copied()
                .find(|t| id.strip_prefix(t.name()).is_some_and(|rest| rest.starts_with(':')))
        }
    }
}

/// The calls an event names: its own, the one that waits, the one interrupted.
pub(super) fn syscalls(event: &Event) -> [Option<&'static str>; 2] {
    match &event.kind {
        Kind::State(change) => [change.on.as_ref().and_then(|on| on.syscall), None],
        Kind::Signal(step) => [step.syscall, step.delivery.interrupted.as_ref().map(|call| call.syscall)],
        _ => [event.call().map(|call| call.syscall), None],
    }
}

pub(super) fn error(event: &Event) -> Option<&'static str> {
    match &event.kind {
        Kind::Send(transfer) | Kind::Recv(transfer) => transfer.error,
        Kind::Channel(change) => change.error,
        _ => None,
    }
}
