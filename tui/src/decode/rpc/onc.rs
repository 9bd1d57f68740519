//! ONC RPC (RFC 5531): over UDP a message is a datagram, over TCP there are record marks (section 11).

use super::{Message, Probe, Step};
use crate::event::Role;

/// A fragment is not longer.
const MOST: u64 = 1 << 26;
/// Bytes of a call's head up to its credentials' length.
const CALL: usize = 32;
/// Bytes of an answer whose outcome is known.
const ANSWER: usize = 20;
/// The longest of credentials and verifiers (section 8.2).
const OPAQUE: u32 = 400;
/// Programs of users and transient ones end here (section 8.4.1).
const PROGRAMS: u32 = 0x6000_0000;
/// Versions and procedures are small numbers.
const SMALL: u32 = 1 << 12;

/// One direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Parser {
    /// The fragment that comes next goes on with a record.
    goes_on: bool,
}

/// Whether a call begins here.
pub(super) fn probe(bytes: &[u8]) -> Probe {
    let Some(len) = word(bytes, 0).map(|mark| u64::from(mark & !LAST)) else {
        return if bytes.first().is_none_or(|byte| matches!(byte, 0x80 | 0)) { Probe::Maybe } else { Probe::No };
    };
    let body = bytes.get(4..).unwrap_or_default();
    if len < CALL as u64 + 8 || len > MOST {
        return Probe::No;
    }
    match body.len() {
        0..CALL if may_be_call(body) => Probe::Maybe,
        0..CALL => Probe::No,
        _ if call(body).is_some() => Probe::Yes,
        _ => Probe::No,
    }
}

/// The mark of a record's last fragment.
const LAST: u32 = 1 << 31;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The first words of a call, as far as they are there: `CALL`, version 2.
fn may_be_call(body: &[u8]) -> bool {
    word(body, 4).is_none_or(|kind| kind == 0) && word(body, 8).is_none_or(|version| version == 2)
}

/// What a datagram of so many bytes is, of which these were kept.
pub(super) fn datagram(bytes: &[u8], len: u64) -> Option<Message> {
    let cut = (bytes.len() as u64) < len;
    if !len.is_multiple_of(4) {
        return None;
    }
    call(bytes).or_else(|| answer(bytes, cut))
}

impl Parser {
    pub(super) fn step(&mut self, bytes: &[u8], cut: bool) -> Step {
        let Some(mark) = word(bytes, 0) else { return Step::Need };
        let (last, fragment) = (mark & LAST != 0, u64::from(mark & !LAST));
        if fragment == 0 || fragment > MOST {
            return Step::Lost;
        }
        let len = fragment + 4;
        let body = bytes.get(4..).unwrap_or_default();
        let body = body.get(..fragment as usize).unwrap_or(body);
        if self.goes_on {
            self.goes_on = !last;
            return Step::Took { len, message: None };
        }
        let is_whole = body.len() as u64 == fragment;
        if !is_whole && !cut && body.len() < CALL + OPAQUE as usize {
            return Step::Need;
        }
        let message = match word(body, 4) {
            Some(0) => call(body),
            _ => answer(body, !is_whole),
        };
        match message {
            Some(message) => {
                self.goes_on = !last;
                Step::Took { len, message: Some(message) }
            }
            None => Step::Lost,
        }
    }
}

/// `xid CALL 2 program version procedure credentials…`
fn call(bytes: &[u8]) -> Option<Message> {
    let words: Vec<u32> = (0..CALL / 4).filter_map(|index| word(bytes, index * 4)).collect();
    let [xid, 0, 2, program, version, procedure, _, opaque] = *words else { return None };
    let is_plausible = (1..PROGRAMS).contains(&program) && version < SMALL && procedure < SMALL && opaque <= OPAQUE;
    let message =
        Message { method: Some(name(program, version, procedure)), id: Some(xid), ..Message::new(Role::Call) };
    is_plausible.then_some(message)
}

/// `xid REPLY accepted|denied …`
fn answer(bytes: &[u8], cut: bool) -> Option<Message> {
    let (xid, 1) = (word(bytes, 0)?, word(bytes, 4)?) else { return None };
    let of = |names: &[&'static str], number: u32| names.get(number as usize).copied();
    let status = match word(bytes, 8)? {
        0 => {
            let opaque = word(bytes, 16).filter(|opaque| *opaque <= OPAQUE)?;
            let at = ANSWER + (opaque as usize).next_multiple_of(4);
            match word(bytes, at) {
                Some(0) => return Some(Message { id: Some(xid), ..Message::new(Role::Reply) }),
                Some(number) => Some(of(&ACCEPTED, number)?),
                None if cut => return Some(Message { id: Some(xid), cut, ..Message::new(Role::Reply) }),
                None => return None,
            }
        }
        1 => match word(bytes, 12)? {
            0 => Some("RPC_MISMATCH"),
            1 => Some(of(&AUTH, word(bytes, 16)?).unwrap_or("AUTH_ERROR")),
            _ => return None,
        },
        _ => return None,
    };
    Some(Message { id: Some(xid), status: status.map(str::to_owned), ..Message::new(Role::Error) })
}

const ACCEPTED: [&str; 6] = ["SUCCESS", "PROG_UNAVAIL", "PROG_MISMATCH", "PROC_UNAVAIL", "GARBAGE_ARGS", "SYSTEM_ERR"];
const AUTH: [&str; 8] = [
    "AUTH_OK",
    "AUTH_BADCRED",
    "AUTH_REJECTEDCRED",
    "AUTH_BADVERF",
    "AUTH_REJECTEDVERF",
    "AUTH_TOOWEAK",
    "AUTH_INVALIDRESP",
    "AUTH_FAILED",
];

/// What a procedure is called: `nfs v3 LOOKUP`, else by its numbers.
fn name(program: u32, version: u32, procedure: u32) -> String {
    let (program, procedures): (&str, &[&str]) = match (program, version) {
        (100_000, 2) => ("portmap", &PORTMAP),
        (100_000, _) => ("rpcbind", &RPCBIND),
        (100_003, 2) => ("nfs", &NFS2),
        (100_003, 3) => ("nfs", &NFS3),
        (100_003, _) => ("nfs", &["NULL", "COMPOUND"]),
        (100_005, _) => ("mount", &MOUNT),
        (100_021, _) => ("nlm", &NLM),
        (100_024, _) => ("status", &STATUS),
        _ => return format!("program {program} v{version} procedure {procedure}"),
    };
    match procedures.get(procedure as usize) {
        Some(name) => format!("{program} v{version} {name}"),
        None => format!("{program} v{version} procedure {procedure}"),
    }
}

/// RFC 1833.
const PORTMAP: [&str; 6] = ["NULL", "SET", "UNSET", "GETPORT", "DUMP", "CALLIT"];
const RPCBIND: [&str; 13] = [
    "NULL",
    "SET",
    "UNSET",
    "GETADDR",
    "DUMP",
    "BCAST",
    "GETTIME",
    "UADDR2TADDR",
    "TADDR2UADDR",
    "GETVERSADDR",
    "INDIRECT",
    "GETADDRLIST",
    "GETSTAT",
];
/// RFC 1094.
const NFS2: [&str; 18] = [
    "NULL",
    "GETATTR",
    "SETATTR",
    "ROOT",
    "LOOKUP",
    "READLINK",
    "READ",
    "WRITECACHE",
    "WRITE",
    "CREATE",
    "REMOVE",
    "RENAME",
    "LINK",
    "SYMLINK",
    "MKDIR",
    "RMDIR",
    "READDIR",
    "STATFS",
];
/// RFC 1813.
const NFS3: [&str; 22] = [
    "NULL",
    "GETATTR",
    "SETATTR",
    "LOOKUP",
    "ACCESS",
    "READLINK",
    "READ",
    "WRITE",
    "CREATE",
    "MKDIR",
    "SYMLINK",
    "MKNOD",
    "REMOVE",
    "RMDIR",
    "RENAME",
    "LINK",
    "READDIR",
    "READDIRPLUS",
    "FSSTAT",
    "FSINFO",
    "PATHCONF",
    "COMMIT",
];
const MOUNT: [&str; 6] = ["NULL", "MNT", "DUMP", "UMNT", "UMNTALL", "EXPORT"];
/// The Open Group, "Protocols for Interworking: XNFS".
const NLM: [&str; 24] = [
    "NULL",
    "TEST",
    "LOCK",
    "CANCEL",
    "UNLOCK",
    "GRANTED",
    "TEST_MSG",
    "LOCK_MSG",
    "CANCEL_MSG",
    "UNLOCK_MSG",
    "GRANTED_MSG",
    "TEST_RES",
    "LOCK_RES",
    "CANCEL_RES",
    "UNLOCK_RES",
    "GRANTED_RES",
    "procedure 16",
    "procedure 17",
    "procedure 18",
    "procedure 19",
    "SHARE",
    "UNSHARE",
    "NM_LOCK",
    "FREE_ALL",
];
const STATUS: [&str; 7] = ["NULL", "STAT", "MON", "UNMON", "UNMON_ALL", "SIMU_CRASH", "NOTIFY"];
