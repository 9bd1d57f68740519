//! Remote procedure calls.

use super::Story;
use crate::{
    analyze::duration,
    event::{Protocol, Role, Rpc},
};

impl Story<'_> {
    pub(super) fn rpc(&mut self, rpc: &Rpc) {
        let (who, protocol, channel) = (self.caller(), rpc.protocol.title(), &rpc.channel);
        let method = rpc.method.as_deref();
        let called = method.unwrap_or("something that was not kept");
        match rpc.role {
            Role::Call => {
                self.say(format!("{who} calls {called} over {channel} ({protocol})."));
                self.say("To the caller it looks like a procedure; the arguments travel as a message, and so does the result.");
            }
            Role::Signal => self.say(format!(
                "{who} tells of {called} over {channel} ({protocol}): whoever is interested hears it, and nobody answers."
            )),
            Role::Reply | Role::Error => {
                let how = match (&rpc.status, rpc.role) {
                    (Some(status), _) => format!(" with {status}"),
                    (None, Role::Error) => " with an error".to_owned(),
                    (None, _) => String::new(),
                };
                let call = match (method, rpc.call) {
                    (Some(method), _) => format!("the call of {method}"),
                    (None, Some(_)) => "a call".to_owned(),
                    (None, None) => "a call that was not seen".to_owned(),
                };
                self.say(format!("{who} answers {call} over {channel}{how} ({protocol})."));
                if let Some(ns) = rpc.latency_ns {
                    self.say(format!(
                        "{} after the caller began to send: the way of the call, the wait for the server, and its work.",
                        duration(ns)
                    ));
                }
                self.say_matched(rpc);
            }
        }
        if rpc.cut {
            self.say("The message's head was longer than what is looked at (1 KiB of each send).");
        }
    }

    fn say_matched(&mut self, rpc: &Rpc) {
        match (rpc.protocol, rpc.id, rpc.call) {
            (_, _, None) => {}
            (Protocol::Http, ..) => {
                self.say("HTTP/1 numbers nothing: on a connection, answers come in the order of the requests.");
            }
            (Protocol::Dbus, Some(id), _) => self.say(format!("Both carry the caller's serial {id}.")),
            (Protocol::OncRpc, Some(id), _) => self.say(format!("Both carry the caller's transaction id (xid) {id}.")),
            (_, None, _) => {}
        }
    }

    /// Who sent it, traced or not.
    fn caller(&self) -> String {
        if self.event.task.is_some() { self.actor() } else { "Somebody outside the trace".to_owned() }
    }
}
