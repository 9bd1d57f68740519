//! Values as people type them: sizes, times, lists of processes.

use std::{fmt, str::FromStr, time::Duration};

/// Bytes, a power of two: what a ring buffer can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferSize(pub u32);

impl BufferSize {
    const LEAST: u64 = 4 << 10;
    const MOST: u64 = 2 << 30;
}

impl Default for BufferSize {
    fn default() -> Self {
        Self(64 << 20)
    }
}

impl FromStr for BufferSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match bytes(text).ok_or("a size is a number and K, M or G, such as 64M")? {
            bytes if (Self::LEAST..=Self::MOST).contains(&bytes) => Ok(Self(bytes.next_power_of_two() as u32)),
            _ => Err("a buffer has from 4K to 2G".into()),
        }
    }
}

impl fmt::Display for BufferSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.trailing_zeros() {
            30.. => write!(f, "{}G", self.0 >> 30),
            20.. => write!(f, "{}M", self.0 >> 20),
            _ => write!(f, "{}K", self.0 >> 10),
        }
    }
}

/// `64M`, `2G`, `100`; what is more than a number can hold is the most it can.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text.strip_prefix(digits)?.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return None,
    };
    Some(digits.parse::<u64>().ok()?.saturating_mul(1 << shift))
}

/// Bytes of a file: `500M`, `2G`, exactly.
pub(super) fn file_size(text: &str) -> Result<u64, String> {
    match bytes(text).ok_or("a size is a number and K, M or G, such as 500M")? {
        u64::MAX => Err("that is more than any file has".into()),
        bytes if bytes >= 1 << 20 => Ok(bytes),
        _ => Err("a file of a recording has at least 1M".into()),
    }
}

/// `500ms`, `10s`, `1.5m`, `2h`; a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let scale = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time is a number and ms, s, m or h, such as 500ms or 2m".into()),
    };
    let number = text.strip_suffix(unit).and_then(|number| number.parse::<f64>().ok());
    let seconds = number.ok_or("a time is a number and ms, s, m or h, such as 500ms or 2m")? * scale;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && duration.as_secs() < 1 << 32 => Ok(duration),
        _ => Err("the time must be more than nothing and less than a century".into()),
    }
}

/// Process ids, with commas, blanks or newlines between: what pgrep(1) and pidof(8) print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pids(pub Vec<u32>);

impl FromStr for Pids {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        let pids = words.map(|word| match word.parse::<u32>() {
            Ok(pid) if (1..=i32::MAX.unsigned_abs()).contains(&pid) => Ok(pid),
            _ => Err(format!("{word:?} is not a process id")),
        });
        match pids.collect::<Result<Vec<_>, _>>()? {
            none if none.is_empty() => Err("no process id is given: is the process there?".into()),
            pids => Ok(Self(pids)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_to_what_a_ring_can_have() {
        for (text, bytes, shown) in [
            ("64M", 64 << 20, "64M"),
            ("65m", 128 << 20, "128M"),
            ("4096", 4096, "4K"),
            ("5KiB", 8192, "8K"),
            ("1G", 1 << 30, "1G"),
            ("2G", 1 << 31, "2G"),
        ] {
            let size: BufferSize = text.parse().unwrap_or(BufferSize(0));
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown), "{text}");
        }
        for text in ["", "M", "1T", "-1M", "1.5M", "4095", "3G", "99999999999999999999", "18446744073709551615G", "ä"]
        {
            assert!(text.parse::<BufferSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_of_files_are_taken_exactly() {
        for (text, bytes) in
            [("1M", 1 << 20), ("3m", 3 << 20), ("1048577", 1_048_577), ("2048KiB", 2 << 20), ("5G", 5 << 30)]
        {
            assert_eq!(file_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "1T", "-1M", "1.5M", "1023K", "0", "99999999999999999999", "18446744073709551615G"] {
            assert!(file_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1.5", 1_500), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "0", "0ms", "-1s", "1d", "1..5s", "inf", "nan", "1e99s", "99999999999h", "µ"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn process_ids_come_as_other_programs_print_them() {
        for (text, pids) in [("1", &[1][..]), ("1,2 3\n4\n", &[1, 2, 3, 4]), (" 7 ", &[7])] {
            assert_eq!(text.parse(), Ok(Pids(pids.to_vec())), "{text:?}");
        }
        for text in ["", "\n", "0", "-1", "x", "1,x", "4294967296", "2147483648"] {
            assert!(text.parse::<Pids>().is_err(), "{text}");
        }
    }
}
