//! The port where the driver asks: one client, a line for each question, a line for each answer.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use libos::accounts::{Accounts, Traffic};

use crate::churn::Churn;
use crate::counts::{COUNTS, Plant};

/// Answers the first client until it goes; then the program ends.
pub fn listen(listener: &TcpListener) {
    let (client, _) = listener.accept().expect("a client that asks");
    client.set_nodelay(true).expect("an open socket");
    let mut writer = client.try_clone().expect("a descriptor");
    // The client waits for this before it asks anything.
    if !tell(&mut writer, "ready".to_owned()) {
        return;
    }
    let mut churn = None;
    for line in BufReader::with_capacity(256, client).lines() {
        let Ok(line) = line else { return };
        let answer = answer(&line, &mut churn);
        if !tell(&mut writer, answer) {
            return;
        }
    }
}

fn tell(writer: &mut TcpStream, answer: String) -> bool {
    writer.write_all((answer + "\n").as_bytes()).is_ok()
}

/// - `accounts`: what the machine holds,
/// - `traffic`: what has passed the network card,
/// - `counts`: how connections have ended,
/// - `churn on`, `churn off`: threads come and go beside the connections,
/// - `plant NAME`: a defect from now on.
fn answer(question: &str, churn: &mut Option<Churn>) -> String {
    match question.split_once(' ').unwrap_or((question, "")) {
        ("accounts", "") => Accounts::now().to_string(),
        ("traffic", "") => Traffic::now().to_string(),
        ("counts", "") => COUNTS.to_string(),
        ("churn", "on") => {
            churn.get_or_insert_with(Churn::start);
            "on".to_owned()
        }
        ("churn", "off") => {
            if let Some(churn) = churn.take() {
                churn.stop();
            }
            "off".to_owned()
        }
        ("plant", name) => match Plant::named(name) {
            Some(plant) => {
                plant.plant();
                "planted".to_owned()
            }
            None => format!("no defect has the name {name}"),
        },
        _ => format!("{question} is no question"),
    }
}
