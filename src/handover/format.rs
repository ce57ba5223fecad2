//! The bytes of a [`State`]: a head that tells a cut or damaged one, and a body of numbered fields
//! (CBOR). The body can grow without a new format: fields that a reader does not know are skipped,
//! and later ones may be missing. The format's number changes if that is not enough: two programs that
//! cannot read each other's state have different numbers. `tests/samples` has states of each format.

use std::fmt;

use super::state::State;
use crate::console::error::InvalidSnapshot;

const MAGIC: &[u8] = b"procServ state\n";
/// The format of 0.1.0 and all versions since. The builds before had 1, with digests of two kinds.
pub(super) const FORMAT: u32 = 2;

/// Why this program cannot go on from these bytes.
#[derive(Debug)]
pub enum Unreadable {
    /// They do not begin as a state does.
    Foreign,
    /// They are a state of this other format.
    Format(u32),
    /// They are a part of a state, or have changed.
    Damaged,
    /// The fields of the body are not those of a state.
    Body(minicbor::decode::Error),
    /// The fields contradict each other.
    Invalid(InvalidSnapshot),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Foreign => f.write_str("not a state"),
            Unreadable::Format(number) if *number < FORMAT => {
                f.write_str("the state was made by a version before 0.1.0, which cannot be read")
            }
            Unreadable::Format(number) => write!(
                f,
                "the state was made by a newer version, in format {number}; this one reads format {FORMAT}"
            ),
            Unreadable::Damaged => f.write_str("a damaged state"),
            Unreadable::Body(error) => write!(f, "a state that cannot be read: {error}"),
            Unreadable::Invalid(invalid) => write!(f, "a state that cannot be: {invalid}"),
        }
    }
}

impl std::error::Error for Unreadable {}

/// Returns the bytes of `state`.
pub fn encode(state: &State) -> Vec<u8> {
    let body = encode_body(state);
    let numbers = [&FORMAT.to_le_bytes()[..], &(body.len() as u64).to_le_bytes()].concat();
    [MAGIC, &numbers, &digest(&body).to_le_bytes(), &body].concat()
}

/// Returns the state that [`encode`] of this or another version of the program made these bytes
/// from.
///
/// # Errors
/// Those of [`Unreadable`].
pub fn decode(bytes: &[u8]) -> Result<State, Unreadable> {
    decode_body(body(bytes)?)
}

/// Returns the body of the state, without looking into the body.
///
/// # Errors
/// Those of [`Unreadable`] that are about the head.
pub(super) fn body(bytes: &[u8]) -> Result<&[u8], Unreadable> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Unreadable::Foreign)?;
    let (format, rest) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
    let format = u32::from_le_bytes(*format);
    if format != FORMAT {
        return Err(Unreadable::Format(format));
    }
    let (len, rest) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
    let (sum, body) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
    if body.len() as u64 != u64::from_le_bytes(*len) || digest(body) != u32::from_le_bytes(*sum) {
        return Err(Unreadable::Damaged);
    }
    Ok(body)
}

/// Returns the body of `state` without a head.
pub fn encode_body(state: &State) -> Vec<u8> {
    // Writing to memory does not fail.
    minicbor::to_vec(state).unwrap_or_default()
}

/// Returns the state with this body. No bytes make this panic, nor take more memory than a small
/// multiple of their number.
///
/// # Errors
/// Those of [`Unreadable`], except that nothing tells a body that has changed.
pub fn decode_body(body: &[u8]) -> Result<State, Unreadable> {
    let mut decoder = minicbor::Decoder::new(body);
    let state: State = decoder.decode().map_err(Unreadable::Body)?;
    if decoder.position() != body.len() {
        return Err(Unreadable::Damaged);
    }
    state.check().map_err(Unreadable::Invalid)?;
    Ok(state)
}

/// Returns the CRC-32 of ISO 3309, as zlib has it. It guards against accidents only: whoever can
/// write a state may write any.
pub fn digest(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}
