//! The servers that are compared: what a session has to know of each, and how long processors work for one.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::computer::Computer;
use crate::processor_time::{exact_processor_time, processor_times};
use crate::resp::Client;

/// The least processor time of which the kernel's share is said: twenty of the steps that Linux tells it in.
const LEAST_TO_DIVIDE: Duration = Duration::from_millis(200);

/// A server that takes part: it can be started.
pub trait Contender: fmt::Debug {
    /// What it is called.
    fn name(&self) -> &str;

    /// How it is started, as a person would type it.
    fn command(&self) -> String;

    /// Starts it with its files in `directory`, which is there, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    fn start(&self, directory: &Path, computer: &Computer) -> Result<Box<dyn Server>>;
}

/// A server that runs. It ends with this.
pub trait Server {
    /// Where clients connect.
    fn address(&self) -> SocketAddr;

    /// The process that serves: its number for Linux.
    fn process(&self) -> u32;

    /// Lets it do nothing until it is resumed. One that does nothing unless it is asked needs not be paused.
    ///
    /// # Errors
    /// When it has ended.
    fn pause(&mut self) -> Result<()> {
        Ok(())
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it has ended.
    fn resume(&mut self) -> Result<()> {
        Ok(())
    }

    /// What it has told of itself that figures depend on: names and values.
    fn told(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Waits until a server answers there. Meanwhile `look` says whether it still may.
///
/// # Errors
/// When it does not for so long, or what `look` says.
pub fn wait_for_answer(address: SocketAddr, patience: Duration, mut look: impl FnMut() -> Result<()>) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        look()?;
        match Client::connect(address, patience).and_then(|mut client| client.ping()) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error.context("it does not answer")),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// How long processors have worked for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// All, to the nanosecond.
    pub exact: Duration,
    /// In its own code, and in the kernel's: to hundredths of a second.
    own: Duration,
    kernel: Duration,
}

impl Used {
    /// By this process until now.
    ///
    /// # Errors
    /// When it has ended.
    pub fn by(process: u32) -> Result<Self> {
        let exact = exact_processor_time(process).context("a server has ended")?;
        let [own, kernel] = processor_times(process).context("a server has ended")?;
        Ok(Self { exact, own, kernel })
    }

    /// Since what it was before. The time of threads that have ended meanwhile is not in it.
    pub fn since(self, before: Self) -> Self {
        let since = |of: fn(&Self) -> Duration| of(&self).saturating_sub(of(&before));
        Self { exact: since(|it| it.exact), own: since(|it| it.own), kernel: since(|it| it.kernel) }
    }

    /// The kernel's share as a part of one; nothing if that is known too coarsely.
    pub fn kernel_share(self) -> Option<f64> {
        let all = self.own + self.kernel;
        (all >= LEAST_TO_DIVIDE).then(|| self.kernel.as_secs_f64() / all.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use anyhow::bail;

    use super::*;

    #[test]
    fn an_answer_is_waited_for_as_long_as_it_may_come() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            // The first client is sent away, as by a server that is not ready yet.
            for answer in ["", "+PONG\r\n"] {
                let (mut client, _) = listener.accept().unwrap();
                client.write_all(answer.as_bytes()).unwrap();
                let _ = client.read(&mut [0; 64]);
            }
        });
        let mut looks = 0;
        let look = || {
            looks += 1;
            Ok(())
        };
        wait_for_answer(address, Duration::from_secs(60), look).unwrap();
        assert_eq!(looks, 2);
        server.join().unwrap();
        let error = wait_for_answer(address, Duration::from_secs(60), || bail!("it has ended")).unwrap_err();
        assert_eq!(error.to_string(), "it has ended");
        let error = wait_for_answer(address, Duration::ZERO, || Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "it does not answer");
    }

    #[test]
    fn the_kernels_share_is_of_what_was_used_since() {
        let used = |exact, own, kernel| {
            let [exact, own, kernel] = [exact, own, kernel].map(Duration::from_millis);
            Used { exact, own, kernel }
        };
        let since = used(1234, 300, 900).since(used(34, 0, 0));
        assert_eq!((since.exact, since.kernel_share()), (Duration::from_millis(1200), Some(0.75)));
        assert_eq!(used(190, 100, 90).since(used(0, 0, 0)).kernel_share(), None);
    }
}
