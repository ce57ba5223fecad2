//! What happens in a run: everything that clients, children and the system may do.

use super::*;

impl Run {
    /// Lets one thing happen outside the server.
    pub(super) fn act(&mut self, step: u64) {
        if self.world.borrow_mut().random.one_in(8) {
            return self.program_acts();
        }
        self.happen(step);
    }

    /// The same without programs.
    pub(super) fn happen(&mut self, step: u64) {
        let mut world = self.world.borrow_mut();
        let ids: Vec<Id> = self.clients.keys().copied().collect();
        let anybody = (!ids.is_empty()).then(|| ids[world.random.below(ids.len())]);
        let pty = world.children.last().map(|child| child.pipe);
        match (world.random.below(21), anybody, pty) {
            (18, _, _) if world.random.one_in(2) => {
                world.signals.overlap = true;
                world.woken = true;
                world.print("SIGUSR2");
            }
            (18, _, Some(pty)) => {
                let ready = world.random.one_in(2);
                world.pipe(pty).messages.push_back(ready);
                world.push_ready(pty, true, false);
                world.print(&format!("the child tells something, ready {ready}"));
            }
            (19 | 20, _, _) if world.children.len() == 2 => old_child_acts(&mut world),
            (0 | 1, _, _) if ids.len() < 6 => {
                let room = 1 << (4 + world.random.below(12));
                let id = world.add(room);
                let role = if world.random.one_in(4) { Role::Viewer } else { Role::User };
                world.pipe(id).raw = world.random.one_in(3);
                world.pipe(id).half_closes = world.pipe(id).raw || role == Role::Viewer;
                world.connect(id, role);
                if role == Role::Viewer {
                    self.viewers.insert(id);
                }
                self.clients.insert(id, (0, usize::MAX));
                self.everybody.insert(id);
                world.print(&format!("client {id} connects, {role:?}"));
            }
            (2 | 3, Some(id), _) => {
                let most = 1 << world.random.below(17);
                world.take(id, most);
                world.print(&format!("client {id} takes {most}"));
            }
            (4 | 5, Some(id), _) if self.viewers.contains(&id) && !world.pipe(id).ended => {
                // Nothing of this may have an effect.
                let texts = [&b"watched\r\x18\x14\x12"[..], WINDOW];
                let text = texts[world.random.below(if self.without_requests { 1 } else { 2 })];
                world.send(id, text, false);
                world.print(&format!("viewer {id} sends {text:?}"));
            }
            (4 | 5, Some(id), _)
                if !self.without_requests
                    && world.random.one_in(4)
                    && !world.pipe(id).raw
                    && !world.pipe(id).ended =>
            {
                let window = windows::told(&mut world.random);
                world.send(id, &window, false);
                world.print(&format!("client {id} tells {window:?}"));
            }
            (4 | 5, Some(id), _) if !self.viewers.contains(&id) && !world.pipe(id).ended => {
                let flood = [&b"\x14"[..], b"\x18", b"\x18\x14"][world.random.below(3)];
                let flood = flood.repeat(1 + world.random.below(60));
                let typed = format!("typed {:06}\r", self.typed);
                let text: &[u8] = match world.random.below(10) {
                    9 => &flood,
                    0 => b"\x18",
                    1 => b"\x14",
                    2 if !self.without_requests => b"\xff\xfd\x03\xff\xfb\x22",
                    3 => b"\x12",
                    4 => &[OTHER],
                    _ => typed.as_bytes(),
                };
                self.typed += 1;
                world.send(id, text, false);
                world.print(&format!("client {id} sends {text:?}"));
            }
            (6, Some(id), _) if world.random.one_in(3) => {
                let (may_stay, half_closes) = (world.pipe(id).half_closes, world.random.one_in(2));
                if half_closes {
                    world.send(id, b"", true);
                    self.half_closed += usize::from(may_stay && !world.pipe(id).closed);
                    world.print(&format!("client {id} ends its input"));
                } else {
                    let reset = world.random.one_in(2);
                    // A TCP client that has half-closed before is found by the next write only.
                    let unseen = may_stay && reset && world.pipe(id).ended;
                    world.pipe(id).broken = reset;
                    world.pipe(id).hung_up = !unseen;
                    world.send(id, b"", !unseen);
                    world.print(&format!("client {id} goes, reset {reset}"));
                }
                if !(may_stay && half_closes) {
                    self.clients.remove(&id);
                }
            }
            (7..=9, _, Some(pty)) if !world.pipe(pty).ended => {
                let count = 1 << world.random.below(18);
                let line = format!("{step} says the child \u{ff}\r\n").into_bytes();
                let output: Vec<u8> = line.iter().copied().cycle().take(count).collect();
                world.send(pty, &output, false);
                world.print(&format!("the child writes {count}"));
            }
            (10, _, Some(pty)) => {
                let most = 1 << world.random.below(12);
                world.take(pty, most);
                world.print(&format!("the child reads {most}"));
            }
            (11, _, Some(pty)) if world.random.one_in(4) => {
                let closes = world.random.one_in(3);
                if let Some(child) = world.children.last_mut().filter(|child| child.end.is_none())
                    && !closes
                {
                    child.end = Some(ExitStatus::Code(3));
                    world.signals.child = true;
                    world.woken = true;
                }
                // A process that the child left behind may hold the terminal.
                let held = !closes && world.random.one_in(3);
                world.send(pty, b"last words\r\n", !held);
                world.print(&format!("the child ends, only its terminal {closes}, held {held}"));
            }
            (12 | 13, _, _) => {
                world.write_log();
                if world.random.one_in(2) {
                    world.write_records();
                }
                world.print("the disk writes");
            }
            (14, _, _) if world.random.one_in(4) => {
                world.disk_full = !world.disk_full;
                let full = world.disk_full;
                world.print(&format!("the disk is full: {full}"));
            }
            (16, _, _) => {
                if world.check_run.is_none() || world.random.one_in(4) {
                    world.signals.upgrade = true;
                    world.woken = true;
                    world.print("SIGUSR1");
                }
            }
            (17, _, _) => {
                upgrade::continue_check(&mut world);
                if world.random.one_in(4) {
                    world.installed += 1;
                    world.print("another program is installed");
                }
            }
            (15, _, _) if world.random.one_in(4) => {
                windows::resize_terminal(&mut world, self.reference);
            }
            (15, _, _) if world.random.one_in(8) => {
                world.signals.reopen = true;
                world.woken = true;
                world.print("SIGHUP");
            }
            _ => {
                drop(world);
                self.sleep(Duration::from_millis(700));
            }
        }
    }

    /// Ends all faults and takes everything from the server, until it sleeps.
    pub(super) fn end_faults(&mut self) {
        {
            let mut world = self.world.borrow_mut();
            world.faults = 0;
            world.fd_limit = usize::MAX;
            world.disk_full = false;
            world.threads_start = 0;
            world.print("the faults end");
        }
        for _ in 0..20_000 {
            let mut world = self.world.borrow_mut();
            for id in self.clients.keys().chain(self.programs.keys()) {
                world.pipe(*id).room = usize::MAX;
                world.take(*id, usize::MAX);
            }
            let ptys: Vec<Id> = world.children.iter().map(|child| child.pipe).collect();
            ptys.into_iter().for_each(|pty| world.take(pty, usize::MAX));
            let quiet = world.log_queue.jobs.is_empty()
                && world.file_change.is_none()
                && world.records_queue.jobs.is_empty();
            world.write_log();
            world.write_records();
            drop(world);
            if self.server.exit.is_some() {
                self.server.finish().unwrap();
                let mut world = self.world.borrow_mut();
                let programs = self.programs.keys();
                self.clients.keys().chain(programs).for_each(|&id| world.take(id, usize::MAX));
                return;
            }
            if self.turn() {
                continue;
            }
            // Only a restart or the log's next try may still be to come.
            match self.server.timeout() {
                // Restarts are forgotten after a day.
                Some(wait) if wait < RESTART_SLOT => self.sleep(HOLDOFF),
                _ if quiet => return,
                _ => {}
            }
        }
        panic!("the server finds no rest");
    }
}

/// Lets the old child write or end.
fn old_child_acts(world: &mut World) {
    let Some(Child { pipe, end: None }) = world.children.first() else {
        return;
    };
    let (pipe, kind) = (*pipe, world.random.below(6));
    if kind == 0 {
        world.print("the old child ends");
        world.end(pipe, ExitStatus::Code(4));
    } else {
        let text: &[u8] = [b"the old one\r\n", &b"half a line"[..]][kind % 2];
        let count = 1 << world.random.below(18);
        let output: Vec<u8> = text.iter().copied().cycle().take(count).collect();
        world.print(&format!("the old child writes {count}"));
        world.send(pipe, &output, false);
    }
}
