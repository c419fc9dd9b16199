//! `CONFIG GET`.
//!
//! A request may have very many patterns, and each is held against every name: so it is done in pieces.

use pmem::Medium;

use super::knobs::Knob;
use crate::commands::arguments::is;
use crate::commands::failure::{Failure, Outcome};
use crate::commands::{Context, Request};
use crate::glob::Pattern;
use crate::memory::Buffer;

/// Patterns that are looked at at a time.
const PIECE: usize = 16;

/// What a name is told by: nothing yet, itself, or else the argument of this number, which asks for it alone.
type Told = [u8; 4];
const NOT_TOLD: Told = [0; 4];
/// No name is asked for by argument 1, which is `GET`.
const BY_ITSELF: Told = 1u32.to_ne_bytes();

/// All names, old ones among them.
fn names() -> impl Iterator<Item = (&'static str, &'static Knob)> {
    Knob::all().flat_map(|knob| knob.names().map(move |name| (name, knob)))
}

/// `CONFIG GET parameter [parameter ...]`
pub fn get<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let done = context.in_pieces(request, PIECE, |context, task, arguments| {
        let memory = &context.shared.memory;
        let told = task.result.get_or_insert_with(|| Buffer::new(memory));
        told.extend_to(names().count() * size_of::<Told>())?;
        let (told, _) = told.bytes().as_chunks_mut();
        for at in arguments.filter(|at| *at > 1) {
            note(context, request.get(at), at as u32, told)?;
        }
        Ok(())
    })?;
    if let Some(mut told) = done.and_then(|task| task.result) {
        reply(context, request, told.bytes().as_chunks().0);
    }
    Ok(())
}

/// Notes which names the argument of this number asks for.
fn note<M: Medium>(
    context: &mut Context<'_, '_, M>,
    asked: &[u8],
    number: u32,
    told: &mut [Told],
) -> Result<(), Failure> {
    let note = |told: &mut Told, by| {
        if *told == NOT_TOLD {
            *told = by;
        }
    };
    if !asked.iter().any(|byte| b"[*?".contains(byte)) {
        if let Some((_, told)) = names().zip(told).find(|((name, _), _)| is(asked, name)) {
            // By the name that was asked for.
            note(told, number.to_ne_bytes());
        }
        return Ok(());
    }
    let longest = names().map(|(name, _)| name.len()).max().unwrap_or(0);
    let pattern = Pattern::new(&asked.to_ascii_lowercase(), longest, &context.shared.memory)?;
    let mut cost = (asked.len() + pattern.memory()) as u64;
    for ((name, _), told) in names().zip(told) {
        cost += pattern.cost(name.len());
        if pattern.matches(name.as_bytes()) {
            note(told, BY_ITSELF);
        }
    }
    context.budget.charge(cost);
    Ok(())
}

fn reply<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>, told: &[Told]) {
    let mut found: Vec<(&[u8], &Knob)> = names()
        .zip(told)
        .filter_map(|((name, knob), told)| match *told {
            NOT_TOLD => None,
            BY_ITSELF => Some((name.as_bytes(), knob)),
            number => Some((request.get(u32::from_ne_bytes(number) as usize), knob)),
        })
        .collect();
    found.sort_unstable_by_key(|(name, _)| *name);
    context.reply.map(found.len());
    for (name, knob) in found {
        context.reply.bulk(name);
        context.reply.bulk(knob.get(context.shared).as_bytes());
    }
}
