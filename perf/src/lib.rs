//! `pinion-perf`: the load generator and the side-by-side harness.
//!
//! `compare` starts the Go server and Pinion in turn, gives both the same load and prints a table; `load` runs one
//! row against a server that runs already; `list` names the rows.
//!
//! From bottom to top: `frame` and `client` speak the protocol, `generator` drives many clients on one thread,
//! `workload` says what they do, `row` names the workloads of the table, `server_process` and `measure` know the
//! servers' processes, `compare` alternates between them, `goals`, `table` and `report` judge and print.
#![expect(
    clippy::disallowed_methods,
    reason = "the load generator stands outside the simulated server: it opens sockets, reads the clock and waits"
)]

pub mod block;
pub mod cli;
pub mod client;
pub mod clock;
pub mod compare;
pub mod cores;
pub mod failure;
pub mod figure;
pub mod frame;
pub mod generator;
pub mod goals;
pub mod histogram;
pub mod measure;
pub mod phase;
pub mod report;
pub mod row;
pub mod server_process;
pub mod table;
pub mod trial;
pub mod workload;
