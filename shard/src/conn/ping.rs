//! PING and PONG: is the client alive, and how far away.

use std::rc::Rc;
use std::time::Duration;

use super::connection::{Connection, State};
use crate::io::Time;
use crate::proto::connect::PROTOCOL_ASYNC_INFO;
use crate::proto::{writer, ClientError, CloseReason};
use crate::runtime::Shard;

/// The first PING comes early, to measure the round trip.
const FIRST_PING: Duration = Duration::from_secs(2);
/// A round trip older than this is measured again though the client is active.
const RTT_AGE_MAX: Duration = Duration::from_secs(3600);

impl Shard {
    /// Sets the time of the first PING, up to 20 % later at random so that many clients do not answer at once.
    pub(super) fn schedule_first_ping(&self, connection: &Rc<Connection>) {
        let first = self.settings_ref().ping_interval.min(FIRST_PING);
        let spread = u64::try_from((first / 5).as_nanos()).unwrap_or(u64::MAX).max(1);
        let delay = first + Duration::from_nanos(self.io().entropy() % spread);
        connection.next_ping.set(Some(self.io().now() + delay));
        self.schedule(connection);
    }

    /// The ping timer of a connection fired: PING it unless it was active, or close it when it does not answer.
    pub(crate) fn ping_due(&self, connection: &Rc<Connection>, now: Time) {
        let (interval, ping_max) = {
            let settings = self.settings_ref();
            (settings.ping_interval, settings.ping_max)
        };
        connection.next_ping.set(Some(now + interval));
        // CONNECT gives a first guess of the round trip only: the first PING is always sent.
        let measured = connection.ping_sent.get();
        let needs_rtt = measured.is_none_or(|sent| now.since(sent) > RTT_AGE_MAX);
        if now.since(connection.last_in.get()) < interval && !needs_rtt {
            return;
        }
        if connection.pings_out.get() + 1 > ping_max {
            let stale = &self.counters().stale_connections;
            stale.set(stale.get() + 1);
            tracing::debug!("{} - Stale Client Connection - Closing", connection.label());
            self.refuse(
                connection,
                &ClientError::StaleConnection,
                CloseReason::StaleConnection,
            );
            return;
        }
        connection.pings_out.set(connection.pings_out.get() + 1);
        connection.ping_sent.set(Some(self.io().now()));
        self.trace_out(connection, || "PING".to_owned());
        self.enqueue(connection, writer::ping);
    }

    pub(super) fn on_ping(&self, connection: &Rc<Connection>) {
        connection.last_in.set(self.batch_time());
        self.trace_out(connection, || "PONG".to_owned());
        self.enqueue(connection, writer::pong);
        let is_connected = connection.state() == State::Connected;
        if is_connected && !connection.sent_connect_info.replace(true) {
            let takes_info = i64::from(connection.protocol.get()) >= PROTOCOL_ASYNC_INFO;
            if takes_info {
                self.send_info(connection, true);
            }
        }
    }

    pub(super) fn on_pong(&self, connection: &Connection) {
        connection.pings_out.set(0);
        if let Some(sent) = connection.ping_sent.get() {
            let rtt = self.io().now().since(sent);
            connection.rtt.set(rtt.max(Duration::from_nanos(1)));
        }
    }
}
