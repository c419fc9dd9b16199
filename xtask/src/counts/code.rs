//! The program's instructions: what each counts as, and whose it is.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};
use iced_x86::{Decoder, DecoderOptions};
use object::{Object, ObjectSection};

use super::components::{self, ELSEWHERE};
use super::figures::Figure;
use crate::symbols::Symbols;

/// The code of one guest image.
pub struct Code {
    symbols: Symbols,
    start: u64,
    text: Vec<u8>,
    known: HashMap<u64, Rc<Instruction>>,
}

/// An instruction.
#[derive(Debug)]
pub struct Instruction {
    /// Bytes.
    length: u64,
    /// What it counts as besides an instruction.
    pub figure: Option<Figure>,
    /// Part of the program.
    pub component: String,
    /// The function that it is in.
    pub function: String,
    /// Whether it is that function's first.
    pub is_entry: bool,
}

impl Code {
    /// Reads an image.
    ///
    /// # Errors
    /// When it is none.
    pub fn load(image: &Path) -> Result<Self> {
        let bytes = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
        let file = object::File::parse(&*bytes)?;
        let text = file.section_by_name(".text").context("the image has no section .text")?;
        let (start, text) = (text.address(), text.data()?.to_vec());
        Ok(Self { symbols: Symbols::load(image)?, start, text, known: HashMap::new() })
    }

    /// So many instructions that follow each other from an address on.
    pub fn block(&mut self, mut address: u64, count: usize) -> Vec<Rc<Instruction>> {
        let mut block = Vec::with_capacity(count);
        for _ in 0..count {
            let instruction = self.at(address);
            address = address.wrapping_add(instruction.length);
            block.push(instruction);
        }
        block
    }

    fn at(&mut self, address: u64) -> Rc<Instruction> {
        if let Some(known) = self.known.get(&address) {
            return Rc::clone(known);
        }
        let instruction = Rc::new(self.read(address));
        self.known.insert(address, Rc::clone(&instruction));
        instruction
    }

    fn read(&self, address: u64) -> Instruction {
        let offset = address.checked_sub(self.start).and_then(|offset| usize::try_from(offset).ok());
        let bytes = offset.and_then(|offset| self.text.get(offset..)).unwrap_or_default();
        let decoded = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
        if decoded.is_invalid() {
            let [component, function] = [ELSEWHERE; 2].map(str::to_owned);
            return Instruction { length: 1, figure: None, component, function, is_entry: false };
        }
        let (length, figure) = (decoded.len() as u64, Figure::of(&decoded));
        match self.symbols.origin(address) {
            Some(origin) => Instruction {
                length,
                figure,
                component: components::component(&origin.function, &origin.files),
                function: origin.function,
                is_entry: origin.is_entry,
            },
            None => {
                let component = components::component("", &[]);
                Instruction { length, figure, component, function: "assembly".to_owned(), is_entry: false }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use object::ObjectSymbol;

    use super::*;

    #[inline(never)]
    fn signpost(value: u64) -> u64 {
        std::hint::black_box(value).wrapping_mul(3)
    }

    #[test]
    fn instructions_of_this_program_know_their_function() {
        assert_eq!(signpost(1), 3);
        let program = std::env::current_exe().unwrap();
        let bytes = std::fs::read(&program).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let named = |symbol: &object::Symbol<'_, '_>| {
            symbol.name().is_ok_and(|name| name.contains("counts") && name.contains("signpost"))
        };
        let address = file.symbols().find(named).unwrap().address();
        let block = Code::load(&program).unwrap().block(address, 2);
        assert!(block.iter().all(|it| it.function == "xtask::counts::code::tests::signpost"), "{block:?}");
        assert_eq!((block[0].is_entry, block[1].is_entry), (true, false));
    }

    #[test]
    fn what_is_outside_of_the_image_is_said_to_be() {
        let block = Code::load(&std::env::current_exe().unwrap()).unwrap().block(u64::MAX, 3);
        assert!(block.iter().all(|it| it.component == ELSEWHERE));
    }
}
