//! Git's pkt-lines: four hexadecimal digits of length, then the rest.

/// What is at the front of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// `0000`, `0001` or `0002`: the end of a section.
    Mark,
    /// Bytes.
    Data(&'a [u8]),
}

/// The packet's length does not make sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packet's length is not one of git's")]
pub(super) struct Malformed;

/// Reads the first packet of `buffer` and how many bytes it takes; `None` if it is not all there yet.
pub(super) fn first(buffer: &[u8]) -> Result<Option<(Packet<'_>, usize)>, Malformed> {
    let Some(digits) = buffer.get(..4) else { return Ok(None) };
    let digits = std::str::from_utf8(digits).map_err(|_| Malformed)?;
    let length = usize::from_str_radix(digits, 16).map_err(|_| Malformed)?;
    match length {
        0..=2 => Ok(Some((Packet::Mark, 4))),
        3 => Err(Malformed),
        _ => Ok(buffer.get(4..length).map(|data| (Packet::Data(data), length))),
    }
}

/// Wraps bytes, at most 65 516 of them, into a packet.
pub(super) fn of(bytes: &[u8]) -> Vec<u8> {
    let mut packet = format!("{:04x}", bytes.len() + 4).into_bytes();
    packet.extend_from_slice(bytes);
    packet
}

/// Writes one line for the user's terminal: band 2, which clients print after `remote: `.
pub(super) fn terminal_line(line: &str) -> Vec<u8> {
    let plain: String = line.chars().filter(|c| !c.is_control()).take(1000).collect();
    let mut packet = format!("{:04x}\u{2}", plain.len() + 6).into_bytes();
    packet.extend_from_slice(plain.as_bytes());
    packet.push(b'\n');
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_packets_marks_and_halves() {
        assert_eq!(first(b"0006a\n0000"), Ok(Some((Packet::Data(b"a\n"), 6))));
        assert_eq!(first(b"0000rest"), Ok(Some((Packet::Mark, 4))));
        assert_eq!(first(b"0006a"), Ok(None));
        assert_eq!(first(b"00"), Ok(None));
        assert_eq!(first(b"PACK"), Err(Malformed));
        assert_eq!(first(b"0003"), Err(Malformed));
    }

    #[test]
    fn a_line_is_one_band_two_packet_without_escapes() {
        assert_eq!(terminal_line("hi\u{1b}[31m\n"), b"000c\x02hi[31m\n");
        let packet = terminal_line("ü");
        assert_eq!(first(&packet).unwrap().unwrap().1, packet.len());
    }
}
