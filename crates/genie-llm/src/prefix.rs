//! What was read before, for prompts that begin alike.

use std::cmp::Reverse;
use std::collections::HashMap;

use genie_core::Tenant;

use crate::cache::{BLOCK, KvBlock};

/// Keys and values of beginnings of prompts and answers, in blocks of
/// [`BLOCK`] tokens; half a block is read again in the mean. A block stands behind another one or at a tenant's start,
/// so texts that begin alike share blocks, and texts of two tenants none.
///
/// Where memory runs out, a block goes of the tenant that has most: the one
/// that was not used for the longest time and has nothing behind it. So who
/// asks much takes from itself, and nobody's beginnings go for another's.
#[derive(Debug)]
pub(crate) struct Prefixes {
    index: HashMap<Place, u64>,
    blocks: HashMap<u64, Block>,
    /// Bytes of all blocks, of each tenant's, and how many they may be.
    bytes: usize,
    held: HashMap<Tenant, usize>,
    budget: usize,
    /// Grows with each use.
    clock: u64,
    next: u64,
}

/// Where a block stands, and its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    behind: Behind,
    tokens: [u32; BLOCK],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Behind {
    Start(Tenant),
    Block(u64),
}

#[derive(Debug)]
struct Block {
    place: Place,
    content: KvBlock,
    used: u64,
    tenant: Tenant,
    /// Blocks that stand behind it.
    behind: usize,
}

impl Prefixes {
    /// Blocks of at most `budget` bytes together; 0 keeps nothing.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            index: HashMap::new(),
            blocks: HashMap::new(),
            bytes: 0,
            held: HashMap::new(),
            budget,
            clock: 0,
            next: 0,
        }
    }

    /// The blocks that `tokens` begin with, from the start on.
    pub(crate) fn find(&mut self, tenant: &Tenant, tokens: &[u32]) -> Vec<KvBlock> {
        let (blocks, _) = tokens.as_chunks::<BLOCK>();
        let mut behind = Behind::Start(tenant.clone());
        let mut found = Vec::new();
        for tokens in blocks {
            let place = Place {
                behind,
                tokens: *tokens,
            };
            let Some(id) = self.index.get(&place).copied() else {
                break;
            };
            if let Some(content) = self.touch(id) {
                found.push(content);
            }
            behind = Behind::Block(id);
        }
        found
    }

    /// Keeps the blocks of `tokens` that are not kept yet; `block` gives the
    /// one that begins at a position. Stops where there is no room.
    pub(crate) fn keep<E>(
        &mut self,
        tenant: &Tenant,
        tokens: &[u32],
        mut block: impl FnMut(usize) -> Result<KvBlock, E>,
    ) -> Result<(), E> {
        if self.budget == 0 {
            return Ok(());
        }
        let (blocks, _) = tokens.as_chunks::<BLOCK>();
        let mut behind = Behind::Start(tenant.clone());
        for (number, tokens) in blocks.iter().enumerate() {
            let place = Place {
                behind: behind.clone(),
                tokens: *tokens,
            };
            let id = match self.index.get(&place).copied() {
                Some(id) => {
                    self.touch(id);
                    id
                }
                None => {
                    let content = block(number * BLOCK)?;
                    if !self.make_room(tenant, content.bytes(), &behind) {
                        return Ok(());
                    }
                    self.insert(tenant, place, content)
                }
            };
            behind = Behind::Block(id);
        }
        Ok(())
    }

    fn touch(&mut self, id: u64) -> Option<KvBlock> {
        self.clock += 1;
        let block = self.blocks.get_mut(&id)?;
        block.used = self.clock;
        Some(block.content.clone())
    }

    fn insert(&mut self, tenant: &Tenant, place: Place, content: KvBlock) -> u64 {
        self.clock += 1;
        self.next += 1;
        let id = self.next;
        self.bytes += content.bytes();
        *self.held.entry(tenant.clone()).or_default() += content.bytes();
        if let Behind::Block(parent) = place.behind
            && let Some(parent) = self.blocks.get_mut(&parent)
        {
            parent.behind += 1;
        }
        self.index.insert(place.clone(), id);
        let block = Block {
            place,
            content,
            used: self.clock,
            tenant: tenant.clone(),
            behind: 0,
        };
        self.blocks.insert(id, block);
        id
    }

    /// Forgets until so many bytes of a tenant fit, but not what the next
    /// block is to stand behind; `false` where that is not enough.
    fn make_room(&mut self, tenant: &Tenant, bytes: usize, behind: &Behind) -> bool {
        while self.bytes + bytes > self.budget {
            // As if the new one were there already.
            let held = |of: &Tenant| {
                let held = self.held.get(of).copied().unwrap_or(0);
                held + if of == tenant { bytes } else { 0 }
            };
            let last = self
                .blocks
                .iter()
                .filter(|(id, block)| block.behind == 0 && *behind != Behind::Block(**id))
                .min_by_key(|(_, block)| (Reverse(held(&block.tenant)), block.used))
                .map(|(id, block)| (*id, held(&block.tenant)));
            // Of others only what is more than one's own.
            let last = last.filter(|(_, most)| *most >= held(tenant));
            let Some(block) = last.and_then(|(id, _)| self.blocks.remove(&id)) else {
                return false;
            };
            self.bytes -= block.content.bytes();
            if let Some(held) = self.held.get_mut(&block.tenant) {
                *held -= block.content.bytes();
                if *held == 0 {
                    self.held.remove(&block.tenant);
                }
            }
            self.index.remove(&block.place);
            if let Behind::Block(parent) = block.place.behind
                && let Some(parent) = self.blocks.get_mut(&parent)
            {
                parent.behind -= 1;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn keep(prefixes: &mut Prefixes, tenant: &Tenant, tokens: &[u32]) -> usize {
        let mut copied = 0;
        prefixes
            .keep(tenant, tokens, |_| {
                copied += 1;
                Ok::<_, Infallible>(KvBlock::sized(100))
            })
            .expect("nothing fails");
        copied
    }

    fn text(parts: &[u32]) -> Vec<u32> {
        parts.iter().flat_map(|part| [*part; BLOCK]).collect()
    }

    #[test]
    fn texts_that_begin_alike_share_blocks() {
        let mut prefixes = Prefixes::new(10_000);
        let tenant = Tenant::default();
        assert_eq!(keep(&mut prefixes, &tenant, &text(&[1, 2, 3])), 3);
        assert_eq!(keep(&mut prefixes, &tenant, &text(&[1, 2, 4, 5])), 2);
        // The same tokens behind others are not the same.
        assert_eq!(keep(&mut prefixes, &tenant, &text(&[2, 3])), 2);
        let mut found = |parts: &[u32]| prefixes.find(&tenant, &text(parts)).len();
        assert_eq!(found(&[1, 2, 4]), 3);
        assert_eq!(found(&[1, 2, 5]), 2);
        assert_eq!(found(&[3]), 0);
        let mut short = text(&[1, 2]);
        short.pop();
        assert_eq!(prefixes.find(&tenant, &short).len(), 1);
    }

    #[test]
    fn tenants_share_nothing() {
        let mut prefixes = Prefixes::new(10_000);
        let [one, other] = ["one", "other"].map(Tenant::new);
        keep(&mut prefixes, &one, &text(&[1, 2]));
        assert!(prefixes.find(&other, &text(&[1, 2])).is_empty());
        assert!(prefixes.find(&Tenant::default(), &text(&[1, 2])).is_empty());
        assert_eq!(keep(&mut prefixes, &other, &text(&[1, 2])), 2);
    }

    #[test]
    fn who_asks_much_takes_from_itself() {
        let mut prefixes = Prefixes::new(600);
        let [much, little] = ["much", "little"].map(Tenant::new);
        keep(&mut prefixes, &little, &text(&[1, 2]));
        for part in 0..20 {
            keep(&mut prefixes, &much, &text(&[part, part + 1, part + 2]));
        }
        assert_eq!(prefixes.find(&little, &text(&[1, 2])).len(), 2);
        assert_eq!(prefixes.find(&much, &text(&[19, 20, 21])).len(), 3);
        // What others have above an equal share gives way, and no more.
        keep(&mut prefixes, &little, &text(&[5, 6, 7]));
        assert_eq!(prefixes.find(&little, &text(&[5, 6, 7])).len(), 3);
        assert_eq!(prefixes.find(&little, &text(&[1, 2])).len(), 0);
        assert_eq!((prefixes.held[&much], prefixes.held[&little]), (300, 300));
        keep(&mut prefixes, &much, &text(&[30, 31]));
        assert_eq!((prefixes.held[&much], prefixes.held[&little]), (300, 300));
    }

    #[test]
    fn what_was_not_used_for_longest_goes_from_its_end_on() {
        let mut prefixes = Prefixes::new(400);
        let tenant = Tenant::default();
        keep(&mut prefixes, &tenant, &text(&[1, 2]));
        keep(&mut prefixes, &tenant, &text(&[3, 4]));
        prefixes.find(&tenant, &text(&[1, 2]));
        keep(&mut prefixes, &tenant, &text(&[5]));
        let mut found = |parts: &[u32]| prefixes.find(&tenant, &text(parts)).len();
        assert_eq!((found(&[1, 2]), found(&[3, 4]), found(&[5])), (2, 1, 1));
    }

    #[test]
    fn a_text_longer_than_the_budget_is_kept_as_far_as_it_fits() {
        let tenant = Tenant::default();
        let mut prefixes = Prefixes::new(250);
        keep(&mut prefixes, &tenant, &text(&[1, 2, 3, 4]));
        assert_eq!(prefixes.find(&tenant, &text(&[1, 2, 3, 4])).len(), 2);
        let mut none = Prefixes::new(0);
        assert_eq!(keep(&mut none, &tenant, &text(&[1])), 0);
    }

    proptest! {
        #[test]
        fn the_budget_holds_and_the_tree_stays_whole(
            texts in prop::collection::vec((0usize..3, prop::collection::vec(0u32..3, 1..6)), 1..40),
            budget in 0usize..1500,
        ) {
            let tenants = ["a", "b", "c"].map(Tenant::new);
            let mut prefixes = Prefixes::new(budget);
            for (tenant, parts) in &texts {
                keep(&mut prefixes, &tenants[*tenant], &text(parts));
                prop_assert!(prefixes.bytes <= budget);
                prop_assert_eq!(prefixes.bytes, 100 * prefixes.blocks.len());
                prop_assert_eq!(prefixes.bytes, prefixes.held.values().sum::<usize>());
                prop_assert_eq!(prefixes.index.len(), prefixes.blocks.len());
                for (id, block) in &prefixes.blocks {
                    let children = prefixes
                        .blocks
                        .values()
                        .filter(|it| it.place.behind == Behind::Block(*id))
                        .count();
                    prop_assert_eq!(block.behind, children);
                    if let Behind::Block(parent) = block.place.behind {
                        prop_assert!(prefixes.blocks.contains_key(&parent));
                    }
                }
            }
        }
    }
}
