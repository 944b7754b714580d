//! The simulated outside: virtual time, a seeded scheduler, sockets and disks with faults.
//!
//! Not built yet: the types are empty, so no simulated shard can exist.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Point, Queue, Time, WallTime};

/// Handle of a simulated shard.
#[derive(Clone)]
pub enum SimIo {}
/// Bell of a simulated shard.
#[derive(Clone)]
pub enum SimBell {}
/// Ear of a simulated shard.
pub enum SimEar {}
/// A simulated listener.
pub enum SimListener {}
/// A simulated connection not yet read.
pub enum SimAccepted {}
/// A simulated stream.
pub enum SimStream {}

#[expect(clippy::unused_async, reason = "the shape of the seam")]
impl SimIo {
    pub(super) fn now(&self) -> Time {
        match *self {}
    }
    pub(super) fn wall(&self) -> WallTime {
        match *self {}
    }
    pub(super) fn entropy(&self) -> u64 {
        match *self {}
    }
    pub(super) fn fill_secret(&self, _bytes: &mut [u8]) {
        match *self {}
    }
    pub(super) fn spawn(&self, _queue: Queue, _future: impl Future<Output = ()> + 'static) {
        match *self {}
    }
    pub(super) async fn sleep(&self, _duration: Duration) {
        match *self {}
    }
    pub(super) async fn yield_if_needed(&self) {
        match *self {}
    }
    pub(super) fn interleave(&self, _point: Point) {
        match *self {}
    }
    pub(super) fn listen(&self, _address: SocketAddr) -> io::Result<SimListener> {
        match *self {}
    }
    pub(super) fn adopt(&self, _accepted: SimAccepted) -> SimStream {
        match *self {}
    }
}

impl SimBell {
    pub(super) fn ring(&self) {
        match *self {}
    }
}

impl SimEar {
    pub(super) fn poll_rung(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        match *self {}
    }
}

impl SimListener {
    pub(super) async fn accept(&self) -> io::Result<SimAccepted> {
        match *self {}
    }
    pub(super) fn local_addr(&self) -> SocketAddr {
        match *self {}
    }
}

impl SimStream {
    pub(super) fn poll_read(&self, _cx: &mut Context<'_>, _buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }
    pub(super) fn poll_write(&self, _cx: &mut Context<'_>, _buffer: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }
    pub(super) fn try_write(&self, _pieces: &[&[u8]]) -> io::Result<usize> {
        match *self {}
    }
    pub(super) fn shutdown(&self) {
        match *self {}
    }
    pub(super) fn peer_addr(&self) -> SocketAddr {
        match *self {}
    }
    pub(super) fn local_addr(&self) -> SocketAddr {
        match *self {}
    }
}
