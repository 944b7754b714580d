//! From settings to a running server, and in order down again.
//!
//! Owns: the order of starting (log, preflight, shards, listeners, files, "ready") and of stopping; the main
//! thread, which waits for signals and for the end of shards. Not here: what the shards do.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{bounded, unbounded, Receiver, RecvTimeoutError, Sender};
use pinion_shard::conn::{Door, HandshakeFirst, TlsSettings, WebSocketSettings};
use pinion_shard::ids::ShardId;
use pinion_shard::io::uring::{start_shard_thread, ShardThread, ThreadPlan, UringBell, WorkerQueue, Workers};
use pinion_shard::io::{Bell, WallTime};
use pinion_shard::mesh::MeshSize;
use pinion_shard::rules::Rules;
use pinion_shard::runtime::{serve_listener, start, LameDuck, Parts, Shards};

use crate::auth;
use crate::cli::{fail, settle, Flags, Settings};
use crate::config::Options;
use crate::files::{listener_urls, PidFile, Ports, PortsFile};
use crate::identity::Identity;
use crate::log::{Clock, Level, Log, LogHandle, LogOptions};
use crate::monitor::{self, Configured};
use crate::preflight::{self, Placement, Wanted};
use crate::reload;
use crate::shard_settings::shard_settings;
use crate::signals::{decide, Action, Signal, SignalThread};
use crate::tls::WatchedFiles;

/// Times the mesh is gone through between the last read and the first close: push, take, hand on, write.
const DRAIN_ROUNDS: usize = 4;

/// Threads for what would hold a shard up, such as password hashes.
const WORKERS_MAX: usize = 4;

/// How often the main thread looks whether certificates on disk have changed.
const CERTIFICATES_LOOKED_AT: Duration = Duration::from_secs(1);

/// What the main thread waits for.
enum Event {
    Signal(Signal),
    /// A shard's thread is at its end.
    ShardEnded,
    /// A shard has let its last client go.
    LameDuckDone,
}

impl From<Signal> for Event {
    fn from(signal: Signal) -> Self {
        Event::Signal(signal)
    }
}

/// Runs the server to its end.
pub fn run(settings: &Settings) -> ExitCode {
    let opened = LogOptions::from_options(&settings.options.log, &program())
        .and_then(|options| Log::start(&options, Clock::System).map_err(|error| error.to_string()));
    let log = match opened {
        Ok(log) => log,
        Err(error) => return fail(&error),
    };
    log.install();
    let handle = log.handle();
    match Server::start(settings, &handle) {
        Ok(server) => server.wait(&log),
        Err(message) => {
            handle.log(Level::Fatal, message);
            handle.flush();
            ExitCode::FAILURE
        }
    }
}

struct Server {
    options: Options,
    flags: Flags,
    identity: Identity,
    /// In force on every shard.
    rules: Arc<Rules>,
    shards: Shards,
    threads: Vec<ShardThread>,
    /// `None` after the stop.
    workers: Option<Workers>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    _signals: SignalThread,
    /// The files of its TLS.
    certificates: WatchedFiles,
    /// Where WebSocket clients connect.
    websocket_bound: Option<SocketAddr>,
    /// Where clients connect, when the port is open.
    client_bound: Option<SocketAddr>,
    monitor: Option<monitor::Opened>,
    ports: Ports,
    pid_file: Option<PidFile>,
    ports_file: Option<PortsFile>,
}

impl Server {
    fn start(settings: &Settings, log: &LogHandle) -> Result<Self, String> {
        let options = settings.options.clone();
        let identity = Identity::generate(&options);
        announce(settings, &identity);
        let report = preflight::examine(&Wanted::from_options(&options));
        if let Some(finding) = report.first_stop() {
            return Err(finding.line());
        }
        for finding in report.warnings() {
            tracing::warn!("{}", finding.line());
        }
        let rules = Arc::new(auth::first_rules(&options, wall_now())?);
        let (sender, events) = unbounded();
        // Looked at before they are read: a change between the two is seen later.
        let certificates = watched(&options);
        let signals = SignalThread::start(sender.clone()).map_err(|error| format!("signals: {error}"))?;
        let workers = Workers::start(workers_wanted()).map_err(|error| format!("worker threads: {error}"))?;
        let (shards, threads) = start_shards(
            &report.placement,
            &options,
            &identity,
            &rules,
            &sender,
            &workers.queue(),
        )?;
        let mut server = Self {
            options,
            flags: settings.flags.clone(),
            identity,
            rules,
            shards,
            threads,
            workers: Some(workers),
            events,
            sender,
            _signals: signals,
            certificates,
            websocket_bound: None,
            client_bound: None,
            monitor: None,
            ports: Ports::default(),
            pid_file: None,
            ports_file: None,
        };
        crate::events::watch(&server.shards, &server.options, &server.identity);
        let config_digest = settings.config.as_ref().map_or("", |(_, digest)| digest);
        if let Err(message) = server.open(config_digest, log) {
            server.stop();
            return Err(message);
        }
        tracing::info!("Server is ready");
        Ok(server)
    }

    /// Listens, then writes the files that say where.
    fn open(&mut self, config_digest: &str, log: &LogHandle) -> Result<(), String> {
        if let Some(path) = &self.options.operations.pid_file {
            self.pid_file = Some(PidFile::write(path)?);
        }
        if let Some(listen) = &self.options.monitor {
            let configured = Configured {
                options: self.options.clone(),
                digest: config_digest.to_owned(),
                reloaded: None,
            };
            let opened = monitor::start(&self.shards, listen, configured, &self.identity, log)?;
            tracing::info!("Starting http monitor on {}", opened.bound);
            self.ports.monitoring = listener_urls("http", opened.bound);
            self.monitor = Some(opened);
        }
        self.ports.websocket = self.open_websocket()?;
        let address = resolve(&self.options.client.host, self.options.client.port)?;
        let bound = self.listen(address)?;
        self.client_bound = Some(bound);
        self.tell_bound(bound);
        self.ports.nats = listener_urls("nats", bound);
        self.write_ports_file();
        tracing::info!(
            "Listening for client connections on {}",
            shown(&self.options.client.host, bound)
        );
        if let Some(tls) = &self.options.tls {
            tracing::info!("TLS required for client connections");
            if tls.block.first == HandshakeFirst::Yes {
                tracing::warn!(
                    "Clients that are not using \"TLS Handshake First\" option will fail to connect"
                );
            }
        }
        self.serve()?;
        let port = bound.port();
        tracing::info!("Try it: nats sub -s nats://127.0.0.1:{port} 'greet.*'   and   nats pub -s nats://127.0.0.1:{port} greet.joe hello");
        Ok(())
    }

    fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&std::rc::Rc<pinion_shard::runtime::Shard>) -> T + Send + 'static,
    ) -> Result<T, String> {
        let (answer, answered) = bounded(1);
        let given = self.shards.run_on(
            ShardId(0),
            Box::new(move |shard| {
                if answer.send(job(shard)).is_err() {
                    tracing::debug!("the start gave up waiting");
                }
            }),
        );
        if !given {
            return Err("shard 0 is gone".to_owned());
        }
        answered.recv().map_err(|_| "shard 0 is gone".to_owned())
    }

    fn listen(&self, address: SocketAddr) -> Result<SocketAddr, String> {
        let bound = self.ask(move |shard| shard.listen(address).map_err(|error| system_text(&error)))?;
        bound.map_err(|error| {
            format!("Error listening on port: {address}, \"listen tcp {address}: bind: {error}\"")
        })
    }

    /// INFO names the real port from the first client on.
    fn tell_bound(&self, bound: SocketAddr) {
        let told = told_address(&self.options, bound);
        self.shards.run_on_all(move |shard| {
            let mut settings = (*shard.settings()).clone();
            (settings.info.host, settings.info.port) = told.clone();
            shard.set_settings(Arc::new(settings));
        });
    }

    /// Starts accepting, when every shard knows what to tell its clients.
    fn serve(&self) -> Result<(), String> {
        for _ in self.shards.gather(|_| ()) {}
        self.ask(serve_listener)
    }

    fn write_ports_file(&mut self) {
        if let Some(directory) = &self.options.operations.ports_file_dir {
            match PortsFile::write(directory, &program(), &self.ports) {
                Ok(file) => self.ports_file = Some(file),
                Err(line) => tracing::error!("{line}"),
            }
        }
    }

    fn wait(mut self, running_log: &Log) -> ExitCode {
        let log = &running_log.handle();
        let mut lame_duck_left = None;
        loop {
            let event = match self.events.recv_timeout(CERTIFICATES_LOOKED_AT) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => {
                    self.look_at_certificates();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => unreachable!("the server holds a sender"),
            };
            match event {
                Event::Signal(signal) => {
                    tracing::info!("{}", signal.trapped_line());
                    match decide(signal, lame_duck_left.is_some()) {
                        Action::ShutDown { exit_code } => return self.leave(log, exit_code),
                        Action::Abandon { exit_code } => {
                            log.flush();
                            std::process::exit(i32::from(exit_code));
                        }
                        Action::ReopenLog => log.reopen(),
                        Action::LameDuck => {
                            self.start_lame_duck();
                            lame_duck_left = Some(self.shards.count());
                        }
                        Action::Reload => {
                            if let Err(error) = self.reload(running_log) {
                                tracing::error!("Failed to reload server configuration: {error}");
                            }
                        }
                        Action::Ignore => {}
                    }
                }
                Event::LameDuckDone => {
                    lame_duck_left = lame_duck_left.map(|left| left - 1);
                    if lame_duck_left == Some(0) {
                        return self.leave(log, 0);
                    }
                }
                Event::ShardEnded => {
                    tracing::error!("a shard ended before it was told to; the server stops");
                    return self.leave(log, 1);
                }
            }
        }
    }

    /// Serves new connections with the certificates as they are on disk now; the others keep what they began with.
    fn look_at_certificates(&mut self) {
        if !self.certificates.have_changed() {
            return;
        }
        let read = self
            .client_tls()
            .and_then(|tls| Ok((tls, self.websocket_settings(&self.options)?)));
        match read {
            Ok((tls, websocket)) => {
                self.shards.run_on_all(move |shard| {
                    let mut settings = (*shard.settings()).clone();
                    settings.tls.clone_from(&tls);
                    settings.websocket.clone_from(&websocket);
                    shard.set_settings(Arc::new(settings));
                });
                tracing::info!("TLS certificates have changed on disk: new connections get the new ones");
            }
            Err(error) => {
                tracing::error!("TLS certificates have changed on disk and the old ones stay: {error}");
            }
        }
    }

    /// Reads the configuration again and puts it in force as a whole, on every shard when this returns.
    ///
    /// # Errors
    /// The file is wrong, or changes what needs a restart; nothing is changed then.
    fn reload(&mut self, log: &Log) -> Result<(), String> {
        let settled = settle(
            self.flags.clone(),
            &crate::cli::read_file,
            &crate::cli::read_variable,
        )?;
        let Some((_, digest)) = settled.config else {
            return Err(reload::NO_FILE.to_owned());
        };
        let mut options = settled.options;
        let port = self
            .client_bound
            .map_or(options.client.port, |bound| bound.port());
        self.options.client.port = port;
        if options.client.port == 0 {
            options.client.port = port;
        }
        reload::check(&self.options, &options)?;
        let rules = if options.operator_mode.is_some() || options.access == self.options.access {
            None
        } else {
            let new = auth::compile(&options.access, Some(&self.rules)).map_err(|found| found.to_string())?;
            Some(Arc::new(new))
        };
        let certificates = watched(&options);
        let tls = client_tls(&options)?;
        let websocket = self.websocket_settings(&options)?;
        if options.log != self.options.log {
            let new = LogOptions::from_options(&options.log, &program())?;
            log.reconfigure(&new).map_err(|error| error.to_string())?;
        }
        // Nothing fails from here on.
        for warning in &settled.warnings {
            tracing::warn!("{warning}");
        }
        let old = std::mem::replace(&mut self.options, options);
        self.certificates = certificates;
        let mut settings = shard_settings(&self.options, &self.identity, tls);
        settings.websocket = websocket;
        if let Some(bound) = self.client_bound {
            (settings.info.host, settings.info.port) = told_address(&self.options, bound);
        }
        let settings = Arc::new(settings);
        for _ in self
            .shards
            .gather(move |shard| shard.set_settings(Arc::clone(&settings)))
        {}
        if old.limits.connections != self.options.limits.connections {
            self.close_surplus();
        }
        if let Some(rules) = rules {
            self.shards.apply_rules(&rules);
            self.rules = rules;
        }
        self.renew_files(&old);
        if let Some(monitor) = &self.monitor {
            let configured = Configured {
                options: self.options.clone(),
                digest: digest.clone(),
                reloaded: Some(wall_now()),
            };
            if monitor.configured.send(configured).is_err() {
                tracing::debug!("the monitoring port is gone");
            }
        }
        for line in reload::told(&old, &self.options) {
            tracing::info!("{line}");
        }
        tracing::info!("Reloaded server configuration ({digest})");
        Ok(())
    }

    /// Closes the newest clients that are more than there may be.
    fn close_surplus(&self) {
        let max = usize::try_from(self.options.limits.connections).unwrap_or(0);
        let ids = self.shards.gather(|shard| {
            let connections = shard.connections();
            connections
                .iter()
                .map(|connection| connection.id)
                .collect::<Vec<_>>()
        });
        let mut ids: Vec<_> = ids.iter().flat_map(|(_, ids)| ids).collect();
        ids.sort_unstable();
        let Some(&first) = ids.get(max) else {
            return;
        };
        for _ in self.shards.gather(move |shard| shard.refuse_from(first)) {}
        let closed = ids.len() - max;
        tracing::info!("Closed {closed} connections to fall within max_connections");
    }

    /// Writes the files for operators where the options say now.
    fn renew_files(&mut self, old: &Options) {
        let (before, after) = (&old.operations, &self.options.operations);
        if let Some(path) = after
            .pid_file
            .as_ref()
            .filter(|_| before.pid_file != after.pid_file)
        {
            match PidFile::write(path) {
                Ok(file) => self.pid_file = Some(file),
                Err(line) => tracing::error!("{line}"),
            }
        }
        if before.ports_file_dir != after.ports_file_dir {
            self.ports_file = None;
            self.write_ports_file();
        }
    }

    /// TLS of the client port as it is on disk.
    fn client_tls(&self) -> Result<Option<Arc<TlsSettings>>, String> {
        client_tls(&self.options)
    }

    /// The port of WebSocket clients, with its TLS as it is on disk; `None`: there is none.
    fn websocket_settings(&self, options: &Options) -> Result<Option<Arc<WebSocketSettings>>, String> {
        let Some((listen, bound)) = options.websocket.as_ref().zip(self.websocket_bound) else {
            return Ok(None);
        };
        let block = &listen.block;
        let tls = block
            .tls
            .as_ref()
            .map(|tls| crate::tls::settings(tls, false, &crate::cli::read_file))
            .transpose()?;
        Ok(Some(Arc::new(WebSocketSettings {
            tls: tls.map(Arc::new),
            upgrade: block.upgrade.clone(),
            handshake_timeout: block.handshake_timeout,
            host: listen.host.clone(),
            port: i64::from(bound.port()),
        })))
    }

    /// Opens the port of WebSocket clients, if there is to be one. The answer is its URLs.
    fn open_websocket(&mut self) -> Result<Vec<String>, String> {
        let Some(listen) = self.options.websocket.clone() else {
            return Ok(Vec::new());
        };
        let address = resolve(&listen.host, listen.port)?;
        let bound = self
            .ask(move |shard| {
                let bound = shard.listen_at(Door::WebSocket, address);
                bound.map_err(|error| system_text(&error))
            })?
            .map_err(|error| {
                format!("Unable to listen for websocket connections: listen tcp {address}: bind: {error}")
            })?;
        self.websocket_bound = Some(bound);
        let settings = self.websocket_settings(&self.options)?;
        self.shards.run_on_all(move |shard| {
            let mut new = (*shard.settings()).clone();
            new.websocket.clone_from(&settings);
            shard.set_settings(Arc::new(new));
        });
        let scheme = if listen.block.tls.is_some() { "wss" } else { "ws" };
        tracing::info!(
            "Listening for websocket clients on {scheme}://{}",
            shown(&listen.host, bound)
        );
        if listen.block.tls.is_none() {
            tracing::warn!("Websocket not configured with TLS. DO NOT USE IN PRODUCTION!");
        }
        Ok(listener_urls(scheme, bound))
    }

    fn start_lame_duck(&self) {
        tracing::info!("Entering lame duck mode, stop accepting new clients");
        let operations = &self.options.operations;
        let plan = LameDuck {
            grace_period: operations.lame_duck_grace_period,
            duration: operations
                .lame_duck_duration
                .saturating_sub(operations.lame_duck_grace_period),
        };
        let sender = self.sender.clone();
        self.shards.run_on_all(move |shard| {
            let sender = sender.clone();
            shard.start_lame_duck(plan, move || tell(&sender, Event::LameDuckDone));
        });
    }

    fn leave(&mut self, log: &LogHandle, exit_code: u8) -> ExitCode {
        tracing::info!("Initiating Shutdown...");
        self.stop();
        tracing::info!("Server Exiting..");
        log.flush();
        ExitCode::from(exit_code)
    }

    fn stop(&mut self) {
        self.shards.run_on_all(|shard| shard.drain());
        // Each round goes through every shard once: what was read is pushed, then taken, then written.
        for _ in 0..DRAIN_ROUNDS {
            self.shards.gather(|_| ()).iter().for_each(drop);
        }
        self.shards.run_on_all(pinion_shard::runtime::Shard::stop);
        for thread in self.threads.drain(..) {
            if let Err(error) = thread.join() {
                tracing::error!("a shard ended with: {}", error.0);
            }
        }
        if let Some(workers) = self.workers.take() {
            workers.stop();
        }
    }
}

/// The host and port that INFO names.
fn told_address(options: &Options, bound: SocketAddr) -> (String, i64) {
    match &options.client.advertise {
        Some(advertised) => split_host_port(advertised, bound.port()),
        None => (options.client.host.clone(), i64::from(bound.port())),
    }
}

/// The files of all TLS, as they are now.
fn watched(options: &Options) -> WatchedFiles {
    let websocket = options.websocket.as_ref();
    let websocket_tls = websocket.and_then(|listen| listen.block.tls.as_ref());
    let client_tls = options.tls.as_ref().map(|tls| &tls.block);
    WatchedFiles::of(client_tls.into_iter().chain(websocket_tls))
}

/// What this process was started as.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "pinion".to_owned())
}

/// TLS of the client port as it is on disk; `None`: connections are plain.
fn client_tls(options: &Options) -> Result<Option<Arc<TlsSettings>>, String> {
    let tls = options
        .tls
        .as_ref()
        .map(|tls| crate::tls::settings(&tls.block, tls.allows_plain, &crate::cli::read_file))
        .transpose()?;
    Ok(tls.map(Arc::new))
}

fn tell(sender: &Sender<Event>, event: Event) {
    if sender.send(event).is_err() {
        tracing::debug!("the main thread is gone: the process ends");
    }
}

fn start_shards(
    placement: &Placement,
    options: &Options,
    identity: &Identity,
    rules: &Arc<Rules>,
    sender: &Sender<Event>,
    workers: &WorkerQueue,
) -> Result<(Shards, Vec<ShardThread>), String> {
    let bells: Vec<Bell> = (0..placement.shards)
        .map(|_| UringBell::new().map(Bell::Uring))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("eventfd: {error}"))?;
    let settings = Arc::new(shard_settings(options, identity, client_tls(options)?));
    let Parts { plans, shards } = Parts::build(&bells, MeshSize::default(), &settings, rules);
    let (started, starts) = bounded(placement.shards);
    let base = now();
    let mut threads = Vec::new();
    for (index, (plan, bell)) in plans.into_iter().zip(bells).enumerate() {
        let core = placement.cores.as_ref().map(|cores| cores[index]);
        let thread_plan = ThreadPlan {
            name: format!("pinion-{index}"),
            core,
            base,
            workers: workers.clone(),
        };
        let (started, sender) = (started.clone(), sender.clone());
        let thread = start_shard_thread(thread_plan, move |io| async move {
            let ear = match bell.ear(&io) {
                Ok(ear) => ear,
                Err(error) => {
                    tracing::error!("shard {index}: {error}");
                    return;
                }
            };
            let (_shard, run) = start(plan, io, ear);
            if started.send(index).is_err() {
                tracing::debug!("shard {index} started, but another one did not");
            }
            drop(started);
            run.await;
            tell(&sender, Event::ShardEnded);
        })
        .map_err(|error| format!("shard {index}: {}", error.0))?;
        threads.push(thread);
    }
    drop(started);
    let count = starts.iter().count();
    if count < placement.shards {
        let reasons: Vec<String> = threads
            .into_iter()
            .filter_map(|thread| thread.join().err())
            .map(|error| error.0)
            .collect();
        return Err(format!(
            "{} of {} shards did not start: {}",
            placement.shards - count,
            placement.shards,
            reasons.join("; ")
        ));
    }
    Ok((shards, threads))
}

/// Half of the cores, [`WORKERS_MAX`] at most: hashes must not take the cores from the shards.
fn workers_wanted() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, WORKERS_MAX)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the instant all shards count their time from"
)]
fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "what tokens say about time is looked at before any shard is there to ask"
)]
fn wall_now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn announce(settings: &Settings, identity: &Identity) {
    tracing::info!("Starting nats-server");
    tracing::info!("  Version:  {}", crate::PEER_VERSION);
    tracing::info!("  Pinion:   {}", crate::PINION_VERSION);
    tracing::info!("  Name:     {}", identity.server_name);
    tracing::info!("  ID:       {}", identity.server_id);
    if let Some((path, digest)) = &settings.config {
        tracing::info!("Using configuration file: {} ({digest})", path.display());
    }
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
}

/// What the system says, as Go writes it: `address already in use`.
pub fn system_text(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_lowercase(),
        None => error.to_string(),
    }
}

/// The address a host and port of the configuration mean.
pub fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    use std::net::ToSocketAddrs;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut found = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("cannot listen on {host:?}: {error}"))?;
    found
        .next()
        .ok_or_else(|| format!("cannot listen on {host:?}: the name has no address"))
}

fn shown(host: &str, bound: SocketAddr) -> String {
    if host.contains(':') && !host.starts_with('[') {
        return format!("[{host}]:{}", bound.port());
    }
    format!("{host}:{}", bound.port())
}

fn split_host_port(text: &str, default_port: u16) -> (String, i64) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => {
            let port = port.parse().unwrap_or_else(|_| i64::from(default_port));
            let port = if port == 0 { i64::from(default_port) } else { port };
            (
                host.trim_start_matches('[').trim_end_matches(']').to_owned(),
                port,
            )
        }
        _ => (text.to_owned(), i64::from(default_port)),
    }
}
