//! A mail server that receives mails, in the clear: RFC 5321, as far as one client needs it.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Listener;

/// A mail that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// User and password that the client gave, if it gave any.
    pub credentials: Option<(String, String)>,
    /// The sender of the envelope.
    pub from: String,
    /// The recipients of the envelope.
    pub to: Vec<String>,
    /// Headers and text, lines ended by LF.
    pub text: String,
}

impl Mail {
    /// A header of one line, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        let lines = self.text.lines().take_while(|line| !line.is_empty());
        let mut pairs = lines.filter_map(|line| line.split_once(": "));
        pairs
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }
}

#[derive(Debug, Default)]
struct State {
    refusals: VecDeque<String>,
    mails: Vec<Mail>,
}

/// The server. It offers `AUTH PLAIN` and takes every credential.
#[derive(Debug)]
pub struct Receiver {
    state: Arc<Mutex<State>>,
    listener: Listener,
}

impl Receiver {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub fn start() -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        // A peer that goes away has its own reasons.
        let listener = Listener::start(move |stream, _| drop(serve(&stream, &shared)))?;
        Ok(Self { state, listener })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address
    }

    /// Refuses the next mails so, in this order, each at its recipient: `550 no such user`.
    pub fn refuse(&self, replies: impl IntoIterator<Item = &'static str>) {
        let replies = replies.into_iter().map(str::to_owned);
        lock(&self.state).refusals.extend(replies);
    }

    /// Every mail that came, in the order of their arrival.
    pub fn mails(&self) -> Vec<Mail> {
        lock(&self.state).mails.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    let mut say = |reply: &str| write!(writer, "{reply}\r\n");
    let mut mail = Mail {
        credentials: None,
        from: String::new(),
        to: Vec::new(),
        text: String::new(),
    };
    say("220 receiver")?;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let command = line.trim_end();
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => say("250-receiver\r\n250 AUTH PLAIN")?,
            "AUTH" => {
                mail.credentials = plain(rest);
                say("235 welcome")?;
            }
            "MAIL" => {
                mail.from = address(rest);
                say("250 ok")?;
            }
            "RCPT" => {
                let refusal = lock(state).refusals.pop_front();
                if refusal.is_none() {
                    mail.to.push(address(rest));
                }
                say(refusal.as_deref().unwrap_or("250 ok"))?;
            }
            "DATA" => {
                say("354 go on")?;
                mail.text = text(&mut reader)?;
                lock(state).mails.push(mail.clone());
                say("250 taken")?;
            }
            "QUIT" => {
                say("221 bye")?;
                return Ok(());
            }
            _ => say("250 ok")?,
        }
    }
}

/// The lines up to the one dot, stuffed dots taken out.
fn text(reader: &mut impl io::BufRead) -> io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim_end() == "." {
            return Ok(text);
        }
        let line = line.trim_end_matches(['\r', '\n']);
        text.push_str(line.strip_prefix('.').unwrap_or(line));
        text.push('\n');
    }
}

/// `FROM:<a@b> …` as `a@b`.
fn address(rest: &str) -> String {
    let from = rest.split_once('<').map_or("", |(_, rest)| rest);
    from.split('>').next().unwrap_or_default().to_owned()
}

/// `PLAIN base64(NUL user NUL password)` (RFC 4616).
fn plain(rest: &str) -> Option<(String, String)> {
    let bytes = BASE64_STANDARD.decode(rest.strip_prefix("PLAIN ")?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let mut parts = text.split('\0').skip(1);
    Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_comes_with_its_envelope() {
        let receiver = Receiver::start().unwrap();
        receiver.refuse(["450 later"]);
        let stream = TcpStream::connect(receiver.address()).unwrap();
        let mut reader = BufReader::new(&stream);
        let mut talk = |said: &str| {
            if !said.is_empty() {
                write!(&stream, "{said}\r\n").unwrap();
            }
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        assert_eq!(talk(""), "220 receiver");
        talk("AUTH PLAIN AGEAYg==");
        talk("MAIL FROM:<a@x>");
        assert_eq!(talk("RCPT TO:<b@x>"), "450 later");
        assert_eq!(talk("RCPT TO:<c@x>"), "250 ok");
        talk("DATA");
        assert_eq!(talk("Subject: s\r\n\r\n..x\r\n."), "250 taken");
        let mails = receiver.mails();
        let mail = mails.first().unwrap();
        assert_eq!(mail.header("subject"), "s");
        let wanted = Mail {
            credentials: Some(("a".to_owned(), "b".to_owned())),
            from: "a@x".to_owned(),
            to: vec!["c@x".to_owned()],
            text: "Subject: s\n\n.x\n".to_owned(),
        };
        assert_eq!(*mail, wanted);
    }
}
