//! The map of a crate's rooms: a block in the head comment of its root, which people and this check read.
//!
//! ```text
//! start, accounts: puts everything together
//! task
//! mm, sync: a room has nothing from its own floor
//!
//! mm -> task: why this arrow points up today
//! largest circle: 12 files
//! ```
//!
//! A line is a floor, the highest first. A room is a module of the root, or one further down (`pool/index`), and has
//! all files below it but those of rooms that are named themselves. The root itself is above all floors.

use anyhow::{Context, Result, bail};

/// The first line of a map, as it stands in the comment.
const BEGINNING: &str = "```floors";
/// Before the number of files.
const CIRCLE: &str = "largest circle:";

/// Where the rooms of a crate are, and what does not keep to that.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    /// The rooms of each floor, the highest first.
    pub floors: Vec<Vec<String>>,
    pub exceptions: Vec<Exception>,
    /// The files of the largest circle, where it has more than is allowed.
    pub circle: Option<usize>,
}

/// An arrow that does not point down, and is known. Its ends are rooms, or modules in them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exception {
    pub from: String,
    pub to: String,
}

impl Map {
    /// Finds the map in the text of a crate's root; nothing, if there is none.
    pub(super) fn find(root: &str) -> Result<Option<Self>> {
        let comment = root.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
        let mut lines = comment.skip_while(|line| *line != BEGINNING);
        if lines.next().is_none() {
            return Ok(None);
        }
        let mut map = Self::default();
        for line in lines.take_while(|line| *line != "```").filter(|line| !line.is_empty()) {
            map.add(line).with_context(|| format!("the map's line `{line}`"))?;
        }
        Ok(Some(map))
    }

    fn add(&mut self, line: &str) -> Result<()> {
        if let Some(circle) = line.strip_prefix(CIRCLE) {
            let number = circle.trim().strip_suffix(" files").context("is not `largest circle: NUMBER files`")?;
            self.circle = Some(number.parse().context("has no number of files")?);
        } else if let Some((from, rest)) = line.split_once(" -> ") {
            let (to, why) = rest.split_once(':').context("does not say why, after a colon")?;
            if why.trim().is_empty() {
                bail!("does not say why");
            }
            self.exceptions.push(Exception { from: from.to_owned(), to: to.to_owned() });
        } else {
            let rooms = line.split_once(':').map_or(line, |(rooms, _)| rooms);
            let rooms: Vec<_> = rooms.split(',').map(|room| room.trim().to_owned()).collect();
            for room in &rooms {
                if self.floor(room).is_some() {
                    bail!("has the room {room} once more");
                }
            }
            self.floors.push(rooms);
        }
        Ok(())
    }

    /// The room of the module at `path`; nothing for one that is in no room.
    pub(super) fn room<'a>(&'a self, path: &str) -> Option<&'a str> {
        let rooms = self.floors.iter().flatten().filter(|room| is_within(path, room));
        rooms.max_by_key(|room| room.len()).map(String::as_str)
    }

    /// The number of floors below that of `room`.
    pub(super) fn floor(&self, room: &str) -> Option<usize> {
        self.floors.iter().rev().position(|rooms| rooms.iter().any(|known| known == room))
    }
}

impl Exception {
    /// Whether it allows the module at `from` to use the one at `to`.
    pub(super) fn allows(&self, from: &str, to: &str) -> bool {
        is_within(from, &self.from) && is_within(to, &self.to)
    }
}

/// Whether the module at `path` is `room`, or in it.
pub(super) fn is_within(path: &str, room: &str) -> bool {
    path.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
