//! D-Bus messages (the D-Bus specification, "Message Format") and what is said before the first (SASL).
//!
//! By hand: zvariant reads any value of any type, where we want a few of the header, out of bytes that may be cut.

use super::{Message, Probe, Step};
use crate::event::{Role, text};

/// Bytes before the header's fields.
const FIXED: usize = 16;
/// A message is not longer, nor is the array of fields.
const MOST: u64 = 1 << 27;
const MOST_FIELDS: u64 = 1 << 26;
/// `NO_REPLY_EXPECTED`.
const NO_REPLY: u8 = 1;

/// One direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Parser {
    /// Messages have begun: lines are over.
    begun: bool,
}

/// Whether the beginning of a conversation, or a message, begins here.
pub(super) fn probe(bytes: &[u8]) -> Probe {
    const HELLO: &[u8] = b"\0AUTH ";
    if bytes.starts_with(HELLO) {
        return Probe::Yes;
    }
    if HELLO.starts_with(bytes) {
        return Probe::Maybe;
    }
    match head(bytes, false) {
        Read::Message(_, message) if !message.cut => Probe::Yes,
        Read::Short => Probe::Maybe,
        _ => Probe::No,
    }
}

impl Parser {
    pub(super) fn step(&mut self, bytes: &[u8], cut: bool) -> Step {
        match (self.begun, bytes) {
            (false, [0, ..]) => return Step::Took { len: 1, message: None },
            (_, [b'l' | b'B']) => return Step::Need,
            (_, [b'l' | b'B', 1..=4, ..]) => {}
            (false, _) => {
                let line = bytes.iter().position(|byte| *byte == b'\n');
                let said = bytes.get(..line.unwrap_or(bytes.len())).unwrap_or_default();
                if said.iter().any(|byte| !(b' '..=b'~').contains(byte) && *byte != b'\r') {
                    return Step::Lost;
                }
                return line.map_or(Step::Need, |line| Step::Took { len: line as u64 + 1, message: None });
            }
            _ => return Step::Lost,
        }
        match head(bytes, cut) {
            Read::Message(len, message) => {
                self.begun = true;
                Step::Took { len, message: Some(message) }
            }
            Read::Short => Step::Need,
            Read::Wrong => Step::Lost,
        }
    }
}

enum Read {
    /// A message of so many bytes.
    Message(u64, Message),
    Short,
    Wrong,
}

/// Reads a message's header; `cut`: more of it will not come.
fn head(bytes: &[u8], cut: bool) -> Read {
    let big = match bytes {
        [b'l', ..] => false,
        [b'B', ..] => true,
        _ => return Read::Wrong,
    };
    if bytes.len() < FIXED {
        let is_wrong =
            bytes.get(1).is_some_and(|kind| !(1..=4).contains(kind)) || bytes.get(3).is_some_and(|v| *v != 1);
        return if is_wrong { Read::Wrong } else { Read::Short };
    }
    let reader = Reader { bytes, big };
    let (Some([_, kind, flags, 1]), Some(body), Some(serial), Some(fields)) =
        (bytes.first_chunk::<4>().copied(), reader.word(4), reader.word(8), reader.word(12))
    else {
        return Read::Wrong;
    };
    let (body, fields) = (u64::from(body), u64::from(fields));
    let head = FIXED as u64 + fields;
    let len = head.next_multiple_of(8) + body;
    if serial == 0 || fields > MOST_FIELDS || len > MOST {
        return Read::Wrong;
    }
    let is_short = (bytes.len() as u64) < head;
    if is_short && !cut {
        return Read::Short;
    }
    let head = bytes.get(..head as usize).unwrap_or(bytes);
    let Some(fields) = (Reader { bytes: head, big }).fields(is_short) else { return Read::Wrong };
    match message(kind, flags, serial, &fields, is_short) {
        Some(message) => Read::Message(len, message),
        None => Read::Wrong,
    }
}

/// What the header says; `cut`: what it does not say may have been cut.
fn message(kind: u8, flags: u8, serial: u32, fields: &Fields<'_>, cut: bool) -> Option<Message> {
    let interface = fields.interface.map(|name| is_name(name).then(|| text::escape(name)));
    let member = fields.member.map(|name| is_member(name).then(|| text::escape(name)));
    if interface == Some(None) || member == Some(None) {
        return None;
    }
    let method = match (interface.flatten(), member.flatten()) {
        (Some(interface), Some(member)) => Some(format!("{interface}.{member}")),
        (None, member) => member,
        (Some(_), None) => None,
    };
    let is_whole = match kind {
        1 => fields.path && method.is_some(),
        2 => fields.answers.is_some(),
        3 => fields.answers.is_some() && fields.error.is_some_and(is_name),
        4 => fields.path && fields.interface.is_some() && method.is_some(),
        _ => return None,
    };
    if !is_whole && !cut {
        return None;
    }
    let role = match kind {
        1 => Role::Call,
        2 => Role::Reply,
        3 => Role::Error,
        _ => Role::Signal,
    };
    let (id, method) = if role.is_answer() { (fields.answers, None) } else { (Some(serial), method) };
    let status = fields.error.filter(|_| role == Role::Error).map(text::escape);
    let answered = role == Role::Call && flags & NO_REPLY == 0;
    Some(Message { method, id, status, cut: !is_whole, answered, ..Message::new(role) })
}

/// `org.freedesktop.DBus`: elements between dots.
fn is_name(name: &[u8]) -> bool {
    name.len() <= 255 && name.contains(&b'.') && name.split(|byte| *byte == b'.').all(is_member)
}

fn is_member(name: &[u8]) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.len() <= 255 && name.first().is_some_and(|byte| !byte.is_ascii_digit()) && name.iter().copied().all(is_letter)
}

/// The fields we want.
#[derive(Default)]
struct Fields<'a> {
    path: bool,
    interface: Option<&'a [u8]>,
    member: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
    answers: Option<u32>,
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl<'a> Reader<'a> {
    fn word(self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..)?.first_chunk::<4>()?;
        Some(if self.big { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) })
    }

    /// All fields of a header; `None`: they make no sense. `cut`: they may end anywhere.
    fn fields(self, cut: bool) -> Option<Fields<'a>> {
        let mut fields = Fields::default();
        let mut at = FIXED;
        while at < self.bytes.len() {
            match self.field(at, &mut fields) {
                Some(next) => at = next.next_multiple_of(8),
                None if cut => break,
                None => return None,
            }
        }
        Some(fields)
    }

    /// Reads a field, gives where it ends.
    fn field(self, at: usize, fields: &mut Fields<'a>) -> Option<usize> {
        let [code, 1, kind, 0] = *self.bytes.get(at..)?.first_chunk::<4>()? else { return None };
        let at = at + 4;
        match kind {
            b's' | b'o' => {
                let len = usize::try_from(self.word(at)?).ok()?;
                let end = (at + 4).checked_add(len)?;
                let value = self.bytes.get(at + 4..end).filter(|_| self.bytes.get(end) == Some(&0))?;
                match code {
                    1 => fields.path = value.starts_with(b"/"),
                    2 => fields.interface = Some(value),
                    3 => fields.member = Some(value),
                    4 => fields.error = Some(value),
                    _ => {}
                }
                Some(end + 1)
            }
            b'u' | b'i' | b'b' | b'h' => {
                let value = self.word(at)?;
                if code == 5 {
                    fields.answers = Some(value).filter(|serial| *serial != 0);
                }
                Some(at + 4)
            }
            b'g' => {
                let end = at + 1 + usize::from(*self.bytes.get(at)?);
                (self.bytes.get(end) == Some(&0)).then_some(end + 1)
            }
            _ => None,
        }
    }
}
