//! Kernel TCP sockets: plain calls that do not wait, and the ring to wait for readiness.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{ready, Context, Poll};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::driver::Driver;
use super::ring::Wait;
use super::UringIo;

/// A read of so many bytes is followed by another at once: who sends much has more. After a smaller one the socket
/// is most likely empty, and the wait for it costs less than a read in vain.
const READ_AGAIN_SIZE: usize = 4096;

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;

/// A listening socket; its descriptor does not block.
pub struct UringListener {
    fd: Rc<OwnedFd>,
    wait: Wait,
    driver: Rc<Driver>,
    local: SocketAddr,
}

impl UringListener {
    pub(in crate::io) fn bind(io: &UringIo, address: SocketAddr) -> io::Result<Self> {
        if address.ip().is_unspecified() {
            // As Go does: a wildcard listens on both families where the host has IPv6.
            let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
            match Self::bind_one(io, both, true) {
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {}
                done => return done,
            }
        }
        Self::bind_one(io, address, false)
    }

    fn bind_one(io: &UringIo, address: SocketAddr, both_families: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        if both_families {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let local = socket
            .local_addr()?
            .as_socket()
            .ok_or(io::ErrorKind::Unsupported)?;
        Ok(Self {
            fd: Rc::new(socket.into()),
            wait: Wait::default(),
            driver: Rc::clone(io.driver()),
            local,
        })
    }

    pub(in crate::io) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    pub(in crate::io) async fn accept(&self) -> io::Result<UringAccepted> {
        loop {
            match rustix::net::accept_with(&self.fd, SocketFlags::CLOEXEC) {
                Ok(fd) => return Ok(UringAccepted { fd }),
                Err(Errno::AGAIN) => {
                    let ring = self.driver.ring();
                    poll_fn(|cx| ring.poll_ready(&self.wait, &self.fd, PollFlags::IN, cx)).await;
                }
                // The other side gave up between the handshake and now.
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for UringListener {
    fn drop(&mut self) {
        self.driver.ring().release(&self.wait, &self.fd);
    }
}

/// A connection that was accepted and may still change its shard.
pub struct UringAccepted {
    fd: OwnedFd,
}

impl UringAccepted {
    /// Takes a connected socket from elsewhere (tests, a socket handed over).
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

/// A connected socket of this shard. At most one task reads, and one waits to write.
pub struct UringStream {
    /// `None` once it was closed.
    fd: RefCell<Option<Rc<OwnedFd>>>,
    driver: Rc<Driver>,
    read: Wait,
    write: Wait,
    /// A read is likely to bring something: there is no need to wait before it.
    may_read: Cell<bool>,
    peer: SocketAddr,
    local: SocketAddr,
}

impl UringStream {
    pub(in crate::io) fn adopt(io: &UringIo, accepted: UringAccepted) -> io::Result<Self> {
        let socket = SockRef::from(&accepted.fd);
        socket.set_tcp_nodelay(true)?;
        let peer = socket
            .peer_addr()?
            .as_socket()
            .ok_or(io::ErrorKind::Unsupported)?;
        let local = socket
            .local_addr()?
            .as_socket()
            .ok_or(io::ErrorKind::Unsupported)?;
        Ok(Self {
            fd: RefCell::new(Some(Rc::new(accepted.fd))),
            driver: Rc::clone(io.driver()),
            read: Wait::default(),
            write: Wait::default(),
            may_read: Cell::new(false),
            peer: unmapped(peer),
            local: unmapped(local),
        })
    }

    /// Lends the descriptor to a call that does not wait.
    #[inline]
    fn with_fd<T>(&self, call: impl FnOnce(&Rc<OwnedFd>) -> rustix::io::Result<T>) -> io::Result<T> {
        match &*self.fd.borrow() {
            Some(fd) => Ok(call(fd)?),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(in crate::io) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let fd = self.fd.borrow();
        let Some(fd) = &*fd else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        loop {
            if !self.may_read.get() {
                ready!(self.driver.ring().poll_ready(&self.read, fd, PollFlags::IN, cx));
            }
            match rustix::net::recv(fd, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, size)) => {
                    // A short read has emptied the socket, most likely: the ring tells when there is more.
                    self.may_read.set(size == buffer.len() || size >= READ_AGAIN_SIZE);
                    return Poll::Ready(Ok(size));
                }
                Err(Errno::AGAIN) => self.may_read.set(false),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    pub(in crate::io) fn poll_write(&self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            let fd = self.fd.borrow();
            let fd = fd.as_ref().expect("the socket was there just now");
            ready!(self.driver.ring().poll_ready(&self.write, fd, PollFlags::OUT, cx));
        }
    }

    pub(in crate::io) fn close(&self) {
        let Some(fd) = self.fd.take() else { return };
        self.driver.ring().release(&self.read, &fd);
        self.driver.ring().release(&self.write, &fd);
    }

    #[inline]
    pub(in crate::io) fn try_write(&self, buffer: &[u8]) -> io::Result<usize> {
        self.with_fd(|fd| rustix::net::send(fd, buffer, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))
    }

    pub(in crate::io) fn try_write_vectored(&self, pieces: &[&[u8]]) -> io::Result<usize> {
        const PIECES_MAX: usize = 64;
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let count = pieces.len().min(PIECES_MAX);
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
        }
        let mut control: [MaybeUninit<u8>; 0] = [];
        let mut control = rustix::net::SendAncillaryBuffer::new(&mut control);
        self.with_fd(|fd| {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            rustix::net::sendmsg(fd, &slices[..count], &mut control, flags)
        })
    }

    pub(in crate::io) fn shutdown(&self) {
        // The only failure is a socket that is down already.
        if let Err(error) = self.with_fd(|fd| rustix::net::shutdown(fd, rustix::net::Shutdown::Both)) {
            tracing::trace!(%error, "shutdown of a socket");
        }
    }

    pub(in crate::io) fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub(in crate::io) fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for UringStream {
    fn drop(&mut self) {
        self.close();
    }
}

/// An IPv4 client of a socket that listens on both families shows its IPv4 address.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
