//! The driver on a real ring: order, wakes from other threads, sleeps, closed sockets, files beside them.

use std::cell::{Cell, RefCell};
use std::future::{poll_fn, Future};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_lite::future::or;

use super::{start_shard_thread, ShardThread, ThreadPlan, UringAccepted, UringBell, Workers};
use crate::io::disk::{Access, Disk, Opening};
use crate::io::{Accepted, Bell, Gate, Io, Queue, Stream};

#[expect(clippy::disallowed_methods, reason = "the start of a real shard's clock")]
fn base() -> std::time::Instant {
    std::time::Instant::now()
}

/// Runs `main` on a shard thread of its own and gives what it came to; `None` where io_uring is not permitted.
fn on_a_shard<T: Send + 'static, F: Future<Output = T> + 'static>(
    main: impl FnOnce(Io) -> F + Send + 'static,
) -> Option<T> {
    let workers = Workers::start(1).expect("the system has a thread");
    let plan = ThreadPlan {
        name: "driver-test".to_owned(),
        core: None,
        base: base(),
        workers: workers.queue(),
    };
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let thread = start_shard_thread(plan, move |io| async move {
        sender.send(main(io).await).expect("the test waits for it");
    });
    match thread.and_then(ShardThread::join) {
        Ok(()) => Some(receiver.recv().expect("the shard ended well")),
        Err(error) => {
            println!(
                "io_uring is not permitted here, the driver was not tested: {}",
                error.0
            );
            None
        }
    }
}

/// Two connected TCP sockets: the first as a stream of the shard, the second as it is.
fn pair(io: &Io) -> io::Result<(Stream, OwnedFd)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let client = std::net::TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    let stream = io.adopt(Accepted::Uring(UringAccepted::from_fd(server.into())))?;
    Ok((stream, client.into()))
}

async fn read(stream: &Stream, size: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; size];
    let taken = poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await?;
    buffer.truncate(taken);
    Ok(buffer)
}

/// A read that waits is ended by the bytes that come, or by the end of the stream.
#[test]
fn a_waiting_read_gets_what_comes() {
    let got = on_a_shard(|io| async move {
        let (stream, client) = pair(&io)?;
        let gate = Gate::default();
        let writer = io.clone();
        io.spawn(Queue::Hot, &gate, async move {
            for text in ["one", "two"] {
                writer.yield_now().await;
                rustix::io::write(&client, text.as_bytes()).expect("the socket has room");
                writer.sleep(Duration::from_millis(2)).await;
            }
        });
        let texts = [
            read(&stream, 9).await?,
            read(&stream, 9).await?,
            read(&stream, 9).await?,
        ];
        gate.wait_empty().await;
        io::Result::Ok(texts)
    });
    if let Some(got) = got {
        assert_eq!(got.unwrap(), [b"one".to_vec(), b"two".to_vec(), Vec::new()]);
    }
}

/// A full socket is waited for, and everything arrives in order.
#[test]
fn a_waiting_write_goes_on_when_there_is_room() {
    const SIZE: usize = 8 << 20;
    let got = on_a_shard(|io| async move {
        let (stream, client) = pair(&io)?;
        let reader = UringAccepted::from_fd(client);
        let reader = io.adopt(Accepted::Uring(reader))?;
        let (gate, sum) = (Gate::default(), Rc::new(Cell::new((0, true))));
        let task_sum = Rc::clone(&sum);
        io.spawn(Queue::Hot, &gate, async move {
            while let Ok(bytes) = read(&reader, 1 << 16).await {
                if bytes.is_empty() {
                    return;
                }
                let (mut at, mut ok) = task_sum.get();
                for byte in bytes {
                    ok &= usize::from(byte) == at % 251;
                    at += 1;
                }
                task_sum.set((at, ok));
            }
        });
        let bytes: Vec<u8> = (0..251).cycle().take(SIZE).collect();
        let mut sent = 0;
        while sent < SIZE {
            sent += poll_fn(|cx| stream.poll_write(cx, &bytes[sent..])).await?;
        }
        stream.close();
        gate.wait_empty().await;
        io::Result::Ok(sum.get())
    });
    if let Some(got) = got {
        assert_eq!(got.unwrap(), (SIZE, true));
    }
}

/// A socket that is closed while a read waits on it gives its slot and its number to others, who are not disturbed
/// by what the kernel still had to say.
#[test]
fn closed_sockets_disturb_nobody() {
    let got = on_a_shard(|io| async move {
        for round in 0..500u32 {
            let (stream, client) = pair(&io)?;
            let waits = poll_fn(|cx| stream.poll_read(cx, &mut [0; 8]).map(|_| true));
            let gives_up = async {
                if round.is_multiple_of(2) {
                    // The poll has been submitted.
                    io.yield_now().await;
                }
                false
            };
            if or(gives_up, waits).await {
                return Ok(Err(format!("round {round}: a read ended before anything came")));
            }
            if round.is_multiple_of(3) {
                // Completion and cancellation cross.
                rustix::io::write(&client, b"late")?;
            }
            stream.close();
            let (next, next_client) = pair(&io)?;
            let text = round.to_string();
            let task = io.clone();
            let gate = Gate::default();
            let late = text.clone();
            io.spawn(Queue::Hot, &gate, async move {
                task.yield_now().await;
                task.yield_now().await;
                rustix::io::write(&next_client, late.as_bytes()).expect("the socket has room");
            });
            let heard = read(&next, 16).await?;
            if heard != text.as_bytes() {
                return Ok(Err(format!("round {round}: {heard:?}")));
            }
            gate.wait_empty().await;
        }
        io::Result::Ok(Ok(()))
    });
    if let Some(got) = got {
        assert_eq!(got.unwrap(), Ok(()));
    }
}

/// A waker that is used on another thread wakes its task, though the shard sleeps.
#[test]
fn a_wake_from_another_thread_is_heard() {
    let got = on_a_shard(|io| async move {
        let (wakers, foreign) = crossbeam_channel::unbounded::<Waker>();
        #[expect(clippy::disallowed_methods, reason = "the thread that wakes from outside")]
        let thread = std::thread::spawn(move || foreign.iter().map(Waker::wake).count());
        for _ in 0..200 {
            let mut is_sent = false;
            poll_fn(|cx| {
                if std::mem::replace(&mut is_sent, true) {
                    return Poll::Ready(());
                }
                wakers.send(cx.waker().clone()).expect("the thread listens");
                Poll::Pending
            })
            .await;
        }
        drop((wakers, io));
        thread.join().expect("the thread ends")
    });
    if let Some(got) = got {
        assert_eq!(got, 200);
    }
}

/// A bell rung on another thread, before or while the shard listens, is heard.
#[test]
fn the_bell_wakes_a_sleeping_shard() {
    let bell = Bell::Uring(UringBell::new().unwrap());
    let got = on_a_shard(move |io| async move {
        let mut ear = bell.ear(&io)?;
        let (turns, foreign) = crossbeam_channel::unbounded::<()>();
        #[expect(clippy::disallowed_methods, reason = "the thread that rings from outside")]
        let thread = std::thread::spawn(move || {
            for () in &foreign {
                bell.ring();
            }
        });
        for _ in 0..200 {
            turns.send(()).expect("the thread listens");
            poll_fn(|cx| ear.poll_rung(cx)).await;
        }
        drop(turns);
        thread.join().expect("the thread ends");
        io::Result::Ok(())
    });
    if let Some(got) = got {
        got.unwrap();
    }
}

/// Sleepers wake in the order of their times; one that went away wakes nobody.
#[test]
fn sleepers_wake_in_order() {
    let got = on_a_shard(|io| async move {
        let (gate, woken) = (Gate::default(), Rc::new(RefCell::new(Vec::new())));
        for millis in [30, 10, 20] {
            let (sleeper, woken) = (io.clone(), Rc::clone(&woken));
            io.spawn(Queue::Hot, &gate, async move {
                let start = sleeper.now();
                let short = sleeper.sleep(Duration::from_millis(millis));
                or(short, sleeper.sleep(Duration::from_secs(3600))).await;
                let is_late = sleeper.now().since(start) >= Duration::from_millis(millis);
                woken.borrow_mut().push((millis, is_late));
            });
        }
        gate.wait_empty().await;
        woken.take()
    });
    if let Some(got) = got {
        assert_eq!(got, [(10, true), (20, true), (30, true)]);
    }
}

/// A task that yields for ever keeps neither sockets nor control tasks from their turn.
#[test]
fn a_busy_task_leaves_turns_to_others() {
    let got = on_a_shard(|io| async move {
        let (stream, client) = pair(&io)?;
        let (gate, is_over) = (Gate::default(), Rc::new(Cell::new(false)));
        let (busy, over) = (io.clone(), Rc::clone(&is_over));
        io.spawn(Queue::Hot, &gate, async move {
            while !over.get() {
                busy.yield_now().await;
            }
        });
        let control = io.clone();
        io.spawn(Queue::Control, &gate, async move {
            for _ in 0..100 {
                control.yield_now().await;
            }
            rustix::io::write(&client, b"from control").expect("the socket has room");
        });
        let heard = read(&stream, 99).await?;
        is_over.set(true);
        gate.wait_empty().await;
        io::Result::Ok(heard)
    });
    if let Some(got) = got {
        assert_eq!(got.unwrap(), b"from control");
    }
}

/// While files are written, sockets, timers and wakes from other threads go on; and files go on while the shard
/// has nothing else to do.
#[test]
fn files_and_sockets_share_a_shard() {
    let root = std::env::temp_dir().join(format!("pinion-driver-{}", std::process::id()));
    let at = root.clone();
    let got = on_a_shard(move |io| async move {
        let disk = Disk::open(&io, &at).await?;
        let file = disk
            .open_file(Path::new("log"), Access::Buffered, Opening::Any)
            .await?;
        let (stream, client) = pair(&io)?;
        let (gate, is_over) = (Gate::default(), Rc::new(Cell::new(false)));
        let (task, over) = (io.clone(), Rc::clone(&is_over));
        io.spawn(Queue::Hot, &gate, async move {
            while !over.get() {
                rustix::io::write(&client, b".").expect("the socket has room");
                task.sleep(Duration::from_micros(300)).await;
            }
        });
        let mut dots = 0;
        for round in 0..50u64 {
            file.write(vec![7; 4096], round * 4096).await?;
            file.sync().await?;
            dots += read(&stream, 1024).await?.len();
        }
        is_over.set(true);
        gate.wait_empty().await;
        let size = file.size()?;
        file.close().await?;
        io::Result::Ok((size, dots >= 50))
    });
    if let Some(got) = got {
        assert_eq!(got.unwrap(), (50 * 4096, true));
        std::fs::remove_dir_all(root).unwrap();
    }
}
