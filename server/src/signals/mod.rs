//! Signals: what they mean, and handing them to the main thread.
//!
//! Owns: the thread that waits for signals, the rule what each one does, the `--signal` word (`send`).
//! Not here: doing it (boot sequence, log, lame duck).
//!
//! The main thread is no shard: it waits on a channel for signals and for the shards' news, and acts.

pub mod send;

use std::io;
use std::thread::JoinHandle;

use crossbeam_channel::Sender;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::{Handle, Signals};

/// A signal the server listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Reload the configuration.
    Hangup,
    /// End.
    Interrupt,
    /// End and leave a trace.
    Quit,
    /// End, unless lame duck mode is on.
    Terminate,
    /// Open the log file again.
    User1,
    /// Lame duck mode.
    User2,
}

impl Signal {
    /// Every signal, in the order of their numbers.
    pub const ALL: [Signal; 6] = [
        Signal::Hangup,
        Signal::Interrupt,
        Signal::Quit,
        Signal::User1,
        Signal::User2,
        Signal::Terminate,
    ];

    fn number(self) -> i32 {
        match self {
            Signal::Hangup => SIGHUP,
            Signal::Interrupt => SIGINT,
            Signal::Quit => SIGQUIT,
            Signal::Terminate => SIGTERM,
            Signal::User1 => SIGUSR1,
            Signal::User2 => SIGUSR2,
        }
    }

    fn from_number(number: i32) -> Option<Signal> {
        Signal::ALL.into_iter().find(|signal| signal.number() == number)
    }

    /// The name in the log line `Trapped "..." signal`, as the Go server writes it.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Hangup => "hangup",
            Signal::Interrupt => "interrupt",
            Signal::Quit => "quit",
            Signal::Terminate => "terminated",
            Signal::User1 => "user defined signal 1",
            Signal::User2 => "user defined signal 2",
        }
    }

    /// The line that is logged before anything is done.
    pub fn trapped_line(self) -> String {
        format!("Trapped {:?} signal", self.name())
    }
}

/// What to do about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Shut down in order, then exit with this code.
    ShutDown {
        /// The process's exit code.
        exit_code: u8,
    },
    /// Leave without closing anything in order, as the Go runtime does on SIGQUIT, with this code. The log is
    /// flushed; the store recovers as after a crash.
    Abandon {
        /// The process's exit code.
        exit_code: u8,
    },
    /// Open the log file again.
    ReopenLog,
    /// Start lame duck mode.
    LameDuck,
    /// Read the configuration again.
    Reload,
    /// Nothing: lame duck mode ends the server in its own time.
    Ignore,
}

/// The rule. `lame_duck`: the mode is on already.
pub fn decide(signal: Signal, lame_duck: bool) -> Action {
    match signal {
        Signal::Interrupt => Action::ShutDown { exit_code: 0 },
        Signal::Terminate if lame_duck => Action::Ignore,
        Signal::Terminate => Action::ShutDown { exit_code: 0 },
        Signal::Quit => Action::Abandon { exit_code: 2 },
        Signal::User1 => Action::ReopenLog,
        Signal::User2 if lame_duck => Action::Ignore,
        Signal::User2 => Action::LameDuck,
        Signal::Hangup => Action::Reload,
    }
}

/// The thread that waits for signals. Dropping it ends the thread; the signals stay caught.
pub struct SignalThread {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl SignalThread {
    /// Catches the signals of [`Signal::ALL`] from here on and sends each to `events`, in the order the
    /// kernel gives them. Ends by itself when nobody receives any more.
    pub fn start<E>(events: Sender<E>) -> io::Result<SignalThread>
    where
        E: From<Signal> + Send + 'static,
    {
        let mut signals = Signals::new(Signal::ALL.map(Signal::number))?;
        let handle = signals.handle();
        // No shard: it only waits, and what it sends is handled by the main thread.
        let thread = std::thread::Builder::new()
            .name("pinion-signals".to_owned())
            .spawn(move || {
                for signal in signals.forever().filter_map(Signal::from_number) {
                    if events.send(E::from(signal)).is_err() {
                        break;
                    }
                }
            })?;
        Ok(SignalThread {
            handle,
            thread: Some(thread),
        })
    }
}

impl Drop for SignalThread {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each signal does what the Go server does.
    #[test]
    fn rule() {
        let cases = [
            (Signal::Interrupt, false, Action::ShutDown { exit_code: 0 }),
            (Signal::Interrupt, true, Action::ShutDown { exit_code: 0 }),
            (Signal::Terminate, false, Action::ShutDown { exit_code: 0 }),
            (Signal::Terminate, true, Action::Ignore),
            (Signal::Quit, false, Action::Abandon { exit_code: 2 }),
            (Signal::User1, true, Action::ReopenLog),
            (Signal::User2, false, Action::LameDuck),
            (Signal::User2, true, Action::Ignore),
            (Signal::Hangup, false, Action::Reload),
        ];
        for (signal, lame_duck, action) in cases {
            assert_eq!(decide(signal, lame_duck), action, "{signal:?} {lame_duck}");
        }
    }

    /// The words of the log line.
    #[test]
    fn trapped_lines() {
        assert_eq!(Signal::Interrupt.trapped_line(), "Trapped \"interrupt\" signal");
        assert_eq!(
            Signal::User1.trapped_line(),
            "Trapped \"user defined signal 1\" signal"
        );
    }

    /// A signal sent to this process arrives as an event; the order is kept and the thread can be ended.
    #[test]
    fn signals_arrive_as_events() {
        struct News(Signal);
        impl From<Signal> for News {
            fn from(signal: Signal) -> News {
                News(signal)
            }
        }
        let (events, news) = crossbeam_channel::unbounded::<News>();
        let thread = SignalThread::start(events).unwrap();
        for signal in [
            Signal::User1,
            Signal::Hangup,
            Signal::Quit,
            Signal::Terminate,
            Signal::User2,
        ] {
            signal_hook::low_level::raise(signal.number()).unwrap();
            assert_eq!(news.recv().unwrap().0, signal);
        }
        drop(thread);
        assert!(
            news.recv().is_err(),
            "the thread is gone and its end of the channel with it"
        );
    }
}
