//! Which machine this is, and what time: the first line of every trace.

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::sys::utsname::uname;

use crate::event::{Header, text};

/// The version of the JSON lines that this program writes.
const SCHEMA: u32 = 1;
/// The inode of the initial PID namespace, the same everywhere (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// The first kernel with all that is needed, of the long-term ones.
pub(super) const OLDEST: (u32, u32) = (5, 15);

/// A [`Header`] with all that is the machine's; command, hooks and limits are left empty. `start` is when `t` was 0.
pub fn header(start: SystemTime) -> Header {
    let (kernel, arch, host) = names();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Header {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").into(),
        kernel,
        arch,
        host,
        boot_id: boot_id.trim().into(),
        start: rfc3339(start),
        ..Header::default()
    }
}

/// `uname -r`, `uname -m`, `uname -n`; empty where the kernel will not say.
pub(super) fn names() -> (String, String, String) {
    let escape = |name: &std::ffi::OsStr| text::escape(name.as_encoded_bytes());
    uname().map_or_else(
        |_| Default::default(),
        |names| (escape(names.release()), escape(names.machine()), escape(names.nodename())),
    )
}

/// Why the running kernel cannot be traced, if it is older than all that can.
pub fn too_old() -> Option<String> {
    let (release, ..) = names();
    is_too_old(&release).unwrap_or(false).then(|| format!("{release} is older than {}.{}", OLDEST.0, OLDEST.1))
}

/// Whether `uname -r` names such a kernel; `None` if it names no version.
pub(super) fn is_too_old(release: &str) -> Option<bool> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return None };
    Some((major, minor) < OLDEST)
}

/// The PID namespace we are in: our process ids are those of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidNamespace {
    /// Of the file system that namespaces are on.
    pub device: u64,
    /// Its number.
    pub inode: u64,
}

impl PidNamespace {
    /// Ours.
    pub fn current() -> io::Result<Self> {
        let metadata = std::fs::metadata("/proc/self/ns/pid")?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }

    /// The kernel's own: its process ids are ours.
    pub fn is_initial(self) -> bool {
        self.inode == INITIAL_PID_NAMESPACE
    }
}

/// `2026-11-23T05:06:01.000000000Z`: RFC 3339, UTC, ns.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", since.subsec_nanos())
}

/// Year, month and day, so many days after 1970-01-01; years begin in March here, so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01, in eras of 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, of_month)
}

/// A moment (RFC 3339) as ns since 1970; `None` if it is none.
pub fn nanos_of(moment: &str) -> Option<i128> {
    moment.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_nanosecond)
}

/// And back; `None` if it is before 1970, or too late to be written down.
pub fn rfc3339_of(nanos: i128) -> Option<String> {
    let since = Duration::from_nanos(u64::try_from(nanos).ok()?);
    UNIX_EPOCH.checked_add(since).map(rfc3339)
}

/// A moment (RFC 3339) as ns since midnight, local time; 0 if it is none.
pub fn since_midnight(moment: &str) -> u64 {
    let Ok(moment) = moment.parse::<jiff::Timestamp>() else { return 0 };
    let time = moment.to_zoned(jiff::tz::TimeZone::system()).time();
    let seconds = (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60 + i64::from(time.second());
    (seconds * 1_000_000_000 + i64::from(time.subsec_nanosecond())) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_date() {
        // As `date -u -d @N` says.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000007Z"),
            (951_782_399, "2000-02-28T23:59:59.000000007Z"),
            (951_868_799, "2000-02-29T23:59:59.000000007Z"),
            (951_868_800, "2000-03-01T00:00:00.000000007Z"),
            (1_704_067_199, "2023-12-31T23:59:59.000000007Z"),
            (1_795_410_361, "2026-11-23T05:06:01.000000007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000007Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::new(seconds, 7)), text);
            let nanos = i128::from(seconds) * 1_000_000_000 + 7;
            assert_eq!((nanos_of(text), rfc3339_of(nanos).as_deref()), (Some(nanos), Some(text)));
        }
    }

    #[test]
    fn the_header_names_the_machine() {
        let header = header(SystemTime::now());
        assert!(header.kernel.starts_with(|c: char| c.is_ascii_digit()), "{}", header.kernel);
        assert_eq!(header.boot_id.len(), 36);
        assert!(!header.arch.is_empty() && !header.host.is_empty());
        assert!(PidNamespace::current().is_ok_and(|namespace| namespace.inode != 0));
    }
}
