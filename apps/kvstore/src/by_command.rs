//! What is kept of each command: found by the command's number, told by its name.

/// A command, as what is kept of it is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Id {
    /// No other command has it; they are small.
    pub number: usize,
    /// The full name: `client|id`.
    pub name: &'static str,
}

/// A `T` for each command that has come.
pub struct ByCommand<T> {
    /// By the commands' numbers.
    entries: Vec<Option<(&'static str, T)>>,
}

impl<T> Default for ByCommand<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T: Default> ByCommand<T> {
    /// That of a command, from now on if there was none.
    pub fn of(&mut self, command: Id) -> &mut T {
        if command.number >= self.entries.len() {
            self.entries.resize_with(command.number + 1, || None);
        }
        &mut self.entries[command.number].get_or_insert_with(|| (command.name, T::default())).1
    }

    /// All of them, in the order of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'static str, &T)> {
        let mut all: Vec<_> = self.entries.iter().flatten().map(|(name, kept)| (*name, kept)).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_told_in_the_order_of_the_names() {
        let mut kept = ByCommand::<u32>::default();
        let commands = [(7, "set"), (2, "get"), (7, "set"), (0, "ping")];
        commands.into_iter().for_each(|(number, name)| *kept.of(Id { number, name }) += 1);
        assert_eq!(kept.iter().collect::<Vec<_>>(), [("get", &1), ("ping", &1), ("set", &2)]);
    }
}
