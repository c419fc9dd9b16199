//! Protected mode: as there are no passwords, only clients on this machine are served, until somebody says otherwise.

use std::net::IpAddr;

use crate::settings::Settings;

/// What a refused client is told: Redis's words, without the ways out that there are not.
pub const DENIED: &[u8] = b"-DENIED Redis is running in protected mode because protected mode is enabled and no password \
    is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to \
    connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected \
    mode sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the \
    same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. 2) \
    If you started the server manually just for testing, restart it with the '--protected-mode no' option. NOTE: You \
    only need to do one of the above things in order for the server to start accepting connections from the outside.\r\n";

/// Whether a client at this address is not to be served.
pub fn refuses(settings: &Settings, client: IpAddr) -> bool {
    settings.protected_mode && !client.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protected_mode_lets_in_who_is_on_this_machine() {
        let settings = |protected_mode| Settings { protected_mode, ..Settings::default() };
        for (client, local) in [
            ("127.0.0.1", true),
            ("127.8.9.10", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.2.2", false),
            ("192.0.2.7", false),
            ("::ffff:192.0.2.7", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
        ] {
            let client: IpAddr = client.parse().unwrap();
            assert_eq!(refuses(&settings(true), client), !local, "{client}");
            assert!(!refuses(&settings(false), client), "{client}");
        }
    }
}
