//! How both engines keep and search vectors; `docs/adr/0013` has the figures
//! that these numbers come from.

/// Links of a point in the graph of dense vectors.
pub(crate) const LINKS: u16 = 16;

/// Neighbours that are looked at when a point is put into the graph.
pub(crate) const BUILD_BREADTH: u16 = 100;

/// The fewest neighbours that a search keeps in view.
const LEAST_BREADTH: usize = 384;

/// Neighbours that a search for so many keeps in view: more find more of what
/// is nearest, in more time.
pub(crate) const fn search_breadth(limit: usize) -> usize {
    let double = limit.saturating_mul(2);
    if double > LEAST_BREADTH {
        double
    } else {
        LEAST_BREADTH
    }
}
