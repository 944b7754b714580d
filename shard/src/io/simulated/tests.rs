//! The world itself: the same seed gives the same run, time passes only where it must, sockets keep order
//! and break when told, and a race that is there is found.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::*;
use crate::io::{Accepted, Gate};

const SECOND: Duration = Duration::from_secs(1);

/// Two shards, a client each: bytes go back and forth through whatever the seed has in store.
fn echo_world(seed: u64) -> (u64, u64, usize) {
    let world = SimWorld::new(seed);
    let (server, client) = (world.add_host(), world.add_host());
    let io = world.add_shard(server);
    let gate = Gate::default();
    let listener = io.listen(([0, 0, 0, 0], 4222).into()).unwrap();
    io.spawn(Queue::Hot, &gate, {
        let (io, gate) = (io.clone(), gate.clone());
        async move {
            while let Ok(accepted) = listener.accept().await {
                let stream = io.adopt(accepted).unwrap();
                io.spawn(Queue::Hot, &gate, async move {
                    let crate::io::Stream::Simulated(stream) = stream else {
                        unreachable!("a simulated world")
                    };
                    let mut buffer = [0; 32];
                    loop {
                        match stream.read(&mut buffer).await {
                            Ok(0) | Err(_) => return,
                            Ok(count) => {
                                if stream.write_all(&buffer[..count]).await.is_err() {
                                    return;
                                }
                            }
                        }
                    }
                });
            }
        }
    });
    let echoed = Rc::new(Cell::new(0));
    let ended = Rc::new(Cell::new(0));
    for number in 0..3u8 {
        let io = world.add_node(client);
        let (echoed, ended) = (Rc::clone(&echoed), Rc::clone(&ended));
        io.clone().spawn(Queue::Hot, async move {
            if let Ok(stream) = io.connect(SimIo::address_of(server, 4222)).await {
                let sent: Vec<u8> = (0..200u8).map(|byte| byte ^ number).collect();
                let mut got = Vec::new();
                let mut buffer = [0; 64];
                'chunks: for chunk in sent.chunks(10) {
                    if stream.write_all(chunk).await.is_err() {
                        break;
                    }
                    let want = got.len() + chunk.len();
                    while got.len() < want {
                        match stream.read(&mut buffer).await {
                            Ok(0) | Err(_) => break 'chunks,
                            Ok(count) => got.extend_from_slice(&buffer[..count]),
                        }
                    }
                }
                assert_eq!(got, sent[..got.len()], "order kept, nothing made up");
                echoed.set(echoed.get() + got.len());
            }
            ended.set(ended.get() + 1);
        });
    }
    world.run_until(60 * SECOND, || ended.get() == 3).unwrap();
    (world.trace(), world.now_ns(), echoed.get())
}

/// A seed decides everything; another seed decides otherwise.
#[test]
fn same_seed_same_trace() {
    let mut traces = Vec::new();
    for seed in 0..40 {
        let first = echo_world(seed);
        assert_eq!(first, echo_world(seed), "seed {seed}");
        traces.push(first.0);
    }
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 40, "each seed its own run");
}

/// All faults that sockets and the scheduler know are hit within a few seeds.
#[test]
fn every_fault_of_the_plan_happens() {
    let mut drawn = [false; 10];
    for seed in 0..60 {
        let plan = SimWorld::new(seed).plan().clone();
        let on = [
            plan.interleave_per_mille.iter().any(|chance| *chance > 0),
            plan.burst_max > 1,
            plan.shuffle_tasks,
            plan.pause_per_million > 0,
            plan.bell_delay_per_mille > 0,
            plan.partial_per_mille > 0,
            plan.reset_per_mille > 0,
            plan.refuse_per_mille > 0,
            plan.partition_per_million > 0,
            plan.wall_jump_per_million > 0,
        ];
        for (drawn, on) in drawn.iter_mut().zip(on) {
            *drawn |= on;
        }
    }
    assert_eq!(drawn, [true; 10]);
}

/// Timers fire in their order, and only virtual time passes.
#[test]
fn timers_fire_in_order() {
    let world = SimWorld::with_plan(1, Plan::calm());
    let host = world.add_host();
    let io = world.add_node(host);
    let order = Rc::new(RefCell::new(Vec::new()));
    for hours in [3u64, 1, 2] {
        let (sleeper, order) = (io.clone(), Rc::clone(&order));
        io.spawn(Queue::Control, async move {
            sleeper.sleep(Duration::from_secs(hours * 3600)).await;
            order.borrow_mut().push(hours);
        });
    }
    let got = Rc::clone(&order);
    world
        .run_until(4 * 3600 * SECOND, || got.borrow().len() == 3)
        .unwrap();
    assert_eq!(*order.borrow(), [1, 2, 3]);
    assert!(world.now_ns() >= 3 * 3600 * 1_000_000_000);
    assert_eq!(world.tasks_of(host), 0);
}

/// A dropped sleep leaves no timer behind, and a world with nothing to do says so.
#[test]
fn nothing_left_is_a_deadlock() {
    let world = SimWorld::with_plan(1, Plan::calm());
    let io = world.add_node(world.add_host());
    io.clone().spawn(Queue::Hot, async move {
        let mut sleep = Box::pin(io.sleep(SECOND));
        poll_fn(|cx| {
            assert!(sleep.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(sleep);
        std::future::pending::<()>().await;
    });
    assert_eq!(world.run_until(10 * SECOND, || false), Err(Unfinished::Deadlock));
    assert!(
        world.now_ns() < 1_000_000_000,
        "time did not run to the dropped timer"
    );
}

/// The wall clock of one host jumps; its monotonic clock and the other host do not.
#[test]
fn wall_clock_jumps_alone() {
    let world = SimWorld::with_plan(1, Plan::calm());
    let (one, other) = (world.add_host(), world.add_host());
    let (io_one, io_other) = (world.add_shard(one), world.add_shard(other));
    let (before, mono) = (io_one.wall(), io_one.now());
    world.jump_wall(one, -5_000_000_000);
    assert_eq!(before - Duration::from_secs(5), io_one.wall());
    assert_eq!(io_one.now(), mono);
    assert_eq!(io_other.wall(), before);
}

struct Pair {
    world: SimWorld,
    hosts: [HostId; 2],
    client: SimStream,
    server: SimStream,
    io: SimIo,
}

/// A connected pair in a calm world.
fn connected() -> Pair {
    let world = SimWorld::with_plan(7, Plan::calm());
    let hosts = [world.add_host(), world.add_host()];
    let (client_io, io) = (world.add_node(hosts[0]), world.add_node(hosts[1]));
    let streams = Rc::new(RefCell::new((None, None)));
    let listener = io.listen(([127, 0, 0, 1], 0).into()).unwrap();
    let port = listener.local_addr().port();
    let (accepted, connected) = (Rc::clone(&streams), Rc::clone(&streams));
    io.clone().spawn(Queue::Hot, {
        let io = io.clone();
        async move {
            let accepted_one = listener.accept().await.unwrap();
            accepted.borrow_mut().0 = Some(io.adopt(accepted_one));
        }
    });
    client_io.clone().spawn(Queue::Hot, async move {
        let stream = client_io
            .connect(SimIo::address_of(HostId(1), port))
            .await
            .unwrap();
        connected.borrow_mut().1 = Some(stream);
    });
    let done = Rc::clone(&streams);
    world
        .run_until(SECOND, || {
            let done = done.borrow();
            done.0.is_some() && done.1.is_some()
        })
        .unwrap();
    let (server, client) = streams.take();
    Pair {
        world,
        hosts,
        client: client.unwrap(),
        server: server.unwrap(),
        io,
    }
}

/// What the server side reads until the end or an error.
fn read_all(pair: Pair) -> (SimWorld, SimStream, Vec<u8>, io::Result<usize>) {
    let Pair {
        world,
        client,
        server,
        io,
        ..
    } = pair;
    let result = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&result);
    io.spawn(Queue::Hot, async move {
        let mut got = Vec::new();
        let mut buffer = [0; 7];
        let end = loop {
            match server.read(&mut buffer).await {
                Ok(0) => break Ok(0),
                Ok(count) => got.extend_from_slice(&buffer[..count]),
                Err(error) => break Err(error),
            }
        };
        *slot.borrow_mut() = Some((got, end));
    });
    let done = Rc::clone(&result);
    world.run_until(SECOND, || done.borrow().is_some()).unwrap();
    let (got, end) = result.take().unwrap();
    (world, client, got, end)
}

/// A half close lets the rest arrive, then ends the stream.
#[test]
fn half_close_ends_after_the_last_byte() {
    let pair = connected();
    assert_eq!(pair.client.try_write(&[b"hello", b", world"]).unwrap(), 12);
    pair.client.finish_writing();
    assert_eq!(
        pair.client.try_write(&[b"more"]).unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
    let (_world, _client, got, end) = read_all(pair);
    assert_eq!(got, b"hello, world");
    assert_eq!(end.unwrap(), 0);
}

/// A reset loses what is on its way and both sides learn it.
#[test]
fn reset_breaks_both_ways() {
    let pair = connected();
    pair.client.try_write(&[b"lost"]).unwrap();
    pair.client.reset();
    let (_world, client, got, end) = read_all(pair);
    assert_eq!(got, b"");
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(
        client.try_write(&[b"x"]).unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}

/// Who writes to an end that is gone gets a reset, not silence.
#[test]
fn write_to_a_closed_end_breaks() {
    let pair = connected();
    let Pair {
        world,
        client,
        server,
        ..
    } = pair;
    drop(server);
    world.run_for(SECOND);
    assert_eq!(client.try_write(&[b"first"]).unwrap(), 5);
    world.run_for(SECOND);
    assert_eq!(
        client.try_write(&[b"second"]).unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
}

/// Nothing passes a partition; after it, everything does, in order.
#[test]
fn partition_delays_and_heals() {
    let pair = connected();
    pair.world.partition(pair.hosts[0], pair.hosts[1]);
    pair.client.try_write(&[b"first "]).unwrap();
    pair.world.run_for(SECOND);
    let mut buffer = [0; 16];
    let waker = std::task::Waker::noop();
    let read = pair
        .server
        .poll_read(&mut Context::from_waker(waker), &mut buffer);
    assert!(read.is_pending());
    pair.client.try_write(&[b"second"]).unwrap();
    pair.world.heal(pair.hosts[0], pair.hosts[1]);
    pair.client.finish_writing();
    let (_world, _client, got, _) = read_all(pair);
    assert_eq!(got, b"first second");
}

/// A reader that does not read stops its writer at the capacity of the socket.
#[test]
fn buffers_are_bounded() {
    let pair = connected();
    let chunk = [0; 10_000];
    let mut written = 0;
    let error = loop {
        match pair.client.try_write(&[&chunk]) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
        pair.world.run_for(Duration::from_millis(1));
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(written, 64 * 1024);
}

/// A connection that was accepted and never adopted is closed for its client, and crosses threads in type.
#[test]
fn dropped_accept_is_a_reset() {
    fn crosses_threads<T: Send>(_: &T) {}
    let world = SimWorld::with_plan(1, Plan::calm());
    let (server, client) = (world.add_host(), world.add_host());
    let (io, client) = (world.add_shard(server), world.add_node(client));
    let listener = io.listen(([0, 0, 0, 0], 4222).into()).unwrap();
    let gate = Gate::default();
    io.spawn(Queue::Hot, &gate, async move {
        let accepted: Accepted = listener.accept().await.unwrap();
        crosses_threads(&accepted);
    });
    let end = Rc::new(Cell::new(None));
    let slot = Rc::clone(&end);
    client.clone().spawn(Queue::Hot, async move {
        let stream = client.connect(SimIo::address_of(server, 4222)).await.unwrap();
        slot.set(Some(stream.read(&mut [0]).await.unwrap_err().kind()));
    });
    world.run_until(SECOND, || end.get().is_some()).unwrap();
    assert_eq!(end.get(), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(gate.inside(), 0);
}

/// Killing a host drops its tasks and what they hold; its clients see their connections break.
#[test]
fn kill_takes_everything_apart() {
    struct Held(Rc<Cell<bool>>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let pair = connected();
    let dropped = Rc::new(Cell::new(false));
    let held = Held(Rc::clone(&dropped));
    let (io, server) = (pair.io, pair.server);
    io.clone().spawn(Queue::Hot, async move {
        let (_held, _server) = (held, server);
        io.sleep(3600 * SECOND).await;
    });
    pair.world.run_for(SECOND);
    pair.world.kill(pair.hosts[1]);
    assert!(dropped.get());
    assert_eq!(pair.world.tasks_of(pair.hosts[1]), 0);
    assert_eq!(
        pair.client.try_write(&[b"x"]).unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}

/// The message of a panic inside a world names its seed.
#[test]
fn panic_names_the_seed() {
    let world = SimWorld::new(4711);
    let io = world.add_node(world.add_host());
    io.spawn(Queue::Hot, async { panic!("broken on purpose") });
    let panicked =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run_for(SECOND))).unwrap_err();
    let text = panicked.downcast_ref::<String>().unwrap();
    assert!(text.contains("seed 4711"), "{text}");
    assert!(text.contains("broken on purpose"), "{text}");
}

/// A toy mesh of one lane. `correct` looks at the lane again after the flag went up; the other one does not
/// and sleeps over news. Returns whether everything arrived.
fn toy_mesh(seed: u64, correct: bool) -> bool {
    #[derive(Default)]
    struct Lane {
        values: RefCell<VecDeque<u32>>,
        sleeping: Cell<bool>,
    }
    const VALUES: u32 = 50;
    let world = SimWorld::new(seed);
    let host = world.add_host();
    let (teller, sleeper) = (world.add_node(host), world.add_node(host));
    let lane = Rc::new(Lane::default());
    let got = Rc::new(Cell::new(0));
    let bell = SimBell::new();
    let mut ear = bell.ear(&sleeper);
    teller.clone().spawn(Queue::Hot, {
        let (lane, got) = (Rc::clone(&lane), Rc::clone(&got));
        async move {
            for value in 0..VALUES {
                while got.get() != value {
                    teller.sleep(Duration::from_micros(teller.dice().below(20))).await;
                }
                lane.values.borrow_mut().push_back(value);
                teller.interleave(Point::AnnouncedNotRung);
                if lane.sleeping.take() {
                    bell.ring();
                }
                teller
                    .sleep(Duration::from_micros(teller.dice().below(200)))
                    .await;
            }
        }
    });
    sleeper.clone().spawn(Queue::Hot, {
        let (lane, got) = (Rc::clone(&lane), Rc::clone(&got));
        async move {
            loop {
                while let Some(value) = lane.values.borrow_mut().pop_front() {
                    assert_eq!(value, got.get());
                    got.set(value + 1);
                }
                sleeper.interleave(Point::TriggeredNotDrained);
                lane.sleeping.set(true);
                sleeper.interleave(Point::FlaggedNotParked);
                if correct && !lane.values.borrow().is_empty() {
                    lane.sleeping.set(false);
                    continue;
                }
                poll_fn(|cx| ear.poll_rung(cx)).await;
                lane.sleeping.set(false);
            }
        }
    });
    world.run_until(5 * SECOND, || got.get() == VALUES).is_ok()
}

/// The interleaving finds a lost wake-up within 20 seeds, and never cries wolf.
#[test]
fn lost_wake_up_is_found() {
    let found = (0..20).find(|seed| !toy_mesh(*seed, false));
    assert!(found.is_some(), "the race is there, but no seed of 20 found it");
    for seed in 0..100 {
        assert!(
            toy_mesh(seed, true),
            "seed {seed} lost a value of the correct program"
        );
    }
}
