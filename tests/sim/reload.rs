//! New settings while clients run: put in force on one shard after the other, as a reload does.
//!
//! Owns: which settings are drawn, and what a client may be refused for because of them. In the calm the settings of
//! the start are in force again.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pinion_shard::io::simulated::SimIo;
use pinion_shard::runtime::{Settings, Shards};

/// The strictest limits of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strictest {
    /// Bytes of a message, headers included.
    pub payload_size: usize,
    /// A limit of connections was in force.
    pub limits_connections: bool,
    /// Times new settings were put in force.
    pub changes: u64,
}

/// Changes settings until it is calm.
pub(crate) async fn play(
    io: SimIo,
    shards: Shards,
    first: Arc<Settings>,
    is_calm: Rc<Cell<bool>>,
    strictest: Rc<Cell<Strictest>>,
) {
    while !is_calm.get() {
        io.sleep(Duration::from_micros(io.dice().between(100, 300_000)))
            .await;
        let settings = draw(&io, &first);
        let mut now = strictest.get();
        let payload_size = usize::try_from(settings.payload_size_max).unwrap_or(usize::MAX);
        now.payload_size = now.payload_size.min(payload_size);
        now.limits_connections |= settings.connections_max.is_some();
        now.changes += 1;
        strictest.set(now);
        put(&io, &shards, settings).await;
    }
    put(&io, &shards, (*first).clone()).await;
}

fn draw(io: &SimIo, first: &Settings) -> Settings {
    let dice = io.dice();
    let mut settings = first.clone();
    settings.payload_size_max = dice.pick(&[first.payload_size_max, 2_000, 1_000, 100, 20]);
    settings.info.max_payload = settings.payload_size_max;
    settings.connections_max = dice.pick(&[None, None, Some(3), Some(1)]);
    settings.stalls_producers = dice.one_in(2);
    // Up only: slow consumers stay the business of tight servers.
    settings.pending_size_max = first.pending_size_max * dice.pick(&[1, 2, 10]);
    settings.write_deadline = first.write_deadline * dice.pick(&[1, 2]);
    settings.ping_interval = dice.pick(&[first.ping_interval, Duration::from_secs(30)]);
    settings
}

async fn put(io: &SimIo, shards: &Shards, settings: Settings) {
    let settings = Arc::new(settings);
    for shard in shards.ids() {
        let settings = Arc::clone(&settings);
        shards.run_on(shard, Box::new(move |shard| shard.set_settings(settings)));
        let pause = io.dice().pick(&[0, 5, 500, 20_000]);
        io.sleep(Duration::from_micros(pause)).await;
    }
}
