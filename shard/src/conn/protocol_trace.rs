//! Protocol lines of clients in the log (`-V`): `<<- [PUB a.b 5]`, `->> [PING]`. Secrets never appear.

use std::rc::Rc;

use super::connection::Connection;
use crate::proto::Op;
use crate::runtime::Shard;

impl Shard {
    #[inline]
    pub(super) fn trace_in(&self, connection: &Rc<Connection>, op: &Op<'_>) {
        if self.settings_ref().traces_protocol {
            self.trace_op(connection, op);
        }
    }

    #[inline]
    pub(super) fn trace_out(&self, connection: &Rc<Connection>, line: impl FnOnce() -> String) {
        if self.settings_ref().traces_protocol {
            tracing::trace!("{} - ->> [{}]", connection.label(), line());
        }
    }

    #[cold]
    fn trace_op(&self, connection: &Rc<Connection>, op: &Op<'_>) {
        let label = connection.label();
        tracing::trace!("{label} - <<- [{}]", line_of(op));
        let (header_size, message) = match op {
            Op::Pub(publish) => (0, publish.payload),
            Op::Hpub(publish) => (publish.header_size, publish.message),
            _ => return,
        };
        let (size_max, headers_only) = {
            let settings = self.settings_ref();
            (settings.traced_message_size_max, settings.traces_headers_only)
        };
        let shown = if headers_only {
            &message[..header_size]
        } else {
            message
        };
        if headers_only && shown.is_empty() {
            return;
        }
        let cut = if size_max == 0 {
            shown.len()
        } else {
            shown.len().min(size_max)
        };
        let dots = if cut < shown.len() { "..." } else { "" };
        tracing::trace!(
            "{label} - <<- MSG_PAYLOAD: [{:?}{dots}]",
            String::from_utf8_lossy(&shown[..cut])
        );
    }
}

fn line_of(op: &Op<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let reply = |reply: Option<&[u8]>| reply.map_or_else(String::new, |reply| format!("{} ", text(reply)));
    match op {
        // The document may hold credentials.
        Op::Connect(json) => format!("CONNECT {} bytes", json.len()),
        Op::Info(_) => "INFO".to_owned(),
        Op::Pub(publish) => {
            format!(
                "PUB {} {}{}",
                text(publish.subject),
                reply(publish.reply),
                publish.payload.len()
            )
        }
        Op::Hpub(publish) => format!(
            "HPUB {} {}{} {}",
            text(publish.subject),
            reply(publish.reply),
            publish.header_size,
            publish.message.len()
        ),
        Op::Sub(sub) => format!("SUB {} {}{}", text(sub.subject), reply(sub.queue), text(sub.sid)),
        Op::Unsub(unsub) => match unsub.max {
            Some(max) => format!("UNSUB {} {max}", text(unsub.sid)),
            None => format!("UNSUB {}", text(unsub.sid)),
        },
        Op::Ping => "PING".to_owned(),
        Op::Pong => "PONG".to_owned(),
        Op::Ok => "+OK".to_owned(),
        Op::Err(error) => format!("-ERR {}", text(error)),
        Op::RoutedMsg(_)
        | Op::RemoteSub(_)
        | Op::RemoteUnsub(_)
        | Op::AccountSub(_)
        | Op::AccountUnsub(_) => "an operation of servers".to_owned(),
    }
}
