//! QEMU's machine protocol: JSON, one message a line, over a socket that QEMU inherits.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// How long QEMU may take for an answer. It answers between two steps of its main loop.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest message that is read; QEMU's are far shorter.
const LONGEST_MESSAGE: u64 = 1 << 20;

/// A connection to QEMU's monitor.
#[derive(Debug)]
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Greets QEMU, which has been given the other end of this socket and may take so long to start.
    pub(crate) fn new(stream: UnixStream, start_patience: Duration) -> Result<Self> {
        stream.set_read_timeout(Some(start_patience))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut qmp = Self { reader: BufReader::new(stream) };
        let greeting = qmp.message().context("QEMU's monitor does not come up")?;
        qmp.reader.get_ref().set_read_timeout(Some(PATIENCE))?;
        if greeting.get("QMP").is_none() {
            bail!("QEMU's monitor does not speak QMP: {greeting}");
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs `command` and returns what it returns. Events that come in between are nobody's business here.
    pub(crate) fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let request = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        self.reader
            .get_mut()
            .write_all(request.as_bytes())
            .with_context(|| format!("cannot send {command} to QEMU"))?;
        loop {
            let mut message = self.message().with_context(|| format!("no answer from QEMU to {command}"))?;
            if let Some(value) = message.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = message.get("error") {
                bail!("QEMU refuses {command}: {}", error["desc"].as_str().unwrap_or("no reason given"));
            }
        }
    }

    /// Runs a command of QEMU's human monitor and returns what it prints.
    pub(crate) fn human(&mut self, command_line: &str) -> Result<String> {
        let printed = self.execute("human-monitor-command", json!({ "command-line": command_line }))?;
        Ok(printed.as_str().unwrap_or_default().to_owned())
    }

    /// Lets QEMU's user network forward a port of its own to `guest_port`, and says which.
    pub(crate) fn user_network_port(&mut self, guest_port: u16) -> Result<SocketAddrV4> {
        let complaint = self.human(&format!("hostfwd_add n0 tcp:127.0.0.1:0-:{guest_port}"))?;
        if !complaint.trim().is_empty() {
            bail!("QEMU cannot forward to port {guest_port}: {}", complaint.trim());
        }
        let usernet = self.human("info usernet")?;
        let port = host_port(&usernet, guest_port)
            .with_context(|| format!("QEMU does not say which port it forwards:\n{usernet}"))?;
        Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
    }

    fn message(&mut self) -> Result<Value> {
        let mut line = String::new();
        if (&mut self.reader).take(LONGEST_MESSAGE).read_line(&mut line)? == 0 {
            bail!("QEMU has closed its monitor");
        }
        serde_json::from_str(&line).with_context(|| format!("QEMU's monitor says no JSON: {line}"))
    }
}

/// The host port of the forwarding to `guest_port` in what the human monitor prints for `info usernet`:
///
/// ```text
/// Hub -1 (n0):
///   Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
///   TCP[HOST_FORWARD]  14       127.0.0.1 41879       10.0.2.15  6379     0     0
/// ```
fn host_port(usernet: &str, guest_port: u16) -> Option<u16> {
    usernet.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields[..] {
            ["TCP[HOST_FORWARD]", _, "127.0.0.1", host, _, guest, ..] if guest.parse() == Ok(guest_port) => {
                host.parse().ok()
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Plays QEMU: sends `script` line by line, each after it has read a request, the first at once.
    fn qemu(script: &'static [&'static str]) -> (UnixStream, thread::JoinHandle<Vec<String>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let player = thread::spawn(move || {
            let mut requests = Vec::new();
            let mut reader = BufReader::new(theirs);
            for (index, lines) in script.iter().enumerate() {
                if index > 0 {
                    let mut request = String::new();
                    reader.read_line(&mut request).unwrap();
                    requests.push(request);
                }
                reader.get_mut().write_all(lines.as_bytes()).unwrap();
            }
            requests
        });
        (ours, player)
    }

    const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n";

    #[test]
    fn a_command_gets_its_answer_past_events() {
        let (stream, player) = qemu(&[
            GREETING,
            "{\"return\": {}}\n",
            "{\"event\": \"RTC_CHANGE\", \"data\": {}}\n{\"return\": \"printed\\r\\n\"}\n",
        ]);
        let mut qmp = Qmp::new(stream, PATIENCE).unwrap();
        assert_eq!(qmp.human("info usernet").unwrap(), "printed\r\n");
        let requests = player.join().unwrap();
        assert!(requests[0].contains("qmp_capabilities"));
        assert!(requests[1].contains("info usernet"));
    }

    #[test]
    fn errors_and_nonsense_are_told() {
        let (stream, _) =
            qemu(&[GREETING, "{\"return\": {}}\n", "{\"error\": {\"class\": \"X\", \"desc\": \"no such thing\"}}\n"]);
        let error = Qmp::new(stream, PATIENCE).unwrap().execute("frob", json!({})).unwrap_err();
        assert!(error.to_string().contains("no such thing"), "{error}");
        let (stream, _) = qemu(&["hello\n"]);
        assert!(format!("{:#}", Qmp::new(stream, PATIENCE).unwrap_err()).contains("no JSON"));
        let (stream, _) = qemu(&[]);
        assert!(format!("{:#}", Qmp::new(stream, PATIENCE).unwrap_err()).contains("closed"));
    }

    #[test]
    fn the_forwarded_port_is_found() {
        let usernet = "Hub -1 (n0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
            UDP[236 sec]       15       10.0.2.15    68   10.0.2.2    67     0     0\r\n  \
            TCP[HOST_FORWARD]  14       127.0.0.1 41879       10.0.2.15  6379     0     0\r\n  \
            TCP[HOST_FORWARD]  16       127.0.0.1 41880       10.0.2.15    80     0     0\r\n";
        assert_eq!(host_port(usernet, 6379), Some(41879));
        assert_eq!(host_port(usernet, 80), Some(41880));
        assert_eq!(host_port(usernet, 81), None);
    }
}
