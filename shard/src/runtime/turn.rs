//! The mesh task: takes what other shards and threads sent, and sleeps when there is nothing.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::shard::{count, Shard};
use crate::io::{BellEar, Point, Sabotage};
use crate::mesh::{shards_of, Envelopes, Lane};

impl Shard {
    /// Runs until the shard stops.
    pub(super) async fn mesh_task(self: Rc<Self>, mut ear: BellEar) {
        loop {
            self.turn();
            if self.is_stopping.get() && self.connection_count() == 0 {
                return;
            }
            self.mesh().doorbell().fall_asleep();
            self.io().interleave(Point::FlaggedNotParked);
            if self.has_news() {
                self.mesh().doorbell().wake_up();
                self.io().yield_now().await;
                continue;
            }
            poll_fn(|cx| {
                *self.mesh_waker.borrow_mut() = Some(cx.waker().clone());
                if ear.poll_rung(cx).is_ready() || self.has_news() || self.must_turn() {
                    return Poll::Ready(());
                }
                Poll::Pending
            })
            .await;
            self.mesh().doorbell().wake_up();
        }
    }

    /// While the shard is held it takes interest, room and jobs only: data would have to leave again.
    fn has_news(&self) -> bool {
        if self.io().sabotaged(Sabotage::SleepWithoutLooking) {
            return false;
        }
        self.mesh().doorbell().has_news(!self.is_held.get())
    }

    /// What needs a turn though nobody rang: something is left to flush, or the shard ends. A held shard
    /// cannot flush: it waits for room, and would only spin.
    fn must_turn(&self) -> bool {
        let can_flush = !self.is_held.get() && !self.touched.borrow().is_empty();
        can_flush || (self.is_stopping.get() && self.connection_count() == 0)
    }

    fn turn(self: &Rc<Self>) {
        self.take_jobs();
        if self.mesh().doorbell().take(Lane::Room) != 0 {
            self.unpark_all();
        }
        self.drain_interest();
        self.end_batch();
        if !self.is_held.get() {
            self.take_data();
        }
    }

    fn take_jobs(self: &Rc<Self>) {
        if self.mesh().doorbell().take(Lane::Job) == 0 {
            return;
        }
        while let Ok(job) = self.mailbox.try_recv() {
            job(self);
        }
    }

    fn take_data(self: &Rc<Self>) {
        let news = self.mesh().doorbell().take(Lane::Data);
        for source in shards_of(news) {
            self.io().interleave(Point::BetweenLanes);
            while let Some(batch) = self.mesh().pop_batch(source) {
                self.io().interleave(Point::TriggeredNotDrained);
                self.drain_interest();
                self.begin_batch();
                for envelope in Envelopes(&batch.bytes) {
                    count(&self.counters().received);
                    self.receive(envelope);
                }
                if !self.io().sabotaged(Sabotage::LoseCredit) {
                    self.mesh().batch_done(source, batch);
                }
                self.end_batch();
                if self.is_held.get() {
                    // The rest of the lanes waits until interest has left; the bits stand for it.
                    for shard in shards_of(news) {
                        self.mesh().doorbell().mark(Lane::Data, shard);
                    }
                    return;
                }
            }
        }
    }

    /// Wakes every connection that waits for room, credit or the end of a hold; each looks for itself.
    pub(super) fn unpark_all(&self) {
        for connection in self.parked.take() {
            connection.unpark();
        }
        self.announcements.wake();
    }
}
