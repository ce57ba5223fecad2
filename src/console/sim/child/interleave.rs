//! The oracle's part about the output of two children on one console.

use crate::console::clock::Timestamps;
use crate::console::sim::oracle::Oracle;
use crate::console::sim::reached;
use crate::limits::LINE_TIMEOUT;

/// Which child has the turn, and the output of the other that is held.
#[derive(Debug, Default)]
pub struct Interleaver {
    pub old_has_turn: bool,
    pub held: Vec<u8>,
    pub until: Option<u64>,
}

impl Oracle {
    /// A child wrote bytes.
    pub fn child_output(&mut self, is_old: bool, bytes: &[u8], now: Timestamps) {
        if self.exiting {
            return;
        }
        let second = now.wall.seconds;
        if self.old.is_none() || self.interleaver.old_has_turn == is_old {
            let whole =
                |bytes: &[u8]| bytes.iter().rposition(|&byte| byte == b'\n').map(|at| at + 1);
            let others = whole(&self.interleaver.held).unwrap_or(0);
            let mine = whole(bytes).filter(|_| others > 0).unwrap_or(0);
            self.stream.append(&bytes[..mine], second);
            if mine > 0 {
                reached("two children spoke by turns");
                let lines: Vec<u8> = self.interleaver.held.drain(..others).collect();
                self.stream.append(&lines, second);
                let more = !self.interleaver.held.is_empty();
                self.interleaver.until = more.then(|| now.mono.0 + LINE_TIMEOUT.as_nanos() as u64);
            }
            self.stream.append(&bytes[mine..], second);
            return;
        }
        self.interleaver.held.extend_from_slice(bytes);
        if self.stream.bytes.last().is_none_or(|&byte| byte == b'\n') {
            self.interleaver.old_has_turn = is_old;
            self.interleaver.until = None;
            let all = std::mem::take(&mut self.interleaver.held);
            self.stream.append(&all, second);
        } else if !self.interleaver.held.is_empty() && self.interleaver.until.is_none() {
            self.interleaver.until = Some(now.mono.0 + LINE_TIMEOUT.as_nanos() as u64);
        }
    }

    pub fn flush(&mut self, now: Timestamps) {
        let all = std::mem::take(&mut self.interleaver.held);
        if !all.is_empty() && !self.exiting {
            self.say_line("", now);
            self.stream.append(&all, now.wall.seconds);
            self.interleaver.old_has_turn = !self.interleaver.old_has_turn;
            self.interleaver.until = None;
        }
    }
}
