//! What the console did, as events.

use nix::libc;

use super::json::{
    EventBody, ServerJson, client_json, command_name, disconnect_reason_name, mode_name,
    subsystem_name,
};
use super::{Records, RecordsJob, RecordsReply, json};
use crate::console::audit::{AuditEvent, Command};
use crate::console::event::{ClientId, ExitStatus, Subsystem};
use crate::server::writers::WorkerHandle;

impl<H: WorkerHandle<RecordsJob, RecordsReply>> Records<H> {
    /// Records what the console did.
    pub(in crate::server) fn record_audit_event(&mut self, entry: AuditEvent, millis: i64) {
        let Records { clients, history, closed_terminal, .. } = self;
        history.record_audit_event(&entry, clients, millis);
        if let &AuditEvent::Ended(pid, status) = &entry
            && closed_terminal.take_if(|closed| *closed == pid).is_some()
            && status == ExitStatus::Signal(libc::SIGKILL)
        {
            self.emit(&EventBody::TerminalClosed { pid }, millis);
        }
        let is_heard = self.is_heard();
        let Records { clients, server, closed_terminal, .. } = self;
        let client = |id: ClientId| client_json(clients, id);
        let event = match &entry {
            &AuditEvent::Joined(id) => EventBody::Connect { client: client(id) },
            &AuditEvent::Left(id, reason) => {
                EventBody::Disconnect { client: client(id), reason: disconnect_reason_name(reason) }
            }
            &AuditEvent::Command(id, command, times) => EventBody::Command {
                command: command_name(command),
                mode: match command {
                    Command::SetMode(mode) => Some(mode_name(mode)),
                    _ => None,
                },
                client: client(id),
                count: Some(times).filter(|&times| times > 1),
            },
            AuditEvent::Typed(id, typed) => EventBody::input(client(*id), typed),
            &AuditEvent::Skipped(id, bytes) => EventBody::Skipped { client: client(id), bytes },
            &AuditEvent::Started(pid) => EventBody::ChildStart { pid },
            AuditEvent::SpawnFailed(reason) => EventBody::ChildStartFailed { reason },
            &AuditEvent::Ready(pid) => EventBody::ChildReady { pid },
            // The next end of this child tells whether that ended the child.
            &AuditEvent::TerminalClosed(pid) => {
                *closed_terminal = Some(pid);
                return;
            }
            &AuditEvent::Ended(pid, status) => EventBody::ChildExit { pid, end: status.into() },
            AuditEvent::Failed(subsystem, reason) => {
                EventBody::Trouble { with: subsystem_name(*subsystem), reason }
            }
            AuditEvent::LogOpenFailed(reason) => {
                EventBody::Trouble { with: subsystem_name(Subsystem::Log), reason }
            }
            AuditEvent::Recovered(subsystem, _) => {
                EventBody::Recovery { with: subsystem_name(*subsystem) }
            }
            AuditEvent::AcceptFailed(endpoint, reason) => {
                EventBody::AcceptFailed { endpoint, reason }
            }
            AuditEvent::Restarted => EventBody::ServerRestart(ServerJson::new(server)),
            AuditEvent::Upgraded => {
                EventBody::ServerUpgrade { from: &server.predecessor, to: crate::VERSION }
            }
            AuditEvent::UpgradeFailed(reason) => EventBody::UpgradeFailed { reason },
        };
        if let Some(line) = is_heard.then(|| json::line(&event, millis)) {
            self.emit_line(line, millis);
        }
        if let AuditEvent::Left(id, _) = entry {
            self.clients.remove(&id);
        }
    }
}
