//! nfnetlink(7), nf_tables: transactions of messages, written down as the kernel wants them.
//!
//! Only what [`crate::rules`] needs is here. There is no kept crate with a free licence that speaks nf_tables without a C
//! library (ARCHITECTURE.md, networking). Numbers are those of linux/netfilter/nf_tables.h and nfnetlink.h; values in
//! attributes are big-endian unless they are a register's contents.

use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const CREATE: u16 = 0x400;
const EXCL: u16 = 0x200;
const APPEND: u16 = 0x800;
const NESTED: u16 = 0x8000;
const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const FAMILY_INET: u8 = 1;

/// The kinds of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Kind {
    NewTable = 0,
    GetTable = 1,
    DelTable = 2,
    NewChain = 3,
    NewRule = 6,
    NewSet = 9,
    NewElement = 12,
    GetElement = 13,
    DelElement = 14,
}

/// A sequence of attributes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds raw bytes.
    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Adds a number.
    pub(crate) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Adds a text, ended by a NUL.
    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Adds attributes as one.
    pub(crate) fn nest(self, kind: u16, inner: &Attributes) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }
}

/// Messages that take effect together or not at all.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    messages: u32,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Appends a message; making what is there already is no error, unless `exclusive`.
    pub(crate) fn push(&mut self, kind: Kind, exclusive: bool, attributes: &Attributes) {
        self.messages += 1;
        let flags = REQUEST
            | ACK
            | match kind {
                Kind::NewRule => CREATE | APPEND,
                Kind::NewTable | Kind::NewChain | Kind::NewSet | Kind::NewElement => CREATE,
                _ => 0,
            }
            | if exclusive { EXCL } else { 0 };
        message(
            &mut self.bytes,
            SUBSYSTEM | kind as u16,
            flags,
            self.messages,
            FAMILY_INET,
            0,
            &attributes.0,
        );
    }
}

/// A socket to nf_tables.
pub(crate) struct Nft(Socket);

impl Nft {
    /// Opens it in the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Nft> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Nft(socket))
    }

    /// Carries out a batch; the first error is returned, and nothing has changed then.
    pub(crate) fn commit(&self, batch: &Batch) -> io::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(batch.bytes.len() + 48);
        message(&mut bytes, BATCH_BEGIN, REQUEST, 0, 0, SUBSYSTEM >> 8, &[]);
        bytes.extend(&batch.bytes);
        message(&mut bytes, BATCH_END, REQUEST, batch.messages + 1, 0, SUBSYSTEM >> 8, &[]);
        self.0.send(&bytes, 0)?;
        let mut first = None;
        let mut answered = 0;
        while answered < batch.messages {
            for answer in self.receive()? {
                if answer.kind != NLMSG_ERROR {
                    continue;
                }
                answered += 1;
                if let Some(e) = answer.error() {
                    // An error of the batch as a whole is the only answer there is.
                    if answer.sequence == 0 {
                        return Err(first.unwrap_or(e));
                    }
                    first.get_or_insert(e);
                }
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Asks one question; the answers' attributes, after the header.
    pub(crate) fn ask(&self, kind: Kind, attributes: &Attributes) -> io::Result<Vec<Vec<u8>>> {
        let mut bytes = Vec::new();
        message(
            &mut bytes,
            SUBSYSTEM | kind as u16,
            REQUEST | ACK,
            1,
            FAMILY_INET,
            0,
            &attributes.0,
        );
        self.0.send(&bytes, 0)?;
        let mut found = Vec::new();
        loop {
            for answer in self.receive()? {
                match answer.kind {
                    NLMSG_ERROR | NLMSG_DONE => return answer.error().map_or(Ok(found), Err),
                    _ => found.push(answer.body.get(4..).unwrap_or_default().to_vec()),
                }
            }
        }
    }

    fn receive(&self) -> io::Result<Vec<Answer>> {
        let (bytes, _) = self.0.recv_from_full()?;
        let mut answers = Vec::new();
        let mut rest = &bytes[..];
        while let Some((head, _)) = rest.split_at_checked(16) {
            let number =
                |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap_or_default());
            let length = usize::try_from(number(0)).unwrap_or(0);
            if length < 16 || length > rest.len() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a netlink message without end",
                ));
            }
            answers.push(Answer {
                kind: u16::from_ne_bytes([head[4], head[5]]),
                sequence: number(8),
                body: rest[16..length].to_vec(),
            });
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(answers)
    }
}

/// A message from the kernel.
struct Answer {
    kind: u16,
    sequence: u32,
    body: Vec<u8>,
}

impl Answer {
    fn error(&self) -> Option<io::Error> {
        let code = self.body.first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        (code != 0).then(|| io::Error::from_raw_os_error(-code))
    }
}

/// The attribute of that kind among others.
pub(crate) fn find(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = attributes;
    while let Some((head, _)) = rest.split_at_checked(4) {
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & !NESTED;
        let value = rest.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

fn message(
    into: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
    body: &[u8],
) {
    let length = u32::try_from(body.len() + 20).unwrap_or(u32::MAX);
    into.extend(length.to_ne_bytes());
    into.extend(kind.to_ne_bytes());
    into.extend(flags.to_ne_bytes());
    into.extend(sequence.to_ne_bytes());
    into.extend([0; 4]);
    into.extend([family, 0]);
    into.extend(resource.to_be_bytes());
    into.extend(body);
    into.resize(into.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_again() {
        let inner = Attributes::new().number(3, 7);
        let all = Attributes::new().text(1, "ab").nest(2, &inner).bytes(4, &[9]);
        assert_eq!(find(&all.0, 1), Some(&b"ab\0"[..]));
        assert_eq!(find(find(&all.0, 2).unwrap(), 3), Some(&[0, 0, 0, 7][..]));
        assert_eq!(find(&all.0, 4), Some(&[9][..]));
        assert_eq!(find(&all.0, 5), None);
        assert_eq!(find(&[1, 0, 0, 0, 0], 1), None, "a length that is too small ends the search");
    }
}
