//! Where things lie in a guest image: its sections and symbols, for tests that look into a running guest.

use std::ops::Range;
use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// A guest image's sections and symbols.
#[derive(Debug)]
pub struct Elf {
    sections: Vec<Section>,
    symbols: Vec<Symbol>,
}

/// A part of the image that is loaded into memory.
#[derive(Clone, Debug)]
pub struct Section {
    /// `.text`, `.bss` and so on.
    pub name: String,
    /// Its addresses.
    pub range: Range<u64>,
    /// What is loaded there; empty for `.bss`.
    pub bytes: Vec<u8>,
}

/// A function or a variable.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// The name as the compiler wrote it, mangled.
    pub name: String,
    /// Its addresses; empty when the symbol has no size.
    pub range: Range<u64>,
    /// Whether it is code.
    pub is_function: bool,
}

impl Elf {
    /// Reads an image. One that cannot be read fails the test.
    pub fn load(image: &Path) -> Self {
        let bytes = std::fs::read(image).unwrap_or_else(|error| panic!("{}: {error}", image.display()));
        let file = object::File::parse(&*bytes).unwrap_or_else(|error| panic!("{}: {error}", image.display()));
        let sections = file.sections().filter(|section| section.address() != 0).map(|section| Section {
            name: section.name().unwrap_or_default().to_owned(),
            range: section.address()..section.address() + section.size(),
            bytes: section.data().unwrap_or_default().to_vec(),
        });
        let symbols =
            file.symbols().filter(|symbol| symbol.is_definition() || symbol.size() == 0).map(|symbol| Symbol {
                name: symbol.name().unwrap_or_default().to_owned(),
                range: symbol.address()..symbol.address() + symbol.size(),
                is_function: symbol.kind() == SymbolKind::Text,
            });
        Self { sections: sections.collect(), symbols: symbols.collect() }
    }

    /// The section with this name, which the image has to have.
    pub fn section(&self, name: &str) -> &Section {
        let found = self.sections.iter().find(|section| section.name == name);
        found.unwrap_or_else(|| panic!("the image has no section {name}"))
    }

    /// Every symbol.
    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }

    /// The symbols whose name has this in it. Mangled names have the parts of a path one after the other, each after
    /// its length: `10key_rights6update` is in the name of `key_rights::update`.
    pub fn symbols_with<'a>(&'a self, part: &'a str) -> impl Iterator<Item = &'a Symbol> {
        self.symbols.iter().filter(move |symbol| symbol.name.contains(part))
    }

    /// The address of the symbol with exactly this name, which the image has to have.
    pub fn address(&self, name: &str) -> u64 {
        let found = self.symbols.iter().find(|symbol| symbol.name == name);
        found.unwrap_or_else(|| panic!("the image has no symbol {name}")).range.start
    }
}
