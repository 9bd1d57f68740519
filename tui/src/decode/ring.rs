//! Operations of io_uring(7) on channels.
//!
//! The kernel does them when it can, in whichever thread, and moves bytes that no call tells of. So they are told with what
//! came of them, as of whoever asked; but whose bytes somebody got is not known any more once a process has a ring.
//!
//! Invariant: an operation says that it was one (`via`), and names no origin.

use ipcscope_common::ring::{ENTER, RingCall, operation};

use super::{Decoder, names};
use crate::event::{ChannelType, FromUnknown, Kind, Task, Transfer};

impl Decoder {
    /// An operation is over.
    pub(super) fn ring_call(&mut self, record: &RingCall) {
        let header = &record.header;
        let task = Task { pid: header.tgid, tid: header.tid };
        let (sends, receives) =
            (operation::SENDS.contains(&record.operation), operation::RECEIVES.contains(&record.operation));
        if !sends && !receives {
            return;
        }
        let key = (record.dev, record.ino);
        let known = self.channels.known(key).map(|(id, mechanism)| (id.clone(), mechanism));
        let Some((id, mechanism)) = known.or_else(|| self.object_id(key)) else { return };
        let call = self.plain_call(task, ENTER, (record.submitted, header.time));
        let mut transfer = Transfer::new(id, mechanism, Some(record.fd).filter(|fd| *fd >= 0), call);
        match u64::try_from(record.result) {
            Ok(bytes) => transfer.bytes = Some(bytes),
            Err(_) => transfer.error = Some(names::errno(record.result.into())),
        }
        let is_stream =
            matches!(mechanism, ChannelType::Pipe | ChannelType::Fifo | ChannelType::UnixStream | ChannelType::Tcp);
        transfer.eof = receives && record.result == 0 && record.asked != 0 && is_stream;
        if receives && record.result > 0 {
            transfer.from_unknown = Some(FromUnknown::Overlap);
        }
        let transfer = Box::new(transfer);
        self.push(header.time, task, if sends { Kind::Send(transfer) } else { Kind::Recv(transfer) });
    }
}
