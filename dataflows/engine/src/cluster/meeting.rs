//! How the processes meet: each connects to those before it and waits for those after it.

use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::thread::sleep;
use std::time::Duration;

use super::frames::{MOST, receive, receive_bytes, send};
use super::greeting::{Answer, Greeting, Purpose, Refusal, Run};
use super::{ClusterConfig, ClusterError, Identity, Link};

/// Between two looks at who has come.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS_PER_SECOND: u32 = 50;
/// Between two attempts to connect, and how long one may take.
const RETRY: Duration = Duration::from_millis(100);
const RETRIES_PER_SECOND: u32 = 10;
const ATTEMPT: Duration = Duration::from_secs(2);
/// Seconds that somebody has for a greeting.
const GREETING_SECONDS: u32 = 5;

/// The connections of a process, all greeted.
pub(crate) struct Met {
    /// For timely: one to each other process, `None` at the own place.
    pub(crate) links: Vec<Option<Link>>,
    /// Of process 0: one to each other; of another: the one to process 0.
    pub(crate) control: Vec<(usize, TcpStream)>,
}

/// Meets all other processes.
pub(crate) fn meet(config: &ClusterConfig, identity: &Identity) -> Result<Met, ClusterError> {
    config.check()?;
    let mut meeting = Meeting::new(config, identity)?;
    if config.index == 0 {
        meeting.run = eddyline_connect::random::bytes();
    } else {
        meeting.connect_to_all_before()?;
    }
    meeting.accept_all_after()?;
    Ok(meeting.met())
}

struct Meeting<'a> {
    config: &'a ClusterConfig,
    identity: &'a Identity,
    /// `None` for the last process, whom nobody connects to.
    listener: Option<TcpListener>,
    run: Run,
    data: Vec<Option<TcpStream>>,
    control: Vec<Option<TcpStream>>,
}

impl<'a> Meeting<'a> {
    fn new(config: &'a ClusterConfig, identity: &'a Identity) -> Result<Self, ClusterError> {
        let processes = config.processes();
        let is_last = config.index + 1 == processes;
        Ok(Self {
            config,
            identity,
            listener: if is_last { None } else { Some(listen(&config.hosts[config.index])?) },
            run: Run::default(),
            data: (0..processes).map(|_| None).collect(),
            control: (0..processes).map(|_| None).collect(),
        })
    }

    fn connect_to_all_before(&mut self) -> Result<(), ClusterError> {
        let (control, run) = self.connect(0, (Purpose::Control, None))?;
        self.control[0] = Some(control);
        self.run = run;
        for index in 0..self.config.index {
            self.data[index] = Some(self.connect(index, (Purpose::Data, Some(run)))?.0);
        }
        Ok(())
    }

    /// Connects to a process, as soon as it is there.
    fn connect(
        &self,
        to: usize,
        (purpose, run): (Purpose, Option<Run>),
    ) -> Result<(TcpStream, Run), ClusterError> {
        let address = &self.config.hosts[to];
        let seconds = self.config.patience.meeting_seconds;
        let greeting = Greeting::new(self.identity, self.config.index, (purpose, run));
        let mut last = String::new();
        for _ in 0..seconds.saturating_mul(RETRIES_PER_SECOND) {
            match greet(address, &greeting, seconds) {
                Ok((stream, Answer::Welcome(run))) => return Ok((stream, run)),
                Ok((_, Answer::Refused(reason))) => {
                    return Err(ClusterError::Refused { address: address.clone(), reason });
                }
                Err(error) => last = error.to_string(),
            }
            sleep(RETRY);
        }
        Err(ClusterError::Unavailable(format!(
            "process {to} ({address}) did not answer within {seconds} s: {last}"
        )))
    }

    fn accept_all_after(&mut self) -> Result<(), ClusterError> {
        let Some(listener) = self.listener.take() else { return Ok(()) };
        let seconds = self.config.patience.meeting_seconds;
        let mut turned_away = String::new();
        let mut looks = 0;
        while let Some(missing) = self.missing() {
            match listener.accept() {
                Ok((stream, _)) => match self.receive(stream) {
                    Ok(()) => {}
                    Err(Refusal::Stranger(reason)) => {
                        tracing::warn!(reason, "turned away who wanted to take part");
                        turned_away = format!("; somebody was turned away: {reason}");
                    }
                    Err(Refusal::Unfit(index, reason)) => {
                        return Err(ClusterError::Unfit { index, reason });
                    }
                },
                Err(_) if looks < seconds.saturating_mul(LOOKS_PER_SECOND) => {
                    looks += 1;
                    sleep(LOOK);
                }
                Err(_) => {
                    let address = &self.config.hosts[missing];
                    return Err(ClusterError::Unavailable(format!(
                        "process {missing} ({address}) did not join within {seconds} s{turned_away}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// The first process that has yet to come.
    fn missing(&self) -> Option<usize> {
        let leads = self.config.index == 0;
        let is_missing =
            |&at: &usize| self.data[at].is_none() || leads && self.control[at].is_none();
        (self.config.index + 1..self.config.processes()).find(is_missing)
    }

    /// Greets who has connected. Of two that come as the same process the later one stays: the
    /// earlier one has crashed and was started again.
    fn receive(&mut self, stream: TcpStream) -> Result<(), Refusal> {
        let unread = |error: io::Error| Refusal::Stranger(format!("it did not greet: {error}"));
        let bytes = prepared(&stream)
            .and_then(|()| receive_bytes(&stream, GREETING_SECONDS, MOST))
            .map_err(unread)?;
        let checked = Greeting::read(&bytes).and_then(|greeting| {
            greeting.check(self.identity, self.config.index, self.run).map(|()| greeting)
        });
        let answer = match &checked {
            Ok(_) => Answer::Welcome(self.run),
            Err(refusal) => Answer::Refused(refusal.reason().to_owned()),
        };
        let answered = send(&stream, &answer).map_err(unread);
        let greeting = checked?;
        answered?;
        let list = match greeting.purpose {
            Purpose::Data => &mut self.data,
            Purpose::Control => &mut self.control,
        };
        list[greeting.index] = Some(stream);
        Ok(())
    }

    fn met(self) -> Met {
        let hosts = &self.config.hosts;
        let link = |(index, stream): (usize, Option<TcpStream>)| {
            stream.map(|stream| Link::new(stream, index, hosts[index].clone()))
        };
        for stream in self.data.iter().flatten() {
            // Timely waits for as long as it takes; silence is noticed on the control connection.
            let _ = stream.set_read_timeout(None);
        }
        let control = self.control.into_iter().enumerate();
        Met {
            links: self.data.into_iter().enumerate().map(link).collect(),
            control: control.filter_map(|(index, stream)| Some((index, stream?))).collect(),
        }
    }
}

fn listen(address: &str) -> Result<TcpListener, ClusterError> {
    let failed = |source| ClusterError::Listen { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    if !bound.ip().is_loopback() {
        tracing::warn!(%bound, "other machines can reach the dataflow, which checks no one's identity");
    }
    Ok(listener)
}

fn greet(address: &str, greeting: &Greeting, seconds: u32) -> io::Result<(TcpStream, Answer)> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for resolved in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&resolved, ATTEMPT) {
            Ok(stream) => {
                prepared(&stream)?;
                send(&stream, greeting)?;
                let answer = receive(&stream, seconds)?;
                return Ok((stream, answer));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn prepared(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)
}
