//! The programs under `apps/`: which there are, and how each wants to be run.
//!
//! A program says the little that its host has to know before it runs in its own `Cargo.toml`; all of it may be left
//! out:
//!
//! ```toml
//! [package.metadata.holdfast]
//! port = 6379                                # the port on this machine for clients; a free one if left out
//! client = "redis-cli[ -h {host}] -p {port}" # what a person types; what is in brackets only from elsewhere
//! probe = "PING\r\n"                         # bytes that it answers, with anything
//! pmem = "1G"                                # the size of its NVDIMM's image; without it there is no NVDIMM
//! image = "pmem0.img"                        # the image's name under var/; the program's own if left out
//! ```
//!
//! The port *in the guest* it says at run time, when it is ready: see [`crate::run`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::cargo::{TEST_PROGRAMS, metadata};
use crate::{size, workspace};

/// The program that `run` runs when none is named.
pub const DEFAULT: &str = "kvstore";

/// A program under `apps/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct App {
    /// The name of its package and of its binary.
    pub name: String,
    /// The port on this machine that its clients connect to; 0 takes a free one.
    pub port: u16,
    /// What a person types to reach it, as a template.
    client: Option<String>,
    /// What is sent to it to see that it answers; nothing if it is not to be asked.
    pub probe: Vec<u8>,
    /// The NVDIMM that it wants.
    pub pmem: Option<Pmem>,
}

/// The image behind a program's NVDIMM, when the command line names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pmem {
    /// The file's name under `var/`.
    pub image: String,
    /// Its size in bytes, when it is created.
    pub size: u64,
}

/// The programs of this workspace, in the order of their names.
///
/// # Errors
/// When cargo cannot read the workspace, or a program says something of itself that is not understood.
pub fn all() -> Result<Vec<App>> {
    let metadata = metadata()?;
    let directory = workspace::apps_directory();
    let mut apps = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let (Some(name), Some(manifest)) = (package["name"].as_str(), package["manifest_path"].as_str()) else {
            continue;
        };
        if std::path::Path::new(manifest).starts_with(&directory) {
            let app = App::read(name, &package["metadata"]["holdfast"])
                .with_context(|| format!("in [package.metadata.holdfast] of {manifest}"))?;
            apps.insert(app.name.clone(), app);
        }
    }
    Ok(apps.into_values().collect())
}

/// The packages whose binaries are guest images.
///
/// # Errors
/// As [`all`].
pub(crate) fn image_packages() -> Result<Vec<String>> {
    let programs = all()?.into_iter().map(|app| app.name);
    Ok(programs.chain([TEST_PROGRAMS.to_owned()]).collect())
}

/// The packages of this workspace that link libos, and libos.
///
/// # Errors
/// When cargo cannot read the workspace.
pub fn guest_packages() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let names = packages.filter(|package| {
        let mut dependencies = package["dependencies"].as_array().into_iter().flatten();
        package["name"] == "libos" || dependencies.any(|dependency| dependency["name"] == "libos")
    });
    Ok(names.filter_map(|package| package["name"].as_str().map(str::to_owned)).collect())
}

/// Those of these packages whose libraries can have doc tests.
///
/// # Errors
/// When cargo cannot read the workspace.
pub fn with_doc_tests(packages: &[&str]) -> Result<Vec<String>> {
    let metadata = metadata()?;
    let all = metadata["packages"].as_array().into_iter().flatten();
    let found = all.filter(|package| {
        let mut targets = package["targets"].as_array().into_iter().flatten();
        packages.iter().any(|name| package["name"] == *name) && targets.any(|target| target["doctest"] == true)
    });
    Ok(found.filter_map(|package| package["name"].as_str().map(str::to_owned)).collect())
}

/// The program of this name.
///
/// # Errors
/// As [`all`], or when there is none; the message lists those that there are.
pub fn find(name: &str) -> Result<App> {
    let apps = all()?;
    let names: Vec<String> = apps.iter().map(|app| app.name.clone()).collect();
    apps.into_iter().find(|app| app.name == name).ok_or_else(|| {
        anyhow!(
            "there is no program `{name}` under apps/; there are: {} (`cargo xtask new` makes one)",
            names.join(", ")
        )
    })
}

impl App {
    /// Reads what a package says of itself; `Null` says nothing.
    fn read(name: &str, said: &Value) -> Result<Self> {
        let mut app = Self { name: name.to_owned(), ..Self::default() };
        let mut image = format!("{name}.img");
        let entries = match said {
            Value::Null => return Ok(app),
            Value::Object(entries) => entries,
            _ => bail!("it is no table"),
        };
        let mut pmem = None;
        for (key, value) in entries {
            let text = || value.as_str().with_context(|| format!("`{key}` is no string"));
            match key.as_str() {
                "port" => {
                    let port = value.as_u64().and_then(|port| u16::try_from(port).ok());
                    app.port = port.context("`port` is no port number, 0 to 65535")?;
                }
                "client" => app.client = Some(text()?.to_owned()),
                "probe" => app.probe = text()?.as_bytes().to_vec(),
                "pmem" => pmem = Some(size::parse(text()?).map_err(|error| anyhow!("`pmem`: {error}"))?),
                "image" => {
                    text()?.clone_into(&mut image);
                    if image.is_empty() || image.starts_with('.') || image.contains('/') {
                        bail!("`image` is `{image}`, which is no plain name of a file");
                    }
                }
                _ => bail!("`{key}` means nothing; there are: port, client, probe, pmem, image"),
            }
        }
        app.pmem = pmem.map(|size| Pmem { image, size });
        Ok(app)
    }

    /// What a person on this machine types to reach the program at `address`.
    pub fn client(&self, address: SocketAddr) -> String {
        let reached = reachable(address);
        let near = reached.ip().is_loopback() && reached.is_ipv4();
        let mut text = self.client.clone().unwrap_or_else(|| "connect to {address}".to_owned());
        while let Some((before, (optional, after))) =
            text.split_once('[').and_then(|(before, rest)| Some((before, rest.split_once(']')?)))
        {
            text = format!("{before}{}{after}", if near { "" } else { optional });
        }
        // The address last: one of IPv6 has brackets of its own.
        text.replace("{host}", &reached.ip().to_string())
            .replace("{port}", &reached.port().to_string())
            .replace("{address}", &reached.to_string())
    }

    /// The first word of what a person types to reach it: a program that the person needs.
    pub fn client_program(&self) -> Option<&str> {
        self.client.as_deref()?.split(|character: char| character.is_whitespace() || character == '[').next()
    }
}

/// `address` as a client on this machine connects to it: one that stands for all becomes the loopback's.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn client(template: &str, address: &str) -> String {
        App::read("app", &json!({ "client": template })).unwrap().client(address.parse().unwrap())
    }

    #[test]
    fn a_program_may_say_nothing_of_itself() {
        let app = App::read("app", &Value::Null).unwrap();
        assert_eq!((app.port, &app.probe, &app.pmem), (0, &Vec::new(), &None));
        assert_eq!(app.client("127.0.0.1:7".parse().unwrap()), "connect to 127.0.0.1:7");
    }

    #[test]
    fn what_it_says_is_read() {
        let said = json!({ "port": 7, "client": "nc {host} {port}", "probe": "a\r\n", "pmem": "64M" });
        let app = App::read("app", &said).unwrap();
        assert_eq!((app.port, &app.probe[..]), (7, &b"a\r\n"[..]));
        assert_eq!(app.pmem, Some(Pmem { image: "app.img".into(), size: 64 << 20 }));
        assert_eq!(app.client_program(), Some("nc"));
        let app = App::read("app", &json!({ "pmem": "64M", "image": "other.img" })).unwrap();
        assert_eq!(app.pmem.unwrap().image, "other.img");
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_names_it() {
        for (said, word) in [
            (json!([]), "no table"),
            (json!({ "prot": 7 }), "`prot`"),
            (json!({ "port": 65536 }), "`port`"),
            (json!({ "client": 1 }), "`client`"),
            (json!({ "pmem": "lots" }), "`pmem`"),
            (json!({ "image": "../x" }), "`../x`"),
        ] {
            let error = App::read("app", &said).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_hint_fits_the_address() {
        let redis = "redis-cli[ -h {host}] -p {port}";
        assert_eq!(client(redis, "127.0.0.1:6379"), "redis-cli -p 6379");
        assert_eq!(client(redis, "0.0.0.0:7000"), "redis-cli -p 7000");
        assert_eq!(client(redis, "192.0.2.7:6379"), "redis-cli -h 192.0.2.7 -p 6379");
        assert_eq!(client(redis, "[::1]:6379"), "redis-cli -h ::1 -p 6379");
        assert_eq!(client("curl http://{address}/", "[::]:80"), "curl http://[::1]:80/");
        assert_eq!(client("odd ]{port}[", "127.0.0.1:1"), "odd ]1[");
    }

    #[test]
    fn the_programs_of_this_workspace_are_found() {
        let kvstore = find(DEFAULT).unwrap();
        assert_eq!((kvstore.port, kvstore.client_program()), (6379, Some("redis-cli")));
        let error = find("nonesuch").unwrap_err().to_string();
        assert!(error.contains("`nonesuch`") && error.contains("hello, kvstore"), "{error}");
    }
}
