//! The clients of `--api`: their requests are executed, and subscribers are told what happens.

use crate::console::clients::requests::Request;
use crate::console::clock::Timestamps;
use crate::console::event::{ClientId, DisconnectReason};
use crate::limits::{API_BUDGET, WRITES_PER_TURN};
use crate::server::Server;
use crate::server::api::{ApiRequest, ApiSession, Outcome};
use crate::server::os::System;

impl<S: System> Server<S> {
    /// Executes the lines that programs have sent.
    pub(crate) fn serve_api(&mut self, now: Timestamps) {
        if self.api.is_empty() {
            return;
        }
        let mut sessions = std::mem::take(&mut self.api);
        for (&id, session) in &mut sessions {
            for _ in 0..API_BUDGET {
                if !self.console.accepts_input(id) {
                    break;
                }
                let Some(line) = session.take_line() else {
                    break;
                };
                match line {
                    Ok(line) => {
                        let outcome = self.execute(id, session, line.request, now);
                        session.answer(line.id.as_ref(), outcome);
                    }
                    Err(bad) => {
                        let outcome = Outcome::Error { error: bad.error, message: bad.message };
                        session.answer(bad.id.as_ref(), outcome);
                    }
                }
            }
        }
        self.api = sessions;
        self.apply_effects(now);
    }

    fn execute(
        &mut self,
        id: ClientId,
        session: &mut ApiSession,
        request: ApiRequest,
        now: Timestamps,
    ) -> Outcome {
        let request = match &request {
            ApiRequest::Status => {
                let records = self.records.as_mut();
                let status = records.map(|records| records.status(&self.console, now.mono));
                return Outcome::Result { result: status.unwrap_or_default() };
            }
            ApiRequest::Subscribe => {
                self.record_audit_events();
                if let Some(records) = &mut self.records {
                    records.set_subscribed(true);
                }
                session.subscribe();
                return Outcome::done();
            }
            ApiRequest::Input(text) => Request::Input(text.as_bytes()),
            ApiRequest::Kill => Request::Kill,
            ApiRequest::Start => Request::Start,
            ApiRequest::Mode(mode) => Request::SetMode(*mode),
            ApiRequest::Reload => Request::Reload,
            ApiRequest::Quit => Request::Quit,
        };
        if !matches!(request, Request::Input(_)) && !session.may_command(now.mono) {
            return Outcome::too_many();
        }
        self.look_at_terminal(now);
        self.console.request(id, request, now).into()
    }

    /// Tells subscribers what happened, and the status if it has changed.
    pub(crate) fn publish(&mut self, now: Timestamps) {
        self.record_audit_events();
        let Server { api: sessions, records: Some(records), .. } = self else {
            return;
        };
        let published = records.take_published(&self.console, now.mono);
        records.set_subscribed(sessions.values().any(ApiSession::is_subscribed));
        let mut status = None;
        for session in sessions.values_mut() {
            session.publish(&published.lines, published.missed);
            if published.status_changed {
                session.status_changed();
            }
            if session.wants_status() {
                let status = status.get_or_insert_with(|| records.status(&self.console, now.mono));
                session.send_status(status);
            }
        }
    }

    /// Writes to programs what they are to be sent.
    pub(crate) fn write_api(&mut self, now: Timestamps) {
        self.publish(now);
        let Server { api, peers, .. } = self;
        for (id, session) in api {
            let Some(peer) = peers.get_mut(id) else {
                continue;
            };
            for _ in 0..WRITES_PER_TURN {
                if session.output().is_empty() || !peer.source.is_writable() {
                    break;
                }
                match peer.write((session.output(), &[])) {
                    Some(count) => session.written(count),
                    None => break,
                }
            }
            if session.is_finished() {
                peer.leaving.get_or_insert(DisconnectReason::Closed);
            }
        }
    }

    /// Returns true if a program has sent something that can be executed, or can be sent something.
    pub(crate) fn has_api_work(&self) -> bool {
        let revision = self.console.revision();
        let published = self.records.as_ref().is_some_and(|it| it.has_published(revision));
        (published && !self.api.is_empty())
            || self.api.iter().any(|(id, session)| {
                let writable = self.peers.get(id).is_some_and(|peer| peer.source.is_writable());
                (session.has_work() && self.console.accepts_input(*id))
                    || (writable && !session.output().is_empty())
            })
    }
}
