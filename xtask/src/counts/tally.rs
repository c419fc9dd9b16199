//! From snapshots of what the guest has executed to figures.

use std::collections::{BTreeMap, HashMap};

use holdfast_trace::snapshot::{Accesses, Block};

use super::code::Code;
use super::figures::{Figure, Figures};

/// Figures of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Of all that was executed.
    pub total: Figures,
    /// By component.
    pub components: BTreeMap<String, Figures>,
    /// By function, with what the compiler has inlined into it.
    pub functions: BTreeMap<String, Figures>,
}

impl Tally {
    /// What was executed between two snapshots.
    pub fn between(before: &[Block], after: &[Block], code: &mut Code) -> Self {
        let mut tally = Self::default();
        for block in difference(before, after) {
            let instructions = code.block(block.address, block.instructions.len());
            for (number, (instruction, accesses)) in instructions.iter().zip(&block.instructions).enumerate() {
                let mut figures = Figures::default();
                figures[Figure::Instructions] = block.executions;
                figures[Figure::Accesses] = accesses.all;
                figures[Figure::DeviceAccesses] = accesses.device;
                if number == 0 {
                    figures[Figure::Blocks] = block.executions;
                }
                if number == 0 && instruction.is_entry {
                    figures[Figure::Calls] = block.executions;
                }
                if let Some(figure) = instruction.figure {
                    figures[figure] = block.executions;
                }
                tally.add(&instruction.component, &instruction.function, &figures);
            }
        }
        tally
    }

    fn add(&mut self, component: &str, function: &str, figures: &Figures) {
        self.total += figures;
        for (map, name) in [(&mut self.components, component), (&mut self.functions, function)] {
            match map.get_mut(name) {
                Some(sum) => *sum += figures,
                None => drop(map.insert(name.to_owned(), *figures)),
            }
        }
    }
}

/// What each block has done in between. Those that have done nothing are left out.
fn difference(before: &[Block], after: &[Block]) -> Vec<Block> {
    let before: HashMap<_, _> = before.iter().map(|block| ((block.address, block.instructions.len()), block)).collect();
    let done = |block: &Block| {
        let Some(earlier) = before.get(&(block.address, block.instructions.len())) else { return block.clone() };
        let accesses = |(now, then): (&Accesses, &Accesses)| Accesses {
            all: now.all - then.all,
            device: now.device - then.device,
        };
        Block {
            address: block.address,
            executions: block.executions - earlier.executions,
            instructions: block.instructions.iter().zip(&earlier.instructions).map(accesses).collect(),
        }
    };
    let did = |block: &Block| block.executions > 0 || block.instructions.iter().any(|accesses| accesses.all > 0);
    after.iter().map(done).filter(did).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::components::ELSEWHERE;

    fn block(address: u64, executions: u64, accesses: &[(u64, u64)]) -> Block {
        let instructions = accesses.iter().map(|&(all, device)| Accesses { all, device }).collect();
        Block { address, executions, instructions }
    }

    #[test]
    fn only_what_is_new_counts() {
        let before = [block(16, 5, &[(5, 0), (7, 1)]), block(32, 1, &[(0, 0)])];
        let after = [block(16, 5, &[(5, 0)]), block(16, 9, &[(9, 0), (8, 2)]), block(32, 1, &[(0, 0)])];
        let expected = [block(16, 5, &[(5, 0)]), block(16, 4, &[(4, 0), (1, 1)])];
        assert_eq!(difference(&before, &after), expected);
        assert_eq!(difference(&after, &after), []);
    }

    #[test]
    fn figures_are_sums_over_blocks() {
        let mut code = Code::load(&std::env::current_exe().unwrap()).unwrap();
        let tally = Tally::between(&[], &[block(0, 3, &[(3, 0), (6, 1)]), block(8, 10, &[(0, 0)])], &mut code);
        let figures = [Figure::Instructions, Figure::Blocks, Figure::Accesses, Figure::DeviceAccesses, Figure::Calls];
        assert_eq!(figures.map(|figure| tally.total[figure]), [16, 13, 9, 1, 0]);
        assert_eq!(tally.components[ELSEWHERE], tally.total);
        assert_eq!(tally.functions[ELSEWHERE], tally.total);
    }
}
