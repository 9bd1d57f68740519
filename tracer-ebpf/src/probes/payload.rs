//! Payload behind the record of a call: as much room as it needs, and the bytes.

use ipcscope_common::{mqueue::MqueueCall, object::ObjectCall, queue::QueueCall};

use crate::{
    emit::reserve,
    kernel::{copy_user, copy_words, setting},
    task::PAYLOAD,
};

/// Few bytes, and more than are kept of any message.
const SMALL: usize = 16;
const LARGE: usize = 4096;

/// How many of a message's first bytes are kept from the entry of its call on.
#[inline(always)]
pub fn at_entry(size: u64) -> u32 {
    let limit = setting!(payload_limit);
    let most = if limit < PAYLOAD as u32 { limit } else { PAYLOAD as u32 };
    if size < u64::from(most) { size as u32 } else { most }
}

/// A record that payload can follow.
pub trait Carries {
    /// So many bytes do.
    fn carry(&mut self, bytes: u32);
}

macro_rules! carries {
    ($($record:ty),*) => {
        $(impl Carries for $record {
            #[inline(always)]
            fn carry(&mut self, bytes: u32) {
                self.payload_len = bytes;
            }
        })*
    };
}
carries!(QueueCall, MqueueCall, ObjectCall);

/// Where the bytes are.
pub struct Bytes<'a> {
    /// How many to keep.
    pub keep: u32,
    /// In the memory of the current process.
    pub from: u64,
    /// What was kept at the entry of the call, if that is all of it.
    pub kept: Option<&'a [u8; PAYLOAD]>,
}

/// A record with room for payload.
#[repr(C)]
struct WithPayload<T, const N: usize> {
    call: T,
    payload: [u8; N],
}

/// Hands over a record and its payload.
///
/// # Safety
///
/// `write` has to write every field of the record.
#[inline(always)]
pub unsafe fn emit_with<T: Carries + 'static>(class: u32, bytes: &Bytes<'_>, mut write: impl FnMut(*mut T)) {
    let Bytes { keep, from, .. } = *bytes;
    if keep == 0 {
        let Some(mut record) = reserve::<T>(class) else { return };
        write(record.as_mut_ptr());
        record.submit();
    } else if keep <= SMALL as u32 {
        // SAFETY: as the caller promises.
        unsafe { emit_small::<T, SMALL>(class, bytes, write) };
    } else if keep <= PAYLOAD as u32 {
        // SAFETY: as the caller promises.
        unsafe { emit_small::<T, PAYLOAD>(class, bytes, write) };
    } else {
        let Some(mut record) = reserve::<WithPayload<T, LARGE>>(class) else { return };
        // SAFETY: as above.
        unsafe {
            let room = record.as_mut_ptr();
            write(&raw mut (*room).call);
            if copy_user::<LARGE>(&raw mut (*room).payload, from, keep) {
                (*room).call.carry(keep);
            }
        }
        record.submit();
    }
}

/// The same with room for `N` bytes, at most [`PAYLOAD`].
///
/// # Safety
///
/// As there; no more than `N` bytes are to be kept.
#[inline(always)]
unsafe fn emit_small<T: Carries + 'static, const N: usize>(
    class: u32,
    &Bytes { keep, from, kept }: &Bytes<'_>,
    mut write: impl FnMut(*mut T),
) {
    let Some(mut record) = reserve::<WithPayload<T, N>>(class) else { return };
    // SAFETY: the record's room, which `write` has filled but for the payload; both are aligned to words.
    unsafe {
        let room = record.as_mut_ptr();
        write(&raw mut (*room).call);
        if let Some(kept) = kept {
            copy_words::<N>(&raw mut (*room).payload, kept.as_ptr());
            (*room).call.carry(keep);
        } else if copy_user::<N>(&raw mut (*room).payload, from, keep) {
            (*room).call.carry(keep);
        }
    }
    record.submit();
}
