//! The queue to the child and its shares.

use crate::console::clients::input_queue::InputQueue;
use crate::console::event::ClientId;
use crate::limits::{INPUT_MAX, INPUT_RESERVE};

const A: ClientId = ClientId(1);
const B: ClientId = ClientId(2);

fn push(queue: &mut InputQueue, id: ClientId, bytes: &[u8]) {
    queue.push(id, bytes.iter().copied());
}

fn all(queue: &InputQueue) -> Vec<u8> {
    let (first, second) = queue.slices();
    [first, second].concat()
}

#[test]
fn keeps_the_order_across_clients() {
    let mut queue = InputQueue::default();
    for (id, bytes) in [(A, "one "), (B, "two "), (A, "three "), (A, "four")] {
        push(&mut queue, id, bytes.as_bytes());
    }
    assert_eq!(all(&queue), b"one two three four");
    queue.consume(6);
    assert_eq!(all(&queue), b"o three four");
    queue.consume(100);
    assert_eq!(all(&queue), b"");
}

#[test]
fn is_full_for_the_client_that_filled_it() {
    let mut queue = InputQueue::default();
    push(&mut queue, A, &vec![b'a'; INPUT_MAX - 1]);
    assert!(queue.accepts(A));
    push(&mut queue, A, b"a");
    assert!(!queue.accepts(A));
    // Another client is still read, up to its reserve.
    assert!(queue.accepts(B));
    push(&mut queue, B, &[b'b'; INPUT_RESERVE - 1]);
    assert!(queue.accepts(B));
    push(&mut queue, B, b"b");
    assert!(!queue.accepts(B));
}

#[test]
fn input_that_the_child_reads_makes_room_for_its_client() {
    let mut queue = InputQueue::default();
    push(&mut queue, B, &[b'b'; INPUT_RESERVE]);
    push(&mut queue, A, &vec![b'a'; INPUT_MAX]);
    push(&mut queue, B, &[b'b'; INPUT_RESERVE]);
    assert!(!queue.accepts(A) && !queue.accepts(B));
    queue.consume(INPUT_RESERVE);
    assert!(!queue.accepts(B), "its second share is the whole reserve");
    queue.consume(INPUT_MAX - INPUT_RESERVE + 1);
    assert!(queue.accepts(A) && queue.accepts(B), "there is room for everybody");
    push(&mut queue, A, &vec![b'a'; INPUT_MAX - INPUT_RESERVE]);
    assert!(!queue.accepts(A) && !queue.accepts(B));
    // The rest of A's paste, and one byte of B's.
    queue.consume(INPUT_RESERVE);
    push(&mut queue, A, &[b'a'; INPUT_RESERVE]);
    assert!(!queue.accepts(A));
    assert!(queue.accepts(B));
}

#[test]
fn nothing_typed_is_nothing() {
    let mut queue = InputQueue::default();
    push(&mut queue, A, &vec![b'a'; INPUT_MAX]);
    for _ in 0..INPUT_RESERVE {
        push(&mut queue, B, b"");
    }
    assert!(queue.accepts(B));
}

#[test]
fn clearing_forgets_the_shares() {
    let mut queue = InputQueue::default();
    push(&mut queue, A, &vec![b'a'; INPUT_MAX]);
    queue.clear();
    assert_eq!(all(&queue), b"");
    push(&mut queue, B, &vec![b'b'; INPUT_MAX]);
    assert!(queue.accepts(A));
    assert!(!queue.accepts(B));
}
