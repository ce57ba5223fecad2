//! Comparing what a reader received with the stream.

use crate::telnet;

/// What follows the greeting, without telnet's offer.
pub(super) fn after_greeting(received: &[u8]) -> &[u8] {
    let end = b"(plus you)\r\n";
    let help = b"@@@ ^R or ^X restarts the child, ^Q quits the server\r\n";
    let Some(at) = find(received, end) else {
        return &[];
    };
    let mut rest = &received[at + end.len()..];
    let down = find(&received[..at], b"is SHUT DOWN").is_some();
    if down {
        rest = rest.strip_prefix(help.as_slice()).unwrap_or_default();
    }
    rest.strip_prefix(telnet::OFFER.as_slice()).unwrap_or(rest)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Matches what a reader received with the stream, from its end back over each announcement of
/// missing bytes. Returns where in the stream the reader begins.
pub(super) fn trace_back(stream: &[u8], got: &[u8], tail: &[u8]) -> Result<usize, String> {
    let mut got = got;
    let mut end = stream.len();
    loop {
        let announced = last_announcement(got, tail);
        let piece = &got[announced.map_or(0, |(_, after, _)| after)..];
        if !stream[..end].ends_with(piece) {
            let same = piece.iter().rev().zip(stream[..end].iter().rev());
            let same = same.take_while(|(a, b)| a == b).count();
            let tail = |bytes: &[u8]| {
                let at = bytes.len().saturating_sub(same);
                let range = at.saturating_sub(100)..(at + 30).min(bytes.len());
                String::from_utf8_lossy(&bytes[range]).into_owned()
            };
            let (has, should) = (tail(piece), tail(&stream[..end]));
            return Err(format!("{same} bytes before {end}: {has:?}\nis not: {should:?}"));
        }
        end -= piece.len();
        let Some((before, _, count)) = announced else {
            return Ok(end);
        };
        let missing = usize::try_from(count).map_err(|error| error.to_string())?;
        end = end.checked_sub(missing).ok_or_else(|| format!("{missing} missing before {end}"))?;
        got = &got[..before];
        // The server ends a line before it announces something.
        if let Some(line) = got.strip_suffix(b"\r\n".as_slice())
            && !stream[..end].ends_with(b"\n")
            && !got.ends_with(tail)
        {
            got = line;
        }
    }
}

/// The begin and the end of the last announcement, and its number.
fn last_announcement(got: &[u8], tail: &[u8]) -> Option<(usize, usize, u64)> {
    let at = got.windows(tail.len()).rposition(|window| window == tail)?;
    let before = got[..at].windows(4).rposition(|window| window == b"@@@ ")?;
    let number = std::str::from_utf8(&got[before + 4..at]).ok()?.parse().ok()?;
    Some((before, at + tail.len(), number))
}

/// Where a client begins that joins when this much was said: with the first line in the last bytes,
/// or with the first of them.
pub(super) fn past(said: &[u8], history: usize) -> usize {
    let first = said.len().saturating_sub(history);
    let starts_line = |&at: &usize| at == 0 || said[at - 1] == b'\n';
    (first..said.len()).find(starts_line).unwrap_or(first)
}

/// The log, with announcements of zero missing bytes in place of lines about upgrades and failed
/// syncs, which stand between the lines of the stream as well.
pub(super) fn without_notes(log: &[u8]) -> Vec<u8> {
    let note = b"@@@ procServ server ".as_slice();
    let is_note = |line: &[u8]| {
        let rest = line.strip_prefix(note).unwrap_or_default();
        [&b"upgraded "[..], b"not upgraded: "].iter().any(|begin| rest.starts_with(begin))
    };
    let lines = log.split_inclusive(|&byte| byte == b'\n');
    let lines = lines.map(|line| match line {
        line if is_note(line) || unsynced(line).is_some() => b"@@@ 0 bytes are missing here\r\n",
        line => line,
    });
    lines.collect::<Vec<_>>().concat()
}

/// The number in a line about failed syncs.
pub(super) fn unsynced(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b" bytes above may not have reached the disk\r\n")?;
    std::str::from_utf8(line.strip_prefix(b"@@@ ")?).ok()?.parse().ok()
}

/// What a telnet client shows: without answers to requests, and with 0xFF single.
pub(super) fn plain(bytes: &[u8]) -> Vec<u8> {
    let (mut data, mut reply) = (Vec::new(), Vec::new());
    telnet::Decoder::new().decode(bytes, telnet::LineEnds::Keep, &mut data, &mut reply);
    data
}
