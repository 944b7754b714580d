//! Kernel TCP sockets. Reads and blocked writes go through glommio (which tries the plain call first and
//! arms the ring on EAGAIN); writes that must not wait are plain non-blocking sends.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use rustix::net::{SendFlags, SocketFlags};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;

/// A listening socket; its descriptor does not block.
pub struct UringListener {
    fd: OwnedFd,
    local: SocketAddr,
}

impl UringListener {
    pub(in crate::io) fn bind(address: SocketAddr) -> io::Result<Self> {
        if address.ip().is_unspecified() {
            // As Go does: a wildcard listens on both families where the host has IPv6.
            let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
            match Self::bind_one(both, true) {
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {}
                done => return done,
            }
        }
        Self::bind_one(address, false)
    }

    fn bind_one(address: SocketAddr, both_families: bool) -> io::Result<Self> {
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
            fd: socket.into(),
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
                Err(rustix::io::Errno::AGAIN) => readable(self.fd.as_fd()).await?,
                // The other side gave up between the handshake and now.
                Err(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits until `fd` can be read. glommio has no call for that; but its stream arms a poll on any
/// descriptor before the first read, and the read's own result does not matter here.
async fn readable(fd: BorrowedFd<'_>) -> io::Result<()> {
    let stream = stream_of(fd.try_clone_to_owned()?);
    let mut stream = RefCell::new(stream);
    poll_fn(|cx| Pin::new(stream.get_mut()).poll_read(cx, &mut [0]).map(drop)).await;
    Ok(())
}

#[expect(unsafe_code, reason = "glommio adopts descriptors by number only")]
fn stream_of(fd: OwnedFd) -> TcpStream {
    let fd = fd.into_raw_fd();
    // SAFETY: `fd` was given up in the line above, so the stream is its only owner.
    unsafe { TcpStream::from_raw_fd(fd) }
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

/// A connected socket of this shard.
pub struct UringStream {
    /// `None` once it was closed.
    stream: RefCell<Option<TcpStream>>,
    peer: SocketAddr,
    local: SocketAddr,
}

impl UringStream {
    pub(in crate::io) fn adopt(accepted: UringAccepted) -> io::Result<Self> {
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
            stream: RefCell::new(Some(stream_of(accepted.fd))),
            peer: unmapped(peer),
            local: unmapped(local),
        })
    }

    /// Lends the descriptor to a call that does not wait.
    #[expect(unsafe_code, reason = "glommio's stream gives its descriptor by number only")]
    #[inline]
    fn with_fd<T>(&self, call: impl FnOnce(BorrowedFd<'_>) -> rustix::io::Result<T>) -> io::Result<T> {
        let stream = self.stream.borrow();
        let Some(stream) = &*stream else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        // SAFETY: the stream owns the descriptor, and its borrow outlives the call.
        let fd = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        Ok(call(fd)?)
    }

    #[inline]
    pub(in crate::io) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self.stream.borrow_mut() {
            Some(stream) => Pin::new(stream).poll_read(cx, buffer),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    #[inline]
    pub(in crate::io) fn poll_write(&self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self.stream.borrow_mut() {
            Some(stream) => Pin::new(stream).poll_write(cx, buffer),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    pub(in crate::io) fn close(&self) {
        self.stream.take();
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

/// An IPv4 client of a socket that listens on both families shows its IPv4 address.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
