//! What a service manager has for the store, on the host: a socket that listens (sd_listen_fds(3)), and somebody who
//! waits to hear that the store is ready (sd_notify(3)). systemd is one; others follow its protocol. Nobody else
//! notices.

use mio::net::TcpListener;

/// The socket that the service manager has opened for the store, if it has.
#[cfg(not(target_os = "hermit"))]
pub fn listener() -> Result<Option<TcpListener>, String> {
    let mut handed = listenfd::ListenFd::from_env();
    match handed.len() {
        0 => return Ok(None),
        1 => {}
        more => return Err(format!("the service manager hands over {more} sockets, and the store listens on one")),
    }
    let not_usable = |error| format!("the socket that the service manager hands over is of no use: {error}");
    let Some(listener) = handed.take_tcp_listener(0).map_err(not_usable)? else { return Ok(None) };
    listener.set_nonblocking(true).map_err(not_usable)?;
    Ok(Some(TcpListener::from_std(listener)))
}

/// Tells the service manager that clients are served.
#[cfg(not(target_os = "hermit"))]
pub fn tell_ready() {
    tell(sd_notify::NotifyState::Ready);
}

/// Tells the service manager that the store is shutting down.
#[cfg(not(target_os = "hermit"))]
pub fn tell_stopping() {
    tell(sd_notify::NotifyState::Stopping);
}

#[cfg(not(target_os = "hermit"))]
fn tell(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        crate::log::warn(format_args!("cannot tell the service manager how far the store is: {error}"));
    }
}

/// On the guest there is no service manager.
#[cfg(target_os = "hermit")]
pub fn listener() -> Result<Option<TcpListener>, String> {
    Ok(None)
}

/// As above.
#[cfg(target_os = "hermit")]
pub fn tell_ready() {}

/// As above.
#[cfg(target_os = "hermit")]
pub fn tell_stopping() {}
