//! The chunks of all segments in one row: their sizes, their lanes, and which of them are closed.

use crate::ids::ChunkId;

/// The chunks of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Part {
    /// The place of its first chunk.
    first: u32,
    chunks: u32,
    /// How many agents it was cut for: from place to place of a lane it is so many. 0: nobody said.
    lanes: u32,
}

/// Places on the row, from 0; a bit each for closed chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ring {
    parts: Vec<Part>,
    /// Where each stretch of chunks of one size begins, and their size.
    stretches: Vec<(u32, u32)>,
    total: u32,
    tasks: u64,
    closed: Vec<u64>,
    closed_count: u32,
}

impl Ring {
    /// Appends a segment: the sizes of its chunks in order, and how many agents it was cut for.
    pub(super) fn add(&mut self, sizes: impl IntoIterator<Item = u32>, lanes: u32) {
        let first = self.total;
        let mut before = None;
        for size in sizes {
            if before.replace(size) != Some(size) {
                self.stretches.push((self.total, size));
            }
            self.total += 1;
            self.tasks += u64::from(size);
        }
        self.parts.push(Part { first, chunks: self.total - first, lanes });
        self.closed.resize((self.total as usize).div_ceil(64), 0);
    }

    pub(super) fn segments(&self) -> u32 {
        u32::try_from(self.parts.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn total(&self) -> u32 {
        self.total
    }

    pub(super) fn tasks(&self) -> u64 {
        self.tasks
    }

    pub(super) fn closed_count(&self) -> u32 {
        self.closed_count
    }

    pub(super) fn place(&self, chunk: ChunkId) -> Option<u32> {
        let part = self.parts.get(chunk.segment.checked_sub(1)? as usize)?;
        let within = chunk.index.checked_sub(1)?;
        (within < part.chunks).then_some(part.first + within)
    }

    pub(super) fn at(&self, place: u32) -> Option<ChunkId> {
        let (number, part) = self.part_of(place)?;
        Some(ChunkId { segment: number, index: place - part.first + 1 })
    }

    fn part_of(&self, place: u32) -> Option<(u32, &Part)> {
        (1..).zip(&self.parts).find(|(_, part)| (part.first..part.first + part.chunks).contains(&place))
    }

    pub(super) fn is_closed(&self, place: u32) -> bool {
        self.closed.get(place as usize / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    pub(super) fn close(&mut self, place: u32) {
        if !self.is_closed(place) {
            self.closed[place as usize / 64] |= 1 << (place % 64);
            self.closed_count += 1;
        }
    }

    /// The first place of `from..to` that is not known to be closed.
    pub(super) fn open_in(&self, from: u32, to: u32) -> Option<u32> {
        let mut place = from;
        while place < to {
            let open = !self.closed[place as usize / 64] >> (place % 64);
            if open != 0 {
                return Some(place + open.trailing_zeros()).filter(|p| *p < to);
            }
            place = (place / 64 + 1) * 64;
        }
        None
    }

    /// Which stretch of chunks of one size a place is in; they come in the order in which they should be begun.
    pub(super) fn stretch_of(&self, place: u32) -> usize {
        self.stretches.partition_point(|(first, _)| *first <= place).saturating_sub(1)
    }

    pub(super) fn last_stretch(&self) -> usize {
        self.stretches.len().saturating_sub(1)
    }

    /// The places of a stretch, from its first to before the next one's.
    pub(super) fn stretch(&self, stretch: usize) -> (u32, u32) {
        let at = |n: usize| self.stretches.get(n).map_or(self.total, |(first, _)| *first);
        (at(stretch), at(stretch + 1))
    }

    /// The beginning of a lane, drawn from all lanes of all segments.
    pub(super) fn lane(&self, draw: u64) -> Option<u32> {
        let width = |part: &Part| if part.lanes == 0 { part.chunks } else { part.lanes.min(part.chunks) };
        let all: u64 = self.parts.iter().map(|part| u64::from(width(part))).sum();
        let mut lane = u32::try_from(draw.checked_rem(all)?).ok()?;
        for part in &self.parts {
            if lane < width(part) {
                return Some(part.first + lane);
            }
            lane -= width(part);
        }
        None
    }

    /// Whether any segment was cut for a known number of agents.
    pub(super) fn has_lanes(&self) -> bool {
        self.parts.iter().any(|part| part.lanes > 0)
    }

    /// How many lanes there are at a place; as many as chunks where nobody said.
    pub(super) fn lanes_at(&self, place: u32) -> u32 {
        self.part_of(place).map_or(0, |(_, part)| if part.lanes == 0 { part.chunks } else { part.lanes })
    }

    /// How many tasks the chunk at a place has.
    pub(super) fn size_at(&self, place: u32) -> u32 {
        self.stretches.get(self.stretch_of(place)).map_or(0, |(_, size)| *size)
    }

    /// The places of the round that a place is in, from its first to before the next one's: a chunk for each lane.
    pub(super) fn round(&self, place: u32) -> (u32, u32) {
        let Some((_, part)) = self.part_of(place) else { return (place, place) };
        let lanes = if part.lanes == 0 { part.chunks } else { part.lanes };
        let first = place - (place - part.first) % lanes;
        (first, first.saturating_add(lanes).min(part.first + part.chunks))
    }

    /// What follows a place in its lane.
    pub(super) fn follower(&self, place: u32) -> Option<u32> {
        let (_, part) = self.part_of(place)?;
        let next = place.checked_add(part.lanes)?;
        (part.lanes > 0 && next < part.first + part.chunks).then_some(next)
    }
}
