//! The end of a batch: interest -> data to other shards -> sockets, in this order always.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::settings::WriteTimeout;
use super::shard::{count, Shard};
use crate::conn::{Connection, Flush};
use crate::io::{Point, Queue, Sabotage};
use crate::proto::CloseReason;

impl Shard {
    /// Lets everything the batch caused leave this shard, in the order of effects.
    pub(crate) fn end_batch(self: &Rc<Self>) {
        if self.io().sabotaged(Sabotage::FlushBeforeInterest) {
            self.flush_touched();
            self.io().interleave(Point::LanesNotFlushed);
        }
        if !self.push_lanes() {
            return;
        }
        self.io().interleave(Point::LanesNotFlushed);
        self.flush_touched();
        self.tell_stalls();
    }

    /// Interest, then data. `false`: an interest lane is full, nothing later may leave.
    fn push_lanes(&self) -> bool {
        if self.io().sabotaged(Sabotage::DataBeforeInterest) {
            self.mesh().push_data(self.io());
        }
        let pushed = self.mesh().push_interest(self.io()) || self.io().sabotaged(Sabotage::IgnoreTheHold);
        if pushed {
            self.mesh().push_data(self.io());
        }
        self.mesh().ring_told(self.io());
        if !pushed {
            self.io().hit("shard_held");
        }
        if self.is_held.replace(!pushed) && pushed {
            // Data that waited because of the hold is looked at again.
            self.wake_mesh_task();
            self.unpark_all();
            for writer in self.held_writers.take() {
                writer.wake();
            }
        }
        pushed
    }

    fn flush_touched(self: &Rc<Self>) {
        let mut list = self.touched.take();
        for connection in list.drain(..) {
            connection.outbound.borrow_mut().is_touched = false;
            self.flush(&connection);
        }
        let mut touched = self.touched.borrow_mut();
        if touched.is_empty() {
            // Keeps the allocation.
            *touched = list;
        } else {
            // Closing a connection that could not be written touched others: they leave with the next batch,
            // which the mesh task starts at once.
            self.wake_mesh_task();
        }
    }

    fn flush(self: &Rc<Self>, connection: &Rc<Connection>) {
        if !connection.is_open() || connection.outbound.borrow().has_writer {
            return;
        }
        match connection.flush(self.pool()) {
            Ok(Flush::Done) => {}
            Ok(Flush::Blocked) => self.start_writer(connection),
            Err(error) => self.write_failed(connection, &error),
        }
    }

    fn write_failed(&self, connection: &Rc<Connection>, error: &io::Error) {
        tracing::debug!("{} - Error flushing: {error}", connection.label());
        self.close(connection, CloseReason::WriteError);
    }

    /// A connection has more pending than it may: it gets the chance to be written now, before the end of
    /// the batch, and is closed as a slow consumer if that does not help.
    pub(crate) fn relieve(&self, connection: &Rc<Connection>) {
        if self.push_lanes() && !connection.outbound.borrow().has_writer {
            if let Err(error) = connection.flush(self.pool()) {
                self.write_failed(connection, &error);
                return;
            }
        }
        let pending_size_max = self.settings_ref().pending_size_max;
        if connection.pending_size() <= pending_size_max {
            return;
        }
        count(&self.counters().slow_consumers_pending);
        count(&connection.account().slow_consumers);
        let (label, account, subject) = (connection.label(), connection.account(), most_pending(connection));
        tracing::info!(
            "{label} - Slow Consumer Detected: MaxPending of {pending_size_max} Exceeded, account {:?}, busiest subscription {subject:?}",
            account.name,
        );
        self.close(connection, CloseReason::SlowConsumerPendingBytes);
    }

    /// One last attempt to write what a closing connection has pending, its `-ERR` above all.
    pub(super) fn write_last(&self, connection: &Rc<Connection>) {
        let has_writer = connection.outbound.borrow().has_writer;
        if !has_writer && !self.is_held.get() {
            if let Err(error) = connection.write_last(self.pool()) {
                tracing::trace!(%error, "the last bytes of a closing connection were not written");
            }
        }
        if !has_writer {
            connection.clear_outbound(self.pool());
        }
    }

    fn start_writer(self: &Rc<Self>, connection: &Rc<Connection>) {
        connection.outbound.borrow_mut().has_writer = true;
        connection
            .write_due
            .set(Some(self.io().now() + self.settings_ref().write_deadline));
        self.schedule(connection);
        let (shard, connection) = (Rc::clone(self), Rc::clone(connection));
        self.io().spawn(Queue::Hot, &self.gate, async move {
            let written = poll_fn(|cx| shard.poll_writer(&connection, cx)).await;
            connection.outbound.borrow_mut().has_writer = false;
            connection.write_due.set(None);
            shard.close_socket(&connection);
            if let Err(error) = written {
                shard.write_failed(&connection, &error);
                shard.end_batch();
            }
        });
    }

    fn poll_writer(&self, connection: &Rc<Connection>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !connection.is_open() {
                connection.clear_outbound(self.pool());
                return Poll::Ready(Ok(()));
            }
            if connection.pending_size() == 0 {
                return Poll::Ready(Ok(()));
            }
            if self.is_held.get() && !self.io().sabotaged(Sabotage::WriteWhileHeld) {
                // A PONG may be among what is pending, and the interest it stands for has not left.
                self.io().hit("writer_held");
                self.held_writers.borrow_mut().push(cx.waker().clone());
                return Poll::Pending;
            }
            match connection.poll_write(cx, self.pool()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {
                    connection
                        .write_due
                        .set(Some(self.io().now() + self.settings_ref().write_deadline));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The socket of `connection` took nothing for `write_deadline`.
    pub(super) fn write_deadline_passed(&self, connection: &Rc<Connection>) {
        count(&self.counters().slow_consumers_deadline);
        count(&connection.account().slow_consumers);
        let deadline = self.settings_ref().write_deadline;
        let (label, pending) = (connection.label(), connection.pending_size());
        tracing::info!(
            "{label} - Slow Consumer Detected: WriteDeadline of {deadline:?} exceeded with {pending} bytes pending, account {:?}, busiest subscription {:?}",
            connection.account().name,
            most_pending(connection),
        );
        match self.settings_ref().write_timeout {
            WriteTimeout::Close => {}
            WriteTimeout::Retry => {
                connection.write_due.set(Some(self.io().now() + deadline));
                return;
            }
        }
        self.close(connection, CloseReason::SlowConsumerWriteDeadline);
    }

    /// Tells publishers of other shards that feed a connection too fast.
    fn tell_stalls(&self) {
        if self.remote_stalls.borrow().is_empty() {
            return;
        }
        for stall in self.remote_stalls.take() {
            if self.is_connection_behind(&stall.consumer) {
                stall.consumer.stalls.set(stall.consumer.stalls.get() + 1);
                self.io().hit("stall_hint");
                self.mesh().send_stall(usize::from(stall.shard), stall.publisher);
            }
        }
        self.mesh().push_data(self.io());
        self.mesh().ring_told(self.io());
    }
}

/// The subject of the subscription that got the most messages: the likely cause of a slow consumer.
fn most_pending(connection: &Connection) -> String {
    let subscriptions = connection.subscriptions();
    let busiest = subscriptions
        .iter()
        .max_by_key(|subscription| subscription.delivered.get());
    busiest.map_or_else(String::new, |subscription| {
        String::from_utf8_lossy(&subscription.subject).into_owned()
    })
}
