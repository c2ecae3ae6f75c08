//! Wire forms of what travels between the operators.

use eddyline_model::covisit::Pair;
use eddyline_model::factors::outbox::{ContextUpdate, ItemUpdate, Outbox, Target};
use eddyline_model::gate::GateExample;

use super::learn::Input as LearnInput;
use super::work::{CatalogueChange, DeltaBatch, Fresh, LearnBatch, Line, Mark, NewRow, Work};
use crate::at_work::RecordAt;
use crate::rank::RankedEvent;
use crate::wire::{Input, Malformed, Out, Wire, put_list, wire_struct};

wire_struct!(Line { seq, line, event });
wire_struct!(RecordAt { partition, offset });
wire_struct!(NewRow { seq, record, item, id, vector });
wire_struct!(CatalogueChange { item, document });
wire_struct!(Pair { source, target, weight });
wire_struct!(Target { label, log_rest, weight });
wire_struct!(ItemUpdate { item, x, target });
wire_struct!(ContextUpdate { item, gradient, weight });
wire_struct!(GateExample { bucket, ranks });
wire_struct!(RankedEvent { seq, ranks, top, is_warm, is_new_item });
wire_struct!(DeltaBatch { deltas, duplicates, ranked, header });
wire_struct!(LearnBatch { outbox, marks, pairs, taken, catalogue, ranked, new_rows });
wire_struct!(Mark {
    seq,
    record,
    time,
    items_end,
    contexts_end,
    pairs_end,
    taken_end,
    catalogue_end,
    ranked_end,
});

impl Wire for Outbox {
    fn put(&self, out: &mut impl Out) {
        self.dim().put(out);
        put_list(self.arena(), out);
        self.items.put(out);
        self.contexts.put(out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        let dim = Wire::take(from)?;
        let arena = Wire::take(from)?;
        let updates = (Wire::take(from)?, Wire::take(from)?);
        Self::from_parts(dim, arena, updates).ok_or(Malformed("an outbox"))
    }
}

impl Wire for Fresh {
    fn put(&self, out: &mut impl Out) {
        match self {
            Self::Line(line) => {
                1_u8.put(out);
                line.put(out);
            }
            Self::Duplicates(count) => {
                2_u8.put(out);
                count.put(out);
            }
        }
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            1 => Wire::take(from).map(Self::Line),
            2 => Wire::take(from).map(Self::Duplicates),
            _ => Err(Malformed("a fresh line")),
        }
    }
}

impl Wire for Work {
    fn put(&self, out: &mut impl Out) {
        match self {
            Self::Touch { line, item } => {
                1_u8.put(out);
                line.put(out);
                item.put(out);
            }
            Self::NewItem { line, item } => {
                2_u8.put(out);
                line.put(out);
                item.put(out);
            }
            Self::Catalogue { line, item } => {
                3_u8.put(out);
                line.put(out);
                item.put(out);
            }
            Self::Duplicates(count) => {
                4_u8.put(out);
                count.put(out);
            }
        }
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            1 => Ok(Self::Touch { line: Wire::take(from)?, item: Wire::take(from)? }),
            2 => Ok(Self::NewItem { line: Wire::take(from)?, item: Wire::take(from)? }),
            3 => Ok(Self::Catalogue { line: Wire::take(from)?, item: Wire::take(from)? }),
            4 => Wire::take(from).map(Self::Duplicates),
            _ => Err(Malformed("work")),
        }
    }
}

impl Wire for LearnInput {
    fn put(&self, out: &mut impl Out) {
        match self {
            Self::Work(work) => {
                1_u8.put(out);
                work.put(out);
            }
            Self::Header(header, worker) => {
                2_u8.put(out);
                header.put(out);
                worker.put(out);
            }
        }
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            1 => Wire::take(from).map(Self::Work),
            2 => Ok(Self::Header(Wire::take(from)?, Wire::take(from)?)),
            _ => Err(Malformed("an input")),
        }
    }
}

#[cfg(test)]
mod tests;
