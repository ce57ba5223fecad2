//! What a server that was killed leaves to the next one, where the simulation does not look.

use super::{Seconds, at, console, settings};
use crate::console::Console;
use crate::console::event::{ChildSlot, ClientId, ClientKind, Event, Role};
use crate::console::snapshot::Snapshot;
use crate::console::stream::ring::{HeapRing, Ring};
use crate::telnet::client::ClientDecoder;

const ID: ClientId = ClientId(1);

/// A console with a child and a telnet client that has read the greeting.
fn with_client() -> Console {
    let mut console = console(settings());
    console.handle_timeout(at(0));
    while console.poll_effect().is_some() {}
    console.handle(Event::Spawned(100), at(0));
    console.handle(Event::Joined { id: ID, role: Role::User, kind: ClientKind::Telnet }, at(0));
    let greeting = console.output(ID).0.len();
    console.written(ID, greeting);
    console
}

/// The console that goes on from a snapshot of `old`, as the server that was killed would have left it.
fn next(old: &Console, snapshot: Snapshot) -> Console {
    let (tail, bytes) = old.held();
    let mut ring = HeapRing::new();
    assert!(bytes.is_empty() || ring.grow(bytes.len(), 0));
    ring.push(&bytes);
    assert_eq!(tail + bytes.len() as u64, snapshot.stream_end().0);
    let ring: Box<dyn Ring> = Box::new(ring);
    let mut new =
        Console::restore_with_ring(settings(), Box::new(Seconds), snapshot, Some(ring)).unwrap();
    new.handle(Event::Restarted { complete: true }, at(1));
    new
}

/// All that the client is sent.
fn output(console: &mut Console) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let (first, second) = console.output(ID);
        let bytes = [first, second].concat();
        if bytes.is_empty() {
            return all;
        }
        console.written(ID, bytes.len());
        all.extend(bytes);
    }
}

/// Wherever the write was cut short of which the server could not take note, the client takes the bytes
/// that come again for what they are.
#[test]
fn a_write_may_be_cut_within_a_command() {
    let mut old = with_client();
    let bytes = b"one\xff\xfb\xfftwo\r\n";
    old.handle(Event::Output(ChildSlot::Current, bytes), at(0));
    let snapshot = old.snapshot_for_changes(0, None, None);
    let mut new = next(&old, snapshot);
    let (written, again) = (output(&mut old), output(&mut new));
    for cut in 0..=written.len() {
        let (mut client, mut data, mut answer) = (ClientDecoder::default(), Vec::new(), Vec::new());
        client.decode(&written[..cut], &mut data, &mut answer);
        let before = data.len();
        client.decode(&again, &mut data, &mut answer);
        let shown: Vec<u8> = data[before..].iter().copied().filter(|byte| *byte != 0x7F).collect();
        assert!(shown.starts_with(bytes), "{cut}: {}", shown.escape_ascii());
        assert_eq!(answer, b"", "{cut}");
    }
}

/// The server dies after a read that ends within a telnet command, before it can make a snapshot.
#[test]
fn a_read_may_end_within_a_command() {
    let mut old = with_client();
    let mut recorded = old.recorded();
    let snapshot = old.snapshot_for_changes(0, None, None);
    let decoder = old.decoder(ID).cloned();
    old.handle(Event::Input { id: ID, bytes: b"a\xff\xfa\x1f\0" }, at(0));
    let mut changes = old.changes(&mut recorded);
    changes.extend(old.place(ID));
    changes.extend(old.telnet(ID, decoder.as_ref()));
    let mut snapshot = snapshot;
    snapshot.apply(changes);
    let mut new = next(&old, snapshot);
    new.handle(Event::Input { id: ID, bytes: b"\x50\0\x18\xff\xf0b" }, at(1));
    let (first, second) = new.child_input();
    assert_eq!([first, second].concat(), b"ab");
}
