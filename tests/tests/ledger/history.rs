//! What clients of a ledger know of it, and whether a ledger is one that they may find.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use fastrand::Rng;
use holdfast_tests::http::Client;

/// What one connection has done, in order.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The entries sent, as `AMOUNT MEMO`. Each was sent when the one before it was acknowledged.
    pub sent: Vec<String>,
    /// The numbers by which the first of them were acknowledged.
    pub acknowledged: Vec<u64>,
}

impl History {
    /// Adds entries until the connection ends. `name` makes their memos different from all others.
    pub fn live(address: SocketAddr, name: &str, random: &mut Rng) -> Self {
        let mut history = Self::default();
        let Ok(mut client) = Client::connect(address) else { return history };
        loop {
            let filler = "x".repeat(random.u64(..200) as usize);
            let entry = format!("{} {name}:{}:{filler}", random.u64(..2000) as i64 - 1000, history.sent.len());
            history.sent.push(entry.clone());
            match client.try_request("POST", "/entries", &entry) {
                Ok(reply) if reply.status == 201 => {
                    history.acknowledged.push(reply.text.trim().parse().expect("an acknowledgement is a number"));
                }
                Ok(reply) => panic!("an entry is refused: {reply:?}"),
                Err(_) => return history,
            }
        }
    }
}

/// Judges the entries of a ledger that had `known` before these connections: those are as they were, and of each
/// connection there is what was acknowledged, under its number, and at most one entry more, whole and in order.
pub fn judge(known: &[String], histories: &[History], found: &[String]) -> Result<(), String> {
    if found.len() < known.len() || found[..known.len()] != *known {
        return Err(format!("the {} entries from before are not as they were", known.len()));
    }
    let mut owners = BTreeMap::new();
    for (connection, history) in histories.iter().enumerate() {
        owners.extend(history.sent.iter().map(|entry| (entry, connection)));
    }
    let mut there = vec![Vec::new(); histories.len()];
    for (number, entry) in (1..).zip(found).skip(known.len()) {
        let owner = *owners.get(entry).ok_or_else(|| format!("nobody has sent entry {number}: `{entry}`"))?;
        there[owner].push((number, entry));
    }
    for (connection, (history, there)) in histories.iter().zip(&there).enumerate() {
        let acknowledged = history.acknowledged.len();
        if !(acknowledged..=acknowledged + 1).contains(&there.len()) {
            return Err(format!("connection {connection}: {acknowledged} entries acknowledged, {} there", there.len()));
        }
        let in_order = there.iter().zip(&history.sent).all(|((_, entry), sent)| *entry == sent);
        let numbered =
            there.iter().zip(&history.acknowledged).all(|((number, _), acknowledged)| number == acknowledged);
        if !in_order || !numbered {
            return Err(format!("connection {connection}: entries are not in the order in which they were added"));
        }
    }
    Ok(())
}

/// All entries of a ledger, as `AMOUNT MEMO`.
pub fn entries(client: &mut Client, from: usize) -> Vec<String> {
    const AT_ONCE: usize = 400;
    let mut all = Vec::new();
    loop {
        let first = from + all.len();
        let text = client.get(&format!("/entries?from={first}&to={}", first + AT_ONCE - 1));
        for (number, line) in (first..).zip(text.lines()) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [own_number, _, amount, memo] = fields[..] else { panic!("`{line}` is no entry") };
            assert_eq!(own_number, number.to_string());
            all.push(format!("{amount} {memo}"));
        }
        if text.lines().count() < AT_ONCE {
            return all;
        }
    }
}

#[test]
fn a_history_that_is_not_kept_is_noticed() {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let known = texts(&["1 old"]);
    let histories = [
        History { sent: texts(&["1 a0", "1 a1", "1 a2"]), acknowledged: vec![2, 4] },
        History { sent: texts(&["1 b0", "1 b1"]), acknowledged: vec![3] },
    ];
    let judged = |found: &[&str]| judge(&known, &histories, &texts(found));
    assert_eq!(judged(&["1 old", "1 a0", "1 b0", "1 a1"]), Ok(()));
    assert_eq!(judged(&["1 old", "1 a0", "1 b0", "1 a1", "1 b1", "1 a2"]), Ok(()));
    for (found, what) in [
        (&["1 a0", "1 b0", "1 a1"][..], "from before"),
        (&["1 old", "1 a0", "1 b0"], "2 entries acknowledged, 1 there"),
        (&["1 old", "1 a0", "1 b0", "1 a"], "nobody has sent"),
        (&["1 old", "1 a1", "1 b0", "1 a0"], "order"),
        (&["1 old", "1 a0", "1 a1", "1 b0"], "order"),
        (&["1 old", "1 a0", "1 b0", "1 a1", "1 a2", "1 a2"], "4 there"),
    ] {
        let error = judged(found).unwrap_err();
        assert!(error.contains(what), "{found:?}: {error}");
    }
}
