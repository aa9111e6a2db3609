//! The socket between the worker and a host, along which descriptors travel too.

use std::fs::File;
use std::io::{self, IoSlice, PipeWriter};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Interest};
use tokio::net::unix::pipe;
use tokio::net::{UnixListener, UnixStream};

use crate::protocol::{Load, Loaded, Order, Outcome, StepOrder, Used, line};

/// The longest line from a host: the largest result and what is around it.
const LINE_MAX: u64 = 17 * 1024 * 1024;

/// The most descriptors that one order carries.
const DESCRIPTORS_MAX: usize = 3;

/// How often a host that is about to answer is looked at before anybody sleeps: some 150 µs.
const LOOKS: u32 = 60;

/// The host is gone, or says what nobody understands.
#[derive(Debug, thiserror::Error)]
#[error("the process that runs the code was lost")]
pub struct HostLost(#[source] pub(crate) Option<io::Error>);

impl From<io::Error> for HostLost {
    fn from(error: io::Error) -> Self {
        Self(Some(error))
    }
}

impl From<serde_json::Error> for HostLost {
    fn from(error: serde_json::Error) -> Self {
        Self(Some(error.into()))
    }
}

/// A socket that one host will connect to. Its file goes when this does.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`, whose folder must be closed to others.
    pub fn bind(path: PathBuf) -> io::Result<Self> {
        let missing = || io::Error::other("a socket's path has a folder and a name");
        let folder = File::open(path.parent().ok_or_else(missing)?)?;
        let name = path.file_name().ok_or_else(missing)?;
        // A socket's path has about a hundred bytes; this one is always short.
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        let socket = UnixListener::bind(short)?;
        Ok(Self { socket, path })
    }

    /// Where the host is to connect to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the host.
    pub async fn accept(self) -> io::Result<Channel> {
        let (stream, _) = self.socket.accept().await?;
        Ok(Channel { stream: BufReader::new(stream) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may never have been made.
        std::fs::remove_file(&self.path).ok();
    }
}

/// The ends of the pipes that a host or a fork writes its output to.
#[derive(Debug)]
pub struct Outputs {
    /// Its standard output.
    pub out: pipe::Receiver,
    /// Its standard error.
    pub err: pipe::Receiver,
}

impl Outputs {
    /// Two pipes, and the ends that are given away.
    pub(crate) fn new() -> io::Result<(Self, PipeWriter, PipeWriter)> {
        let (out, out_given) = io::pipe()?;
        let (err, err_given) = io::pipe()?;
        let out = pipe::Receiver::from_owned_fd(OwnedFd::from(out))?;
        let err = pipe::Receiver::from_owned_fd(OwnedFd::from(err))?;
        Ok((Self { out, err }, out_given, err_given))
    }
}

/// What came of a step in a host that runs one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// What the host said of it.
    pub outcome: Outcome,
    /// The processor time of the step, with that of the processes that it has waited for, in
    /// microseconds.
    pub cpu_micros: u64,
    /// The same of the process since its start.
    pub all_micros: u64,
}

/// When a host is expected to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Before one that slept would be awake, as it did the last time.
    Soon,
    /// Later, or nobody knows.
    Later,
}

/// What a process has still to be told of the step that it was handed.
///
/// A process reads its order while the step's start is on its way to the control plane, and does
/// nothing of the step before it was told to begin.
#[derive(Debug)]
#[must_use = "the process waits until it is told to begin"]
pub struct Handed {
    rest: Vec<u8>,
}

impl Handed {
    /// Sends as much of `order`, a line, as there is room for.
    pub(crate) fn to(stream: &UnixStream, mut order: Vec<u8>) -> Self {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        // A process that is gone shows when it is told to begin.
        let sent = rustix::net::send(stream, &order, flags).unwrap_or(0);
        order.drain(..sent.min(order.len()));
        Self { rest: order }
    }

    /// Sends the rest, and the empty line that has the process begin.
    pub(crate) async fn begin(mut self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        self.rest.push(b'\n');
        to.write_all(&self.rest).await
    }
}

/// The worker's end of the socket to a host.
#[derive(Debug)]
pub struct Channel {
    stream: BufReader<UnixStream>,
}

impl Channel {
    /// Tells the host what to load; what its imports print comes through the outputs.
    ///
    /// One that forks closes its ends when it is ready, and gives each fork outputs of its own.
    pub async fn load(&mut self, load: &Load) -> Result<Outputs, HostLost> {
        let (outputs, out, err) = Outputs::new()?;
        self.send(&Order::Load(load), &[out.as_fd(), err.as_fd()]).await?;
        Ok(outputs)
    }

    /// Waits until the host has loaded the code.
    pub async fn loaded(&mut self) -> Result<Loaded, HostLost> {
        let line = read_line(&mut self.stream).await?;
        Ok(serde_json::from_slice(&line)?)
    }

    /// Gives the host a step that it is to begin when [`Channel::run`] says so, without waiting.
    pub fn hand(&mut self, order: &StepOrder<'_>) -> Result<Handed, HostLost> {
        Ok(Handed::to(self.stream.get_ref(), line(&Order::Run(order))?))
    }

    /// Has the host begin the step that it was handed and waits for what comes of it: for the first
    /// moment without sleeping, if that is `expected` soon. A future that was dropped leaves the
    /// host in the middle of it: such a host is of no use any more.
    pub async fn run(&mut self, handed: Handed, expected: Expected) -> Result<Turn, HostLost> {
        handed.begin(&mut self.stream).await?;
        if expected == Expected::Soon {
            self.look().await;
        }
        let outcome = Outcome::read(&read_line(&mut self.stream).await?);
        let used = serde_json::from_slice(&read_line(&mut self.stream).await?)?;
        let Used { used_micros: cpu_micros, all_micros } = used;
        Ok(Turn { outcome, cpu_micros, all_micros })
    }

    /// Waits a moment for the host to say something, while other tasks go first: to be woken takes
    /// as long as a short step does.
    async fn look(&self) {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        for _ in 0..LOOKS {
            if rustix::net::recv(self.stream.get_ref(), &mut [0], flags) != Err(Errno::AGAIN) {
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Sends a short order with descriptors.
    pub(crate) async fn send(
        &self,
        order: &Order<'_>,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), HostLost> {
        let line = line(order)?;
        let stream = self.stream.get_ref();
        loop {
            match stream.try_io(Interest::WRITABLE, || send(stream, &line, descriptors)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    stream.writable().await?;
                }
                result => return Ok(result?),
            }
        }
    }

    /// Sends a short order if that is possible at once.
    pub(crate) fn send_now(&self, order: &Order<'_>) -> io::Result<()> {
        send(self.stream.get_ref(), &line(order)?, &[])
    }
}

/// One call of the system, so that orders of several senders never mix.
fn send(stream: &UnixStream, line: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("an order has too many descriptors"));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = rustix::net::sendmsg(stream, &[IoSlice::new(line)], &mut control, flags)?;
    if sent == line.len() { Ok(()) } else { Err(io::Error::other("an order was cut short")) }
}

/// Reads a line; an end of the stream before it means that the host is gone.
pub(crate) async fn read_line(
    stream: &mut (impl AsyncBufReadExt + Unpin),
) -> Result<Vec<u8>, HostLost> {
    let mut line = Vec::new();
    stream.take(LINE_MAX).read_until(b'\n', &mut line).await?;
    if line.last() == Some(&b'\n') { Ok(line) } else { Err(HostLost(None)) }
}
