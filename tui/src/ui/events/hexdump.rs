//! Bytes as hexadecimal numbers and characters.

use std::fmt::Write as _;

/// Lines of `per_line` bytes: place, numbers, characters; what is not printable ASCII is a dot.
pub(super) fn lines(bytes: &[u8], per_line: usize) -> impl Iterator<Item = String> {
    bytes.chunks(per_line.max(1)).enumerate().map(move |(line, chunk)| {
        let mut text = format!("{:04x} ", line * per_line);
        for (place, byte) in chunk.iter().enumerate() {
            if place > 0 && place.is_multiple_of(8) {
                text.push(' ');
            }
            let _ = write!(text, " {byte:02x}");
        }
        let full = 5 + per_line * 3 + per_line.saturating_sub(1) / 8;
        let shown: String = chunk.iter().map(|b| if (0x20..0x7f).contains(b) { char::from(*b) } else { '.' }).collect();
        format!("{text:full$}  {shown}")
    })
}

/// Bytes to a line, a multiple of four, so that lines fit into `columns`.
pub(super) fn per_line(columns: usize) -> usize {
    [32, 16, 8].into_iter().find(|n| 7 + n * 4 + (n - 1) / 8 <= columns).unwrap_or(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_characters_line_up() {
        let text: Vec<_> = lines(b"hello\n\x1b[31m, this", 8).collect();
        assert_eq!(
            text,
            [
                "0000  68 65 6c 6c 6f 0a 1b 5b  hello..[",
                "0008  33 31 6d 2c 20 74 68 69  31m, thi",
                "0010  73                       s"
            ]
        );
        assert_eq!((per_line(80), per_line(40), per_line(10)), (16, 8, 4));
    }
}
