//! AF_UNIX sockets as the monitor and its clients use them: SOCK_SEQPACKET packets, paths of any length, a descriptor passed over a stream.
//!
//! INVARIANT: every descriptor is close-on-exec; a packet is sent whole or not at all; nothing here blocks unless it says so.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType,
};

/// What sun_path holds besides its terminating NUL.
const PATH_MAX: usize = 107;

/// What came of a receive that does not block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// A packet of this many bytes; `truncated` if it was longer than the buffer and its rest is lost.
    Packet {
        /// Bytes that are in the buffer now.
        len: usize,
        /// The packet did not fit.
        truncated: bool,
    },
    /// Nothing there now.
    WouldBlock,
    /// The other side closed its end, or its half of the connection. (An empty packet looks the same.)
    End,
}

/// One end of a non-blocking SOCK_SEQPACKET connection.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Connects to the socket at `path`, however long that is.
    ///
    /// # Errors
    /// `NotFound`, `ConnectionRefused` where nobody listens, and what else connect(2) says.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        if path.as_os_str().len() <= PATH_MAX {
            rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        } else {
            // sun_path holds 107 bytes; /proc/self/fd/N is short, whatever it names.
            let place = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            rustix::net::connect(&socket, &SocketAddrUnix::new(fd_path(place.as_fd()))?)?;
        }
        // Only now: a full backlog makes a blocking connect wait, and a non-blocking one fail.
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(PacketSocket(socket))
    }

    /// Sends `head` followed by `body` as one packet; `false` if the other side's buffer is full.
    ///
    /// # Errors
    /// `BrokenPipe` and the like: the other side is gone. SIGPIPE is not raised.
    pub fn send(&self, head: &[u8], body: &[u8]) -> io::Result<bool> {
        let parts = [IoSlice::new(head), IoSlice::new(body)];
        let mut control = SendAncillaryBuffer::default();
        loop {
            return match rustix::net::sendmsg(
                &self.0,
                &parts,
                &mut control,
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            ) {
                Ok(_) => Ok(true),
                // ENOBUFS: the kernel is short of socket memory for now; it is a full buffer to us.
                Err(Errno::AGAIN | Errno::NOBUFS) => Ok(false),
                Err(Errno::INTR) => continue,
                Err(e) => Err(e.into()),
            };
        }
    }

    /// Receives one packet into `head` followed by `body`.
    ///
    /// # Errors
    /// `ConnectionReset` where the other side left with our packets unread, and what else recvmsg(2) says.
    pub fn receive(&self, head: &mut [u8], body: &mut [u8]) -> io::Result<Received> {
        let mut parts = [IoSliceMut::new(head), IoSliceMut::new(body)];
        let mut control = RecvAncillaryBuffer::default();
        loop {
            return match rustix::net::recvmsg(
                &self.0,
                &mut parts,
                &mut control,
                RecvFlags::DONTWAIT,
            ) {
                Ok(got) if got.bytes == 0 => Ok(Received::End),
                Ok(got) => Ok(Received::Packet {
                    len: got.bytes,
                    truncated: got.flags.contains(ReturnFlags::TRUNC),
                }),
                Err(Errno::AGAIN) => Ok(Received::WouldBlock),
                Err(Errno::INTR) => continue,
                Err(e) => Err(e.into()),
            };
        }
    }

    /// Sends a packet that shall be the last one for now, beyond what the other side's buffer takes otherwise: the buffer
    /// grows for it, once. `false` if it is full even so.
    ///
    /// # Errors
    /// As for [`PacketSocket::send`].
    pub fn send_beyond(&self, head: &[u8], body: &[u8]) -> io::Result<bool> {
        // The kernel doubles what it is asked for (socket(7), SO_SNDBUF), up to a limit that is no smaller than its default.
        let size = rustix::net::sockopt::socket_send_buffer_size(&self.0)?;
        rustix::net::sockopt::set_socket_send_buffer_size(&self.0, size)?;
        self.send(head, body)
    }

    /// Ends our half: the other side reads the end after what was sent.
    ///
    /// # Errors
    /// `NotConnected` where the other side is gone already.
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.0, Shutdown::Write)?)
    }

    /// Closes so that the other side reads the end and not ECONNRESET.
    ///
    /// A socket closed with packets unread resets its peer, which then may lose what it has not read yet. So: take no
    /// more, then read what is there, then close.
    pub fn close(self) {
        if rustix::net::shutdown(&self.0, Shutdown::Both).is_err() {
            return;
        }
        let mut scrap = [0_u8; 1];
        while let Ok(Received::Packet { .. }) = self.receive(&mut scrap, &mut []) {}
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A connected pair of blocking SOCK_SEQPACKET sockets.
///
/// # Errors
/// What socketpair(2) says.
pub fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// A listening, non-blocking AF_UNIX socket at a path; the path is unlinked on drop.
#[derive(Debug)]
#[must_use = "the socket is unlinked when this is dropped"]
pub struct Listener {
    socket: OwnedFd,
    directory: OwnedFd,
    name: OsString,
    path: PathBuf,
}

impl Listener {
    /// Listens for packets (SOCK_SEQPACKET) at `path`, whose directory must exist. A socket left there by a dead process is replaced.
    ///
    /// # Errors
    /// What open(2) of the directory, bind(2) and listen(2) say.
    pub fn packets(path: &Path, mode: u32) -> io::Result<Self> {
        Self::bind(path, SocketType::SEQPACKET, mode)
    }

    /// Listens for streams (SOCK_STREAM) at `path`, as [`Listener::packets`] does for packets.
    ///
    /// # Errors
    /// As for [`Listener::packets`].
    pub fn stream(path: &Path, mode: u32) -> io::Result<Self> {
        Self::bind(path, SocketType::STREAM, mode)
    }

    /// Receives datagrams (SOCK_DGRAM) at `path`, for [`Listener::receive`].
    ///
    /// # Errors
    /// As for [`Listener::packets`].
    pub fn datagrams(path: &Path, mode: u32) -> io::Result<Self> {
        Self::bind(path, SocketType::DGRAM, mode)
    }

    /// Receives a datagram; how many bytes of it are in `buffer` now (what does not fit is lost), or `None` if none is there.
    ///
    /// # Errors
    /// What recvfrom(2) says.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT)
        }) {
            Ok((len, _)) => Ok(Some(len)),
            Err(Errno::AGAIN) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn bind(path: &Path, kind: SocketType, mode: u32) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_os_string();
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = rustix::fs::open(
            parent,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            kind,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        match rustix::fs::unlinkat(&directory, &name, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(e.into()),
        }
        // Through the directory's descriptor the address is short, however long the path is. The mode is put on the
        // socket before it has a name, so nobody may connect in between.
        rustix::fs::fchmod(&socket, Mode::from_raw_mode(mode))?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(fd_path(directory.as_fd()).join(&name))?)?;
        if kind == SocketType::DGRAM {
            // The umask was applied to the name. There is no harm in an early datagram.
            let flags = rustix::fs::AtFlags::empty();
            rustix::fs::chmodat(&directory, &name, Mode::from_raw_mode(mode), flags)?;
        } else {
            rustix::net::listen(&socket, 128)?;
        }
        Ok(Listener { socket, directory, name, path: path.to_path_buf() })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path of at most 107 bytes by which other processes of this user reach the socket while this process lives.
    #[must_use]
    pub fn short_path(&self) -> PathBuf {
        if self.path.is_absolute() && self.path.as_os_str().len() <= PATH_MAX {
            return self.path.clone();
        }
        let directory = format!("/proc/{}/fd/{}", std::process::id(), self.directory.as_raw_fd());
        Path::new(&directory).join(&self.name)
    }

    /// The next connection as packets, or `None` if nobody waits.
    ///
    /// # Errors
    /// What accept(2) says, `EMFILE` for one.
    pub fn accept(&self) -> io::Result<Option<PacketSocket>> {
        Ok(self.accept_fd(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?.map(PacketSocket))
    }

    /// The next connection as a blocking stream, or `None` if nobody waits.
    ///
    /// # Errors
    /// What accept(2) says.
    pub fn accept_stream(&self) -> io::Result<Option<OwnedFd>> {
        self.accept_fd(SocketFlags::CLOEXEC)
    }

    fn accept_fd(&self, flags: SocketFlags) -> io::Result<Option<OwnedFd>> {
        loop {
            return match rustix::net::accept_with(&self.socket, flags) {
                Ok(fd) => Ok(Some(fd)),
                Err(Errno::AGAIN) => Ok(None),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(e) => Err(e.into()),
            };
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Nothing can be done about a failure: the directory is gone, or not ours any more.
        rustix::fs::unlinkat(&self.directory, &self.name, rustix::fs::AtFlags::empty()).ok();
    }
}

/// Receives one descriptor (SCM_RIGHTS) from a stream socket; blocks until a message is there. `None` at the end of the stream.
///
/// # Errors
/// `InvalidData` for a message without a descriptor, and what recvmsg(2) says.
pub fn receive_fd(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let mut name = [0_u8; 4096];
    // Room for a few: what else came is closed with the buffer.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        match rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut name)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(Some(fd));
        }
    }
    if got.bytes == 0 { Ok(None) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Sends one descriptor with `name` as the message (at least one byte goes with it).
///
/// # Errors
/// What connect(2) and sendmsg(2) say.
pub fn send_fd(path: &Path, name: &OsStr, fd: BorrowedFd<'_>) -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    if !control.push(rustix::net::SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let bytes = if name.is_empty() { b"\0" } else { name.as_bytes() };
    rustix::net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// One end of a non-blocking SOCK_DGRAM connection, for sending.
#[derive(Debug)]
pub struct DatagramSocket(OwnedFd);

impl DatagramSocket {
    /// Connects to the socket at `path` (of at most 107 bytes); a path that begins with `@` is a name in the abstract namespace.
    ///
    /// # Errors
    /// `NotFound`, `ConnectionRefused` where nobody has it open, and what else connect(2) says.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        let address = match path.as_os_str().as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
            _ => SocketAddrUnix::new(path)?,
        };
        rustix::net::connect(&socket, &address)?;
        Ok(DatagramSocket(socket))
    }

    /// Sends a datagram; `false` if the other side's queue is full. One that is larger than a datagram may be goes as a
    /// sealed memfd: the descriptor alone, in an empty datagram (what systemd's journal and service manager take).
    ///
    /// # Errors
    /// `ConnectionRefused`: the other side is gone; what sendmsg(2) and memfd_create(2) say.
    pub fn send(&self, bytes: &[u8]) -> io::Result<bool> {
        match self.send_with(bytes, &mut SendAncillaryBuffer::default()) {
            Err(Errno::MSGSIZE) => self.send_sealed(bytes),
            other => sent(other),
        }
    }

    fn send_sealed(&self, bytes: &[u8]) -> io::Result<bool> {
        use rustix::fs::{MemfdFlags, SealFlags};
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = std::fs::File::from(rustix::fs::memfd_create("datagram", flags)?);
        io::Write::write_all(&mut file, bytes)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        let fds = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(rustix::net::SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        sent(self.send_with(&[], &mut control))
    }

    fn send_with(
        &self,
        bytes: &[u8],
        control: &mut SendAncillaryBuffer<'_, '_, '_>,
    ) -> Result<usize, Errno> {
        rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], control, SendFlags::NOSIGNAL)
        })
    }
}

fn sent(result: Result<usize, Errno>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN | Errno::NOBUFS) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn fd_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_travel_over_a_path_longer_than_sun_path() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("x".repeat(200)).join("y".repeat(200));
        std::fs::create_dir_all(&deep).unwrap();
        let path = deep.join("attach");
        let listener = Listener::packets(&path, 0o700).unwrap();
        assert!(listener.accept().unwrap().is_none());
        let client = PacketSocket::connect(&path).unwrap();
        let server = listener.accept().unwrap().unwrap();
        assert!(server.send(&[2], b"hello").unwrap());
        let (mut head, mut body) = ([0], [0; 16]);
        assert_eq!(
            client.receive(&mut head, &mut body).unwrap(),
            Received::Packet { len: 6, truncated: false }
        );
        assert_eq!((head[0], &body[..5]), (2, &b"hello"[..]));
        assert_eq!(client.receive(&mut head, &mut body).unwrap(), Received::WouldBlock);
        server.close();
        assert_eq!(client.receive(&mut head, &mut body).unwrap(), Received::End);
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn closing_with_unread_input_does_not_reset_the_peer() {
        let root = tempfile::tempdir().unwrap();
        let listener = Listener::packets(&root.path().join("s"), 0o700).unwrap();
        let client = PacketSocket::connect(listener.path()).unwrap();
        let server = listener.accept().unwrap().unwrap();
        assert!(client.send(b"", b"input nobody reads").unwrap());
        assert!(server.send(&[2], b"last words").unwrap());
        server.close();
        let (mut head, mut body) = ([0], [0; 4]);
        assert_eq!(
            client.receive(&mut head, &mut body).unwrap(),
            Received::Packet { len: 5, truncated: true }
        );
        assert_eq!(client.receive(&mut head, &mut body).unwrap(), Received::End);
    }

    #[test]
    fn a_full_peer_is_not_an_error() {
        let root = tempfile::tempdir().unwrap();
        let listener = Listener::packets(&root.path().join("s"), 0o700).unwrap();
        let _client = PacketSocket::connect(listener.path()).unwrap();
        let server = listener.accept().unwrap().unwrap();
        let block = [0; 8192];
        let sent = (0..10_000).take_while(|_| server.send(&[2], &block).unwrap()).count();
        assert!(sent > 0 && sent < 10_000);
    }

    #[test]
    fn a_stale_socket_is_replaced_and_its_mode_is_set() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("s");
        std::fs::File::create(&path).unwrap();
        let _listener = Listener::packets(&path, 0o700).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn datagrams_are_received_whatever_the_umask() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("notify");
        let listener = Listener::datagrams(&path, 0o777).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o777);
        let mut buffer = [0; 8];
        assert_eq!(listener.receive(&mut buffer).unwrap(), None);
        DatagramSocket::connect(&path).unwrap().send(b"READY=1").unwrap();
        assert_eq!(listener.receive(&mut buffer).unwrap(), Some(7));
        assert_eq!(&buffer[..7], b"READY=1");
    }

    #[test]
    fn datagrams_of_any_size_arrive_and_a_full_queue_is_no_error() {
        use std::io::{Read as _, Seek as _};
        use std::os::unix::net::UnixDatagram;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("log");
        assert_eq!(DatagramSocket::connect(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = UnixDatagram::bind(&path).unwrap();
        let socket = DatagramSocket::connect(&path).unwrap();
        let mut buffer = [0; 64];
        assert!(socket.send(b"small").unwrap());
        assert_eq!(listener.recv(&mut buffer).unwrap(), 5);
        let large = vec![b'x'; 4 << 20];
        assert!(socket.send(&large).unwrap());
        let passed = receive_fd(listener.as_fd()).unwrap().unwrap();
        let mut file = std::fs::File::from(passed);
        file.rewind().unwrap();
        let mut got = Vec::new();
        file.read_to_end(&mut got).unwrap();
        assert!(got == large);
        assert!(io::Write::write(&mut file, b"x").is_err(), "it is sealed");
        while socket.send(b"x").unwrap() {}
        drop(listener);
        assert!(socket.send(b"x").is_err());
    }

    #[test]
    fn a_descriptor_is_passed() {
        let root = tempfile::tempdir().unwrap();
        let listener = Listener::stream(&root.path().join("console"), 0o700).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        send_fd(&listener.short_path(), OsStr::new("/dev/ptmx"), reader.as_fd()).unwrap();
        let stream = listener.accept_stream().unwrap().unwrap();
        let passed = receive_fd(stream.as_fd()).unwrap().unwrap();
        drop(writer);
        assert_eq!(rustix::io::read(&passed, &mut [0_u8; 1]).unwrap(), 0);
        assert!(receive_fd(stream.as_fd()).unwrap().is_none());
    }
}
